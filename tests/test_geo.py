import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Geod, Transformer

from witw import geo
from witw.config import load


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"),
    [
        (-180, 0, 32601),
        (180, 0, 32660),
        (-43.2, -22.9, 32723),
        (0, 0, 32631),
        (-0.0001, -0.0001, 32730),
        (5.3, 60.4, 32632),  # Bergen: zone 32 reaches west to 3 degrees
        (2.9, 60.4, 32631),
        (5.3, 55.9, 32631),
        (5.3, 64.0, 32631),
        (11.9, 57.7, 32632),
        (8.9, 78.2, 32631),  # Svalbard has no zones 32, 34 and 36
        (9.0, 78.2, 32633),
        (15.6, 78.2, 32633),
        (21.0, 78.2, 32635),
        (33.0, 78.2, 32637),
        (42.0, 78.2, 32638),
        (15.6, 71.9, 32633),
    ],
)
def test_points_get_their_utm_zone(lon, lat, epsg):
    assert geo.utm_epsg(lon, lat) == epsg


def test_the_zones_of_the_eleven_cities_are_those_of_the_epsg_register():
    raw = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text())
    for area in load(raw).aois.values():
        west, south, east, north = area.bbox_deg
        use = CRS.from_epsg(area.utm_epsg).area_of_use
        assert use.west <= (west + east) / 2 <= use.east
        assert use.south <= (south + north) / 2 <= use.north
        x, _ = Transformer.from_crs(4326, area.utm_epsg, always_xy=True).transform(west, south)
        assert 100_000 < x < 900_000


@given(
    st.integers(-10_000_000, 10_000_000),
    st.integers(1, 1_000_000),
    st.sampled_from([0.3, 0.5, 1.0, 28.0]),
    st.floats(-9e-7, 9e-7),
)
def test_snapping_an_interval_that_is_on_the_grid_leaves_it(first, count, step, noise):
    low, high = first * step, (first + count) * step
    snapped = geo.snap(low + noise * step, high - noise * step, step)
    assert [round(v / step) for v in snapped] == [first, first + count]


@given(st.floats(-1e6, 1e6), st.floats(0.01, 1e5), st.sampled_from([0.3, 0.5, 28.0]))
def test_snapping_covers_the_interval_with_less_than_a_step_to_spare(low, size, step):
    a, b = geo.snap(low, low + size, step)
    slack = 2e-6 * step
    assert a - slack <= low < a + step + slack
    assert b - step - slack < low + size <= b + slack
    assert (a / step).is_integer() or math.isclose(a / step, round(a / step), abs_tol=1e-6)


def test_distances_are_those_on_a_sphere_of_that_radius():
    rng = np.random.default_rng(1)
    lon1, lon2 = rng.uniform(-180, 180, (2, 500))
    lat1, lat2 = rng.uniform(-90, 90, (2, 500))
    sphere = Geod(a=geo.EARTH_RADIUS_M, b=geo.EARTH_RADIUS_M)
    expected = sphere.inv(lon1, lat1, lon2, lat2)[2]
    np.testing.assert_allclose(geo.haversine_m(lon1, lat1, lon2, lat2), expected, rtol=1e-9)


def test_distances_broadcast_and_resolve_centimetres():
    one = np.array([10.75])
    assert geo.haversine_m(one[:, None], one[:, None], np.zeros(3), np.zeros(3)).shape == (1, 3)
    near = geo.haversine_m(one, np.array([59.9]), one, np.array([59.9 + 1e-7]))
    assert near[0] == pytest.approx(math.radians(1e-7) * geo.EARTH_RADIUS_M, rel=1e-3)


def test_the_area_of_a_box():
    whole = 4 * math.pi * (geo.EARTH_RADIUS_M / 1000) ** 2
    assert geo.box_area_km2((-180, -90, 180, 90)) == pytest.approx(whole)
    assert geo.box_area_km2((0, 0, 90, 90)) == pytest.approx(whole / 8)
    parts = geo.box_area_km2((2, 48, 2.1, 48.5)) + geo.box_area_km2((2, 48.5, 2.1, 49))
    assert geo.box_area_km2((2, 48, 2.1, 49)) == pytest.approx(parts)


@pytest.mark.parametrize(("value", "expected"), [(7.3, 5), (0.019, 0.01), (1, 1), (23, 20)])
def test_scale_bars_are_round(value, expected):
    assert geo.round_length(value) == pytest.approx(expected)


def test_points_in_space_equal_projs():
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 50), rng.uniform(-90, 90, 50)
    there = Transformer.from_crs(4979, 4978, always_xy=True)
    expected = np.stack(there.transform(lon, lat, np.zeros(50)), axis=1)
    np.testing.assert_allclose(geo.geocentric(lon, lat), expected, atol=1e-6)


@pytest.mark.parametrize("lat", [-51.5, 0.0, 35.7, 69.6])
def test_squares_have_their_side_wherever_they_are(lat):
    """Photos spread over 20 km fill as many 500 m squares as fit, and no square is larger."""
    rng = np.random.default_rng(1)
    north = rng.uniform(-1e4, 1e4, 40_000)
    east = rng.uniform(-1e4, 1e4, 40_000)
    at_lat = lat + np.degrees(north / geo.EARTH_RADIUS_M)
    at_lon = 24 + np.degrees(east / geo.EARTH_RADIUS_M / np.cos(np.radians(at_lat)))
    found, which = np.unique(geo.squares(at_lon, at_lat, 500.0), axis=0, return_inverse=True)
    assert 1600 <= len(found) <= 1800  # those cut by the edge count, too
    for n in range(0, len(found), 97):
        mine = which.reshape(-1) == n
        assert np.ptp(north[mine]) <= 500
        assert np.ptp(east[mine]) <= 515  # a row is cut at its middle's length


def test_a_square_is_the_same_from_any_zone():
    lon = np.array([5.9999, 6.0001])  # zones 31 and 32
    assert len(np.unique(geo.squares(lon, np.array([50.0, 50.0]), 5000.0), axis=0)) == 1
