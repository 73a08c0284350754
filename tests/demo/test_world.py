import numpy as np
import pytest
from numpy.testing import assert_array_equal

from witw.demo.city.cities import ALL, MARGIN_M, choose
from witw.demo.city.materials import FIRST_CAR, FIRST_ROOF, Material, bands
from witw.demo.city.raster import RES_M, TREE_CELL_M, rasterise
from witw.demo.city.streets import hashed
from witw.demo.city.world import World

HALF_M = 150.0


@pytest.fixture(scope="module")
def world():
    return World(5)


@pytest.fixture(scope="module")
def raster(world):
    return rasterise(world, HALF_M)


def test_a_point_does_not_depend_on_the_other_points(world):
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-HALF_M, HALF_M, (2, 500)).astype(np.float32)
    together = world.ground(x, y)
    for k in range(0, 500, 50):
        alone = world.ground(x[k : k + 1], y[k : k + 1])
        assert alone.material[0] == together.material[k]
        assert alone.height[0] == pytest.approx(together.height[k], abs=1e-4)


def test_same_seed_same_city_other_seed_other_city(raster):
    again = rasterise(World(5), HALF_M)
    assert_array_equal(again.above, raster.above)
    assert_array_equal(again.ground_rgb, raster.ground_rgb)
    assert np.mean(rasterise(World(6), HALF_M).above == raster.above) < 0.6


def test_raster_rows_run_south(world, raster):
    n = len(raster.height)
    row, column = 37, 101
    x = np.array([raster.left + (column + 0.5) * RES_M])
    y = np.array([raster.top - (row + 0.5) * RES_M])
    assert raster.material[row, column] == world.ground(x, y).material[0]
    assert n * RES_M == pytest.approx(2 * raster.half_m)
    assert raster.half_m >= HALF_M


def test_a_city_has_streets_buildings_and_green():
    counts = np.zeros(256)
    for seed in range(4):
        counts += np.bincount(rasterise(World(seed), HALF_M).above.ravel(), minlength=256)
    share = counts / counts.sum()
    assert 0.08 < share[Material.ASPHALT] < 0.4
    assert 0.15 < share[FIRST_ROOF:FIRST_CAR].sum() < 0.6
    assert 0.1 < share[[Material.GRASS, Material.MEADOW, Material.TREE, Material.PITCH]].sum() < 0.6


def test_walls_only_where_something_stands(raster):
    stands = raster.eave > 0
    assert (raster.height[stands] >= raster.eave[stands]).all()
    roof = (raster.material >= FIRST_ROOF) & (raster.material < FIRST_CAR)
    assert (raster.height[roof] > 2).all()
    road = np.isin(raster.material, [Material.ASPHALT, Material.MARKING, Material.PAVEMENT])
    assert (raster.height[road & ~stands] == 0).all()


def test_trees_keep_to_their_cell_and_off_the_road(world, raster):
    x, y, radius, height, _ = raster.trees.T
    assert len(x) > 30
    for at in (x, y):
        inside = at % TREE_CELL_M
        assert (inside - radius > -1e-3).all()
        assert (inside + radius < TREE_CELL_M + 1e-3).all()
    assert not np.isin(world.ground(x, y).material, [Material.ASPHALT, Material.WATER]).any()
    assert (height > 3).all()
    crowns = raster.above == Material.TREE
    # Crowns are lumpy discs, and some are below roofs.
    assert 0.5 < crowns.sum() * RES_M**2 / (np.pi * radius**2).sum() < 1.1


def test_shadows_fall_away_from_the_sun():
    world = World(3)
    raster = rasterise(world, HALF_M)
    light = raster.ground_rgb.astype(float).mean(axis=2)
    road = (raster.material == Material.ASPHALT) | (raster.material == Material.PAVEMENT)
    step = 6.0
    dx = round(step * np.sin(world.sun_azimuth) / RES_M)
    dy = -round(step * np.cos(world.sun_azimuth) / RES_M)
    inner = slice(40, -40)
    rows, columns = (
        c[road[inner, inner]] + 40 for c in np.mgrid[0 : len(road) - 80, 0 : len(road) - 80]
    )
    towards = raster.height[rows + dy, columns + dx] > 8
    away = raster.height[rows - dy, columns - dx] > 8
    assert (
        light[rows, columns][towards & ~away].mean() < light[rows, columns][away & ~towards].mean()
    )


def test_plants_shine_in_the_infrared_and_water_does_not():
    red, near = bands()[:, 4], bands()[:, 6]
    ndvi = (near - red) / (near + red)
    assert ndvi[[Material.GRASS, Material.TREE, Material.PITCH]].min() > 0.5
    assert ndvi[Material.WATER] < 0
    assert np.abs(ndvi[FIRST_ROOF:]).max() < 0.1


def test_hashed_numbers_are_uniform_and_differ_with_the_seed():
    i, j = np.meshgrid(np.arange(-100, 100), np.arange(-100, 100))
    draws = hashed(i, j, 1)
    histogram = np.histogram(draws, 20, (0, 1))[0] / draws.size
    assert np.abs(histogram - 0.05).max() < 0.005
    assert abs(np.corrcoef(draws.ravel(), hashed(i, j, 2).ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(draws[:, 1:].ravel(), draws[:, :-1].ravel())[0, 1]) < 0.02


def test_cities_lie_in_many_zones_of_both_hemispheres():
    codes = {city.epsg for city in ALL}
    assert len(codes) >= 10
    assert sum(code > 32700 for code in codes) >= 3
    assert max(city.lat for city in ALL) > 55
    assert [city.split for city in ALL].count("train") >= 8
    assert {city.split for city in choose(3)} == {"train", "val", "test"}
    assert len({city.name for city in ALL}) == len(ALL) == len({c.centre for c in ALL})


@pytest.mark.parametrize("city", ALL, ids=lambda city: city.name)
def test_imagery_reaches_beyond_every_photo(city):
    west, south, east, north = city.box_deg
    lon = np.linspace(west, east, 20)
    lat = np.linspace(south, north, 20)
    x, y = city.local(
        np.r_[lon, lon, 0 * lat + west, 0 * lat + east],
        np.r_[0 * lon + south, 0 * lon + north, lat, lat],
    )
    assert np.abs([x, y]).max() + 125 <= city.raster_half_m
    back = city.geographic(x, y)
    assert np.abs(np.hypot(*np.subtract(city.local(*back), (x, y)))).max() < 1e-3
    assert city.bbox_deg[2] >= round(east, 7)
    assert city.raster_half_m < city.half_m + MARGIN_M + 40
