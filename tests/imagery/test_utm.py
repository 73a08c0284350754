import hashlib

import numpy as np
import pytest
from osgeo import gdal
from pyproj import Transformer

from witw.errors import UserError
from witw.geo import utm_epsg
from witw.imagery import utm

STEP = 2.7e-6  # degrees, as SpaceNet's strips
METRES = (500_000, 0.3, 0, 4_000_000, 0, -0.3)
BOX = [2.9, 36.0, 3.1, 36.2]
PLAIN = {"bands": [1, 2, 3], "stretch": {"low_pct": 0, "high_pct": 100}}


def box_of(lon, lat):
    return [lon - 0.01, lat - 0.01, lon + 0.01, lat + 0.01]


def read(path):
    """Return RGB (3, h, w), mask (h, w) and geotransform."""
    ds = gdal.Open(str(path))
    return ds.ReadAsArray(), ds.GetRasterBand(1).GetMaskBand().ReadAsArray(), ds.GetGeoTransform()


def source_px(transform, shape, epsg, place):
    """Return the source pixel position of every target pixel's centre, by PROJ alone."""
    rows, cols = np.mgrid[: shape[0], : shape[1]] + 0.5
    east = transform[0] + cols * transform[1]
    north = transform[3] + rows * transform[5]
    lon, lat = Transformer.from_crs(epsg, 4326, always_xy=True).transform(east, north)
    return (lon - place[0]) / place[1], (lat - place[3]) / place[5]


@pytest.mark.parametrize("lat", [0.1, 36.1, 56.2, -22.9])
@pytest.mark.parametrize("lon", [2.3, 5.9999])  # mid-zone, and across a zone's border
def test_a_wave_lands_at_projs_positions(tif, area, lat, lon):
    n, wave = 260, 6.0
    place = (lon, STEP, 0, lat, 0, -STEP)
    y, x = np.mgrid[:n, :n] + 0.5
    data = [np.cos(2 * np.pi * x / wave), np.cos(2 * np.pi * y / wave), np.cos(2 * np.pi * x / 40)]
    data = np.rint(1000 + 900 * np.array(data)).astype("u2")
    town = area([tif("a.tif", data, place, epsg=4326)], box_of(lon, lat), **PLAIN)
    town.stretch()
    rgb, mask, transform = read(town.utm())
    x, y = source_px(transform, mask.shape, utm_epsg(lon, lat), place)
    inside = (np.minimum(x, y) > 12) & (np.maximum(x, y) < n - 12)
    assert (mask[inside] == 255).all()
    for band, (axis, length) in enumerate(((x, wave), (y, wave), (x, 40.0))):
        angle = 2 * np.pi * axis[inside] / length
        terms = np.stack([np.cos(angle), np.sin(angle), np.ones_like(angle)], axis=1)
        cos, sin, _ = np.linalg.lstsq(terms, rgb[band][inside].astype(float))[0]
        assert abs(np.arctan2(sin, cos) / (2 * np.pi) * length) <= 0.02
    slow = 127.5 + 127.5 * np.cos(2 * np.pi * x[inside] / 40)
    assert np.abs(rgb[2][inside] - slow).max() <= 2


@pytest.mark.parametrize(("lat", "epsg"), [(36.1, 32631), (-22.9, 32731)])
def test_degrees_and_metres_of_one_scene_agree(tif, area, lat, epsg):
    lon, n = 2.3, 300
    east0, north0 = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    deg, metre = (lon, STEP, 0, lat, 0, -STEP), (east0, 0.4, 0, north0, 0, -0.4)

    def scene(east, north):
        x, y = (east - east0) / 9, (north - north0) / 7
        return np.rint(1000 + 400 * np.array([np.sin(x), np.cos(y), np.sin(x + y)])).astype("u2")

    rows, cols = np.mgrid[:n, :n] + 0.5
    to_utm = Transformer.from_crs(4326, epsg, always_xy=True)
    one = scene(*to_utm.transform(lon + cols * STEP, lat - rows * STEP))
    two = scene(east0 + cols * 0.4, north0 - rows * 0.4)
    strips = [tif("deg.tif", one, deg, epsg=4326), tif("metre.tif", two, metre, epsg=epsg)]
    town = area(strips, box_of(lon, lat), **PLAIN)
    town.stretch()
    (a, am, at), (b, bm, bt) = read(town.utm("deg")), read(town.utm("metre"))
    dx, dy = round((at[0] - bt[0]) / 0.3), round((at[3] - bt[3]) / -0.3)
    assert abs((at[0] - bt[0]) / 0.3 - dx) < 1e-6 and abs((at[3] - bt[3]) / -0.3 - dy) < 1e-6
    cut_a = np.s_[..., 30:200, 30:200]
    cut_b = np.s_[..., 30 + dy : 200 + dy, 30 + dx : 200 + dx]
    assert am[cut_a].all() and bm[cut_b].all()
    assert np.abs(a[cut_a].astype(int) - b[cut_b]).max() <= 2


