"""The whole chain on random strips, compared with the scene evaluated at every pixel by PROJ."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_strips import Area, write_tif
from PIL import Image
from pyproj import Transformer

from witw.geo import utm_epsg
from witw.imagery import chips, mosaic, stats, stretch

SIZE = 72
N = 150
# Mid-zone, across a zone's border, southern, and far north, where degrees are narrow.
PLACES = [(3.0, 36.0), (5.9998, 45.0), (-43.2, -22.9), (24.0, 60.2)]


def ramp(x, y):
    """Return the scene: planes, which every kernel reproduces; x, y: share of the strip."""
    return np.stack([40 + 157.3 * x, 220 - 147.1 * y, 60 + 71.3 * x + 68.9 * y])


def blank_shape(kind, x, y):
    """Return where a strip has no data."""
    return {
        "none": np.zeros_like(x, bool),
        "wedge": x + y < 0.5,
        "hole": (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.03,
        "half": y > 0.55,
    }[kind]


strips = st.fixed_dictionaries(
    {
        "place": st.sampled_from(PLACES),
        "crs": st.sampled_from(["degrees", "utm", "next", "mercator"]),
        "gsd": st.floats(0.24, 0.9),
        "count": st.sampled_from([1, 3, 4, 8]),
        "dtype": st.sampled_from(["u1", "u2", "i2", "f4"]),
        "shape": st.sampled_from(["none", "wedge", "hole", "half"]),
        "masked": st.booleans(),
    }
)
spots = st.lists(
    st.one_of(
        st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)),
        st.sampled_from([(0.0, 0.5), (1.0, 1.0), (0.0, 0.0), (0.5, 1.02), (-0.6, 0.5), (3.0, 3.0)]),
    ),
    min_size=1,
    max_size=4,
)


def made(strip):
    """Return a strip's file, its CRS, transform and UTM zone."""
    lon, lat = strip["place"]
    zone = utm_epsg(lon, lat)
    epsg = {"degrees": 4326, "utm": zone, "next": zone + 1, "mercator": 3857}[strip["crs"]]
    left, top = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    step = strip["gsd"] / 111_200 if epsg == 4326 else strip["gsd"]
    transform = (left, step, 0, top, 0, -step)
    y, x = (np.mgrid[:N, :N] + 0.5) / N
    blank = blank_shape(strip["shape"], x, y)
    data = np.zeros((strip["count"], N, N))
    bands = [1, 1, 1] if strip["count"] == 1 else [3, 2, 1] if strip["count"] == 4 else [1, 2, 3]
    for band, values in list(zip(bands, ramp(x, y), strict=True))[
        :: 1 if len(set(bands)) > 1 else -1
    ]:
        data[band - 1] = values
    if strip["count"] == 8:
        data[3:] = 9  # other bands do not matter
    scale = 1 if strip["dtype"] == "u1" else 10
    data *= scale
    if strip["dtype"] != "f4":
        data = np.rint(data)
    how = {"mask": np.where(blank, 0, 255)} if strip["masked"] else {"nodata": 0}
    if not strip["masked"]:
        data[:, blank] = 0
    write_tif("a.tif", data.astype(strip["dtype"]), transform, epsg=epsg, **how)
    return bands, epsg, transform, zone, scale


