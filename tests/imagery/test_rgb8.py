import shutil
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from witw.imagery.rgb8 import lut
from witw.imagery.strip.eight_bit import table

BOX = [2.9, 36.0, 3.1, 36.2]
PLACE = (500_000, 0.3, 0, 4_000_000, 0, -0.3)


def converted(town):
    """Return the VRT's content and numpy's conversion, (4, height, width), and the limits."""
    limits = town.stretch()
    return gdal.Open(str(town.rgb8())).ReadAsArray(), limits


@pytest.mark.parametrize("dtype", ["u2", "i2", "i4", "u4", "f4", "f8"])
def test_the_vrt_is_the_table_for_every_value(tif, area, dtype):
    every = np.arange(4096).reshape(64, 64)
    data = np.stack([every, every[::-1], every.T]).astype(dtype)
    shown, limits = converted(area([tif("a.tif", data, PLACE)], BOX, bands=[3, 1, 2]))
    for band, number in enumerate((2, 0, 1)):
        expected = table(data[number], limits["low"][band], limits["high"][band])
        assert np.array_equal(shown[band], expected)
    assert (shown[3] == 255).all()


def test_the_vrt_is_the_table_between_whole_numbers_too(tif, area, rng):
    data = rng.uniform(-3, 3, (3, 200, 200)).astype("f4")
    shown, limits = converted(area([tif("a.tif", data, PLACE)], BOX, bands=[1, 2, 3]))
    for band in range(3):
        expected = table(data[band], limits["low"][band], limits["high"][band])
        assert np.array_equal(shown[band], expected)


@pytest.mark.parametrize(("low", "high"), [(7, 7), (7, 8), (7.2, 7.4), (0, 65_535), (-20, 300)])
def test_narrow_and_wide_stretches_are_exact(low, high, tif):
    entries = [tuple(map(float, e.split(":"))) for e in lut(low, high, whole=True).split(",")]
    keys = [key for key, _ in entries]
    assert keys == sorted(set(keys))
    every = np.arange(-32_768, 65_536)
    assert np.array_equal(np.interp(every, *zip(*entries, strict=True)), table(every, low, high))


def test_dark_pixels_are_valid(tif, area, rng):
    data = rng.integers(1, 2000, (3, 50, 50)).astype("u2")
    data[:, :10] = 0
    data[0, 20] = 0
    data[:, 30] = 1
    shown, _ = converted(area([tif("a.tif", data, PLACE, nodata=0)], BOX, bands=[1, 2, 3]))
    assert (shown[3][:10] == 0).all() and (shown[3][10:] == 255).all()
    assert (shown[:3, 30] == 0).all()  # as dark as it gets, and still valid
    assert shown[1:3, 20].any()


def test_eight_bit_is_kept_value_by_value(tif, area, rng):
    data = rng.integers(0, 256, (3, 50, 50)).astype("u1")
    shown, limits = converted(area([tif("a.tif", data, PLACE)], BOX, bands=[1, 2, 3]))
    assert limits == {"kind": "keep"} and np.array_equal(shown[:3], data)


def test_an_eight_bit_strip_is_kept_or_stretched_as_configured(tif, area, rng):
    small = rng.integers(40, 90, (3, 50, 50)).astype("u1")
    strips = [
        tif("small.tif", small, PLACE),
        tif("big.tif", small.astype("u2") * 20, (500_100, *PLACE[1:])),
    ]
    for told in ("keep", "stretch"):
        town = area(strips, BOX, bands=[1, 2, 3], stretch={"eight_bit": told})
        limits = town.stretch()
        shown = gdal.Open(str(town.rgb8("small"))).ReadAsArray()
        expected = (
            small[0] if told == "keep" else table(small[0], limits["low"][0], limits["high"][0])
        )
        assert np.array_equal(shown[0], expected)


def test_tiles_are_one_raster_with_the_last_on_top(tif, area, rng):
    one, two = rng.integers(1, 500, (2, 3, 40, 60)).astype("u2")
    two[:, :, :5] = 0
    tif("t/a.tif", one, PLACE, nodata=0)
    tif("t/b.tif", two, (500_000 + 50 * 0.3, *PLACE[1:]), nodata=0)
    shown, limits = converted(area(["t/*.tif"], BOX, bands=[1, 2, 3]))
    merged = np.concatenate([one[..., :55], two[..., 5:]], axis=2)
    for band in range(3):
        expected = table(merged[band], limits["low"][band], limits["high"][band])
        assert np.array_equal(shown[band], expected)
    assert (shown[3] == 255).all()


def test_masked_tiles_show_what_lies_below(tif, area, rng):
    one, two = rng.integers(0, 255, (2, 3, 40, 60)).astype("u1")
    mask = np.full((40, 60), 255, "u1")
    mask[:, :10] = 0
    tif("t/a.tif", one, PLACE, mask=np.full_like(mask, 255))
    tif("t/b.tif", two, PLACE, mask=mask)
    shown, _ = converted(area(["t/*.tif"], BOX, bands=[1, 2, 3]))
    assert np.array_equal(shown[:3, :, :10], one[..., :10])
    assert np.array_equal(shown[:3, :, 10:], two[..., 10:])


def test_any_gis_sees_rgb_and_alpha_at_its_place(tif, area, rng):
    data = rng.integers(0, 255, (3, 20, 20)).astype("u2")
    town = area(
        [tif("a.tif", data, (2.3, 2.7e-6, 0, 36.1, 0, -2.7e-6), epsg=4326)], BOX, bands=[1, 2, 3]
    )
    town.stretch()
    ds = gdal.Open(str(town.rgb8()))
    colours = [ds.GetRasterBand(n).GetColorInterpretation() for n in (1, 2, 3, 4)]
    assert colours == [gdal.GCI_RedBand, gdal.GCI_GreenBand, gdal.GCI_BlueBand, gdal.GCI_AlphaBand]
    assert ds.GetGeoTransform() == (2.3, 2.7e-6, 0, 36.1, 0, -2.7e-6)
    assert ds.GetSpatialRef().GetDataAxisToSRSAxisMapping() == [2, 1]


def test_the_run_folder_can_move_even_where_results_is_a_link(
    tif, area, rng, tmp_path, monkeypatch
):
    data = rng.integers(0, 255, (3, 20, 20)).astype("u2")
    Path("run").mkdir()
    Path("elsewhere/deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run")
    Path("results").symlink_to(tmp_path / "elsewhere/deep")
    town = area([tif("imagery/a.tif", data, PLACE)], BOX, bands=[1, 2, 3])
    before, _ = converted(town)
    assert str(tmp_path) not in town.strip("a", "rgb8.vrt").read_text()
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(gdal.Open("elsewhere/deep/town/strips/a.rgb8.vrt").ReadAsArray(), before)
    shutil.copytree(tmp_path, tmp_path.parent / "moved", symlinks=True)
    shutil.rmtree(tmp_path / "run")
    moved = tmp_path.parent / "moved/elsewhere/deep/town/strips/a.rgb8.vrt"
    assert np.array_equal(gdal.Open(str(moved)).ReadAsArray(), before)


def test_the_same_strip_gives_the_same_bytes(tif, area, rng):
    town = area(
        [tif("a.tif", rng.integers(0, 999, (3, 20, 20)).astype("u2"), PLACE)], BOX, bands=[1, 2, 3]
    )
    town.stretch()
    first = town.rgb8().read_bytes()
    assert town.rgb8().read_bytes() == first
