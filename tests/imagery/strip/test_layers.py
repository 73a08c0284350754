"""Tile sets, masks and floats: validity pixel by pixel, compared with numpy on the arrays."""

from contextlib import closing

import numpy as np
import pytest
from osgeo import gdal
from rasterio.windows import Window

from witw.imagery.strip import source
from witw.imagery.strip.layers import Layers

PLACE = (500_000, 0.5, 0, 4_000_000, 0, -0.5)
BOX = [2.9, 36.0, 3.1, 36.2]


def right_of(columns):
    return (PLACE[0] + columns * PLACE[1], *PLACE[1:])


def rgb_and_mask(town, name=None):
    ds = gdal.Open(str(town.utm(name)))
    return ds.ReadAsArray(), ds.GetRasterBand(1).GetMaskBand().ReadAsArray() > 0


def layers(path, nodata="auto", bands=(1, 2, 3)):
    """Return stored numbers and validity of a whole small strip."""
    strip = {"name": "a", "path": path, "bands": list(bands), "nodata": nodata}
    raster = source.load("town", strip)
    with closing(Layers(raster)) as files:
        return files.read(Window(0, 0, *raster.size))


@pytest.mark.parametrize(("dtype", "nodata", "top"), [("u1", 255, 330), ("u2", 65_535, 80_000)])
def test_a_tile_set_equals_the_same_picture_in_one_file(tif, area, rng, dtype, nodata, top):
    scene = rng.random((3, 8, 30)).repeat(10, 1).repeat(10, 2)
    data = np.clip(scene * top, 0, nodata).astype(dtype)  # each band saturates by itself
    data[:, :30, :40] = nodata
    assert ((data == nodata).any(0) & ~(data == nodata).all(0)).mean() > 0.2
    tif("whole.tif", data, PLACE, nodata=nodata)
    tif("n/t_0.tif", data[..., :170], PLACE, nodata=nodata)
    tif("n/t_1.tif", data[..., 150:], right_of(150), nodata=nodata)
    towns = [area([path], BOX, bands=[1, 2, 3]) for path in ("whole.tif", "n/*.tif")]
    stretches, found = zip(*((t.stretch(), rgb_and_mask(t)) for t in towns), strict=True)
    assert stretches[0] == stretches[1]
    for one, two in zip(*found, strict=True):
        assert np.array_equal(one, two)


def test_a_pixel_shows_one_tile_with_all_of_its_bands(tif):
    low, high = np.full((3, 40, 60), 90, "u1"), np.full((3, 40, 60), 200, "u1")
    high[0] = 0  # not blank: the other two are not
    high[:, :10] = 0
    tif("o/t_0.tif", low, PLACE, nodata=0)
    tif("o/t_1.tif", high, PLACE, nodata=0)
    data, valid = layers("o/*.tif")
    assert valid.all()
    assert (data[:, :10] == 90).all()
    assert (data[:, 10:] == np.array([0, 200, 200])[:, None, None]).all()


@pytest.mark.parametrize("nodata", ["auto", -9999, "none"])
def test_a_float_without_a_number_in_one_band_is_blank(tif, rng, nodata):
    data = rng.random((3, 40, 60)).astype("f4")
    data[0, 3, :20] = np.nan
    data[2, 5, :7] = np.inf
    data[:, 8] = -9999
    data[1, 9] = -9999  # in one band of three
    _, valid = layers(tif("f.tif", data, PLACE), nodata)
    expected = np.isfinite(data).all(0) & ~((data == -9999).all(0) & (nodata == -9999))
    assert np.array_equal(valid, expected) and not expected.all()


@pytest.mark.parametrize("kind", ["alpha", "mask", "alpha and declared nodata"])
@pytest.mark.parametrize("nodata", ["auto", 0, 7])
def test_alpha_and_masks_count_beside_any_nodata(tif, rng, kind, nodata):
    data = rng.integers(20, 250, (3, 40, 60)).astype("u1")
    shown = np.full((40, 60), 255, "u1")
    shown[:, :20] = 0
    data[:, :20] = 255  # a white collar
    data[:, 30:32] = nodata if nodata != "auto" else 0
    if kind == "mask":
        path = tif("a.tif", data, PLACE, mask=shown)
    else:
        told = 0 if "declared" in kind else None
        rgba = np.concatenate([data, shown[None]])
        path = tif("a.tif", rgba, PLACE, nodata=told, PHOTOMETRIC="RGB", ALPHA="YES")
    _, valid = layers(path, nodata)
    # Of a file that declares both, `auto` takes the nodata value, as GDAL does.
    blank = (shown == 0) & (nodata != "auto" or "declared" not in kind)
    # `auto` uses the file's declaration; a number replaces it.
    blank[30:32] |= nodata != "auto" or "declared" in kind
    assert np.array_equal(valid, ~blank)


def test_nodata_none_takes_every_pixel_of_a_masked_file(tif, rng):
    data = rng.integers(20, 250, (3, 40, 60)).astype("u1")
    path = tif("a.tif", data, PLACE, mask=np.zeros((40, 60), "u1"))
    raster = source.load("town", {"name": "a", "path": path, "bands": [1, 2, 3], "nodata": "none"})
    assert raster.parts[0].mask is None and raster.parts[0].blank is None


def test_many_tiles_are_read_with_few_files_open(tif, monkeypatch, rng):
    monkeypatch.setattr("witw.imagery.strip.layers.OPEN_FILES", 2)
    data = rng.integers(1, 250, (3, 20, 100)).astype("u2")
    for n in range(10):
        tif(f"m/{n}.tif", data[..., n * 10 : n * 10 + 10], right_of(10 * n))
    found, valid = layers("m/*.tif")
    assert valid.all() and np.array_equal(found, data)