def truth(east, north, zone, epsg, transform, strip):
    """Return scene, validity, and distance [strip px] from doubtful pixels, (SIZE, SIZE)."""
    back = Transformer.from_crs(zone, epsg, always_xy=True)
    sx, sy = back.transform(east.ravel(), north.ravel())
    x = ((np.array(sx) - transform[0]) / transform[1] / N).reshape(east.shape)
    y = ((np.array(sy) - transform[3]) / transform[5] / N).reshape(east.shape)

    def shown(a, b):
        inside = (a > 0) & (a < 1) & (b > 0) & (b < 1)
        return inside & ~blank_shape(strip["shape"], a, b)

    valid = shown(x, y)
    reach = 5 * max(1.0, 0.3 / strip["gsd"] * 2) / N
    sure = np.ones_like(valid)
    for dx in (-reach, 0, reach):
        for dy in (-reach, 0, reach):
            sure &= shown(x + dx, y + dy) == valid
    values = ramp(x, y)
    return values[[0, 0, 0]] if strip["count"] == 1 else values, valid, sure


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(strip=strips, places=spots)
def test_chips_equal_the_scene(strip, places):
    shutil.rmtree("results", ignore_errors=True)
    bands, epsg, transform, zone, scale = made(strip)
    lon, lat = strip["place"]
    box = [lon - 0.01, lat - 0.01, lon + 0.01, lat + 0.01]
    keys = {"bands": bands, "chips": {"size_px": SIZE, "jpeg_quality": 100}}
    town = Area(["a.tif"], box, **keys, epsg=zone)
    town.stretch()
    kind = {"kind": "linear", "low": [0] * 3, "high": [255 * scale] * 3, "eight_bit": "keep"}
    (town.root / "stretch.json").write_text(json.dumps({"kind": "keep"} if scale == 1 else kind))
    tif = town.utm()
    mosaic.run(town.spec("mosaic"), [tif], town.root / "mosaic.vrt")
    to_deg = Transformer.from_crs(epsg, 4326, always_xy=True)
    x = [transform[0] + a * N * transform[1] for a, _ in places]
    y = [transform[3] + b * N * transform[5] for _, b in places]
    lons, lats = to_deg.transform(x, y)
    photos = pd.DataFrame({"id": [str(n) for n in range(len(places))], "lon": lons, "lat": lats})
    rows = town.chips(photos)
    for row in rows.itertuples():
        # The grid lies at whole multiples of 0.3 m; the window is the one nearest to the photo.
        left = np.floor(row.easting / 0.3 - SIZE / 2 + 0.5) * 0.3
        top = np.ceil(row.northing / 0.3 + SIZE / 2 - 0.5) * 0.3
        steps = (np.arange(SIZE) + 0.5) * 0.3
        east, north = np.meshgrid(left + steps, top - steps)
        values, valid, sure = truth(east, north, zone, epsg, transform, strip)
        doubt = (~sure).mean()
        assert abs((1 - valid.mean()) - row.blank_fraction) <= doubt + 1e-9
        if row.blank_fraction == 1:
            assert pd.isna(row.chip_path)
            continue
        chip = np.asarray(Image.open(row.chip_path)).astype(float).transpose(2, 0, 1)
        seen = (chip - values)[:, valid & sure]
        # A shift by a pixel would change a level or more; rounding and JPEG are zero-mean noise.
        assert seen.shape[1] < 50 or np.abs(seen.mean(axis=1)).max() <= 0.5
        assert seen.size == 0 or np.abs(seen).max() <= 6
        dark = chip[:, ~valid & sure]
        assert dark.size == 0 or np.percentile(dark, 95) <= 3


@given(st.floats(-1e6, 1e6), st.integers(1, 2000))
def test_the_window_is_the_nearest_one(centre, size):
    first = chips.first_pixel(centre, size)
    distance = abs(first + size / 2 - centre)
    assert distance <= 0.5 + 1e-6
    assert distance <= min(abs(first + d + size / 2 - centre) for d in (-1, 1)) + 1e-6


numbers = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["u1", "u2", "i2", "i4"]),
        "size": st.tuples(st.integers(1, 90), st.integers(1, 90)),
        "top": st.integers(1, 9000),
        "seed": st.integers(0, 10_000),
        "nodata": st.sampled_from([None, 0, 3]),
        "tiled": st.booleans(),
    }
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    made_of=st.lists(numbers, min_size=1, max_size=3),
    threads=st.integers(1, 3),
    pct=st.tuples(st.floats(0, 49), st.floats(51, 100)),
)
def test_percentiles_are_numpys_over_the_valid_pixels(made_of, threads, pct):
    """For any arrays, strips, tiling, nodata and threads, to the last bit."""
    shutil.rmtree("results", ignore_errors=True)
    paths, valid = [], []
    for number, how in enumerate(made_of):
        rng = np.random.default_rng(how["seed"])
        low = -how["top"] if how["dtype"].startswith("i") else 0
        top = min(how["top"], 255) if how["dtype"] == "u1" else how["top"]
        data = rng.integers(low, top, (3, *how["size"]), endpoint=True).astype(how["dtype"])
        if how["nodata"] is not None:
            data[:, rng.random(how["size"]) < 0.3] = how["nodata"]
            data[:, 0, 0] = [how["nodata"], 1, how["nodata"]]  # valid, as one band is not blank
            blank = (data == how["nodata"]).all(axis=0)
        else:
            blank = np.zeros(how["size"], bool)
        tiled = {"TILED": "YES", "BLOCKXSIZE": 16, "BLOCKYSIZE": 32} if how["tiled"] else {}
        place = (500_000 + 40 * number, 0.3, 0, 4_000_000, 0, -0.3)
        paths.append(write_tif(f"s{number}.tif", data, place, nodata=how["nodata"], **tiled))
        valid.append(data[:, ~blank])
    told = {"low_pct": pct[0], "high_pct": pct[1], "eight_bit": "stretch"}
    town = Area(paths, [2.9, 36.0, 3.1, 36.2], bands=[1, 2, 3], stretch=told)
    files = [town.strip(name, "stats.json") for name in town.names]
    for name, file in zip(town.names, files, strict=True):
        stats.run(town.spec("stats", name), file, threads)
    counted = [json.loads(file.read_text()) for file in files]
    with pytest.MonkeyPatch.context() as patch:
        # Strips are drawn independently, so some have numbers a hundred times another's.
        patch.setattr(stretch, "OTHER_SCALE", np.inf)
        found = stretch.limits(counted, town.config.aois["town"].stretch, "town")
    every = np.concatenate(valid, axis=1)
    for band in range(3):
        assert found["low"][band] == np.percentile(every[band].astype(float), pct[0])
        assert found["high"][band] == np.percentile(every[band].astype(float), pct[1])