def test_the_grid_is_whole_multiples_and_a_strip_on_it_is_copied(tif, area, rng):
    data = rng.integers(0, 256, (3, 90, 80)).astype("u1")
    place = (500_000.2, 0.3, 0, 4_000_000.4, 0, -0.3)  # 1/3 and 2/3 of a pixel off the grid
    on_grid = (300 * 1700.0, 0.3, 0, 300 * 13_000.0, 0, -0.3)
    town = area([tif("off.tif", data, place), tif("on.tif", data, on_grid)], BOX, bands=[1, 2, 3])
    town.stretch()
    rgb, mask, transform = read(town.utm("on"))
    assert np.array_equal(rgb, data) and (mask == 255).all() and transform == on_grid
    _, _, transform = read(town.utm("off"))
    for value in (transform[0], transform[3]):
        assert abs(value / 0.3 - round(value / 0.3)) < 1e-5
    assert transform[0] <= place[0] and transform[3] >= place[3]


def test_blank_pixels_neither_bleed_nor_darken(tif, area):
    n = 240
    rows, cols = np.mgrid[:n, :n]
    data = np.full((3, n, n), 1500, "u2")
    data[:, ::2] = 1400
    wedge = cols < 40 + rows // 3
    data[:, wedge] = 0
    data[:, 100:104, 200:204] = [[[1]], [[0]], [[1]]]  # dark, valid
    lon, lat = 2.3, 36.1
    place = (lon, STEP, 0, lat, 0, -STEP)
    keys = PLAIN | {"stretch": {"low_pct": 2, "high_pct": 98}}
    town = area([tif("a.tif", data, place, epsg=4326, nodata=0)], box_of(lon, lat), **keys)
    town.stretch()
    rgb, mask, transform = read(town.utm())
    x, y = source_px(transform, mask.shape, 32631, place)
    edge = x - (40 + np.floor(y) / 3)
    inside = (y > 0) & (y < n) & (x < n)
    assert (mask[inside & (edge > 1)] == 255).all()
    assert (mask[(edge < -1) | (y < -1) | (x > n + 1) | (y > n + 1)] == 0).all()
    assert (mask[(np.abs(x - 202) < 1.5) & (np.abs(y - 102) < 1.5)] == 255).all()
    # rows of 1400 and 1500 are 0 and 255: their mean must not sink towards the edge
    near = (mask > 0) & (edge > 0) & (edge < 3) & (y > 10) & (y < n - 10)
    far = (edge > 20) & (edge < 60) & (y > 10) & (y < 90)
    assert abs(rgb[1][near].mean() - rgb[1][far].mean()) < 4


def test_a_flat_scene_stays_flat_up_to_its_edge(tif, area):
    data = np.full((3, 200, 200), 90, "u1")
    data[:, :, :50] = 0
    place = (2.3, STEP, 0, 36.1, 0, -STEP)
    town = area([tif("a.tif", data, place, epsg=4326, nodata=0)], box_of(2.3, 36.1), **PLAIN)
    town.stretch()
    rgb, mask, _ = read(town.utm())
    assert set(np.unique(rgb[:, mask > 0])) == {90}


@pytest.mark.parametrize("threads", [2, 3])
def test_bytes_do_not_depend_on_threads_or_time(tif, area, rng, threads, monkeypatch):
    monkeypatch.setattr(utm, "WARP_MEGABYTES", 1)  # many pieces
    data = rng.integers(0, 2000, (3, 700, 700)).astype("u2")
    data[:, :, :99] = 0
    place = (2.3, STEP, 0, 56.1, 0, -STEP)
    town = area(
        [tif("a.tif", data, place, epsg=4326, nodata=0)], box_of(2.3, 56.1), bands=[1, 2, 3]
    )
    town.stretch()
    one = hashlib.sha256(town.utm(threads=1).read_bytes()).hexdigest()
    assert hashlib.sha256(town.utm(threads=threads).read_bytes()).hexdigest() == one


def test_the_bound_on_positions_and_the_pieces_are_invisible(tif, area, rng, monkeypatch):
    data = rng.integers(0, 256, (3, 500, 500)).astype("u1")
    place = (2.3, STEP, 0, 56.1, 0, -STEP)
    town = area([tif("a.tif", data, place, epsg=4326)], box_of(2.3, 56.1), bands=[1, 2, 3])
    town.stretch()
    usual, mask, _ = read(town.utm())
    monkeypatch.setattr(utm, "MAX_SHIFT_PX", 0)
    exact, exact_mask, _ = read(town.utm())
    both = (mask > 0) & (exact_mask > 0)
    assert (mask != exact_mask).sum() <= 3
    assert np.abs(usual.astype(int) - exact)[:, both].max() <= 1
    monkeypatch.setattr(utm, "WARP_MEGABYTES", 1)
    pieces, _, _ = read(town.utm())
    assert np.array_equal(pieces, exact)


def test_the_file_is_a_cog_with_mask_and_overviews(tif, area, rng):
    data = rng.integers(0, 256, (3, 1100, 1100)).astype("u1")
    town = area([tif("a.tif", data, METRES)], BOX, bands=[1, 2, 3])
    town.stretch()
    path = town.utm()
    ds = gdal.Open(str(path))
    band = ds.GetRasterBand(1)
    assert ds.GetMetadataItem("LAYOUT", "IMAGE_STRUCTURE") == "COG"
    assert (ds.RasterCount, band.GetBlockSize(), band.GetOverviewCount()) == (3, [512, 512], 2)
    assert band.GetMaskFlags() == gdal.GMF_PER_DATASET
    assert ds.GetSpatialRef().GetAuthorityCode(None) == "32631"
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []


def test_a_strip_on_another_continent_gives_one_sentence(tif, area):
    path = tif("a.tif", np.ones((3, 20, 20), "u1"), (120, 1, 0, 60, 0, -1), epsg=4326)
    town = area([path], BOX, bands=[1, 2, 3])
    town.stretch()
    with pytest.raises(UserError, match="Area 'town'"):
        town.utm()


def test_a_missing_source_gives_one_sentence_and_leaves_nothing(tif, area, tmp_path):
    path = tif("a.tif", np.ones((3, 20, 20), "u1"), METRES)
    town = area([path], BOX, bands=[1, 2, 3])
    town.stretch()
    (tmp_path / path).unlink()
    tif = town.strip("a", "utm.tif")
    with pytest.raises(UserError, match=r"Area 'town': strip file a\.tif cannot be read"):
        utm.run(town.spec("utm", "a"), town.root / "stretch.json", tif)
    assert sorted(p.name for p in tif.parent.iterdir()) == ["a.decoded", "a.stats.json"]


@pytest.mark.parametrize("engine", ["sweep", "gdal"])
@pytest.mark.parametrize("turn", [0, -360])
def test_a_strip_across_the_180th_meridian_lies_at_projs_positions(tif, area, engine, turn):
    """Both zones, longitudes beyond 180 and below -180, compared with the scene at every pixel."""
    n, west, lat = 400, 179.9995 + turn, -17.0
    place = (west, STEP, 0, lat, 0, -STEP)
    y, x = (np.mgrid[:n, :n] + 0.5) / n
    data = np.rint([40 + 150 * x, 220 - 150 * y, 60 + 70 * x + 70 * y]).astype("u1")
    path = tif("a.tif", data, place, epsg=4326)
    for lon, epsg in ((179.9997, 32760), (-179.9997, 32701)):
        box = [lon - 0.0001, lat - 0.001, lon + 0.0001, lat]
        town = area([path], box, bands=[1, 2, 3], utm={"engine": engine}, epsg=epsg)
        town.stretch()
        rgb, mask, transform = read(town.utm())
        found_x, found_y = source_px(transform, mask.shape, epsg, (0, STEP, 0, lat, 0, -STEP))
        found_x = (found_x * STEP - west + 180) % 360 - 180
        x, y = found_x / STEP / n, found_y / n
        inside = (np.minimum(x, y) > 0.02) & (np.maximum(x, y) < 0.98)
        assert (mask[inside] == 255).all() and inside.sum() > 100_000
        truth = np.stack([40 + 150 * x, 220 - 150 * y, 60 + 70 * x + 70 * y])
        assert np.abs(rgb - truth)[:, inside].max() <= 1.5


@pytest.mark.parametrize("epsg", [4326, 27700])
def test_a_missing_datum_grid_is_reported(tif, area, rng, caplog, epsg):
    from pyproj.transformer import TransformerGroup

    data = rng.integers(0, 250, (3, 60, 60)).astype("u1")
    place = (530_000, 0.3, 0, 180_000, 0, -0.3)
    if epsg == 4326:
        place = (-0.12, STEP, 0, 51.5, 0, -STEP)
    elif TransformerGroup(epsg, 32630).best_available:
        pytest.skip("the grid is installed here")
    town = area([tif("a.tif", data, place, epsg=epsg)], box_of(-0.12, 51.5), bands=[1, 2, 3])
    town.stretch()
    with caplog.at_level("WARNING", "witw"):
        town.utm()
    told = "may be misplaced by 2 m, because PROJ lacks the datum grid OSTN15_NTv2" in caplog.text
    told |= "may be misplaced by 2 m, because PROJ lacks the datum grid uk_os_OSTN15" in caplog.text
    assert told == (epsg == 27700), caplog.text
