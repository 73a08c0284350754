import shutil

import numpy as np
import pytest
import rasterio
from osgeo import gdal

from witw.errors import UserError
from witw.imagery import mosaic

BOX = [2.9, 36.0, 3.1, 36.2]
PLACE = (510_000, 0.3, 0, 3_990_000, 0, -0.3)


def two(tif, area):
    """Two strips that overlap by half, of 100 and 200; the first has a blank corner."""
    one, other = np.full((3, 80, 100), 100, "u1"), np.full((3, 60, 100), 200, "u1")
    one[:, :30, 60:] = 0
    beside = (510_000 + 50 * 0.3, 0.3, 0, 3_990_000 - 10 * 0.3, 0, -0.3)
    strips = [tif("one.tif", one, PLACE, nodata=0), tif("other.tif", other, beside)]
    return area(strips, BOX, bands=[1, 2, 3])


def test_the_first_strip_lies_on_top_except_where_it_is_blank(tif, area):
    ds = gdal.Open(str(two(tif, area).mosaic()))
    shown, mask = ds.ReadAsArray(), ds.GetRasterBand(1).GetMaskBand().ReadAsArray()
    assert shown.shape == (3, 80, 150)
    expected = np.zeros((80, 150))
    expected[10:70, 50:] = 200
    upper = np.zeros_like(expected, dtype=bool)
    upper[:, :100] = True
    upper[:30, 60:100] = False
    expected[upper] = 100
    assert all(np.array_equal(band, expected) for band in shown)
    assert np.array_equal(mask > 0, expected > 0)


def test_the_order_of_the_config_decides(tif, area):
    town = two(tif, area)
    town.mosaic()
    tifs = [town.strip(name, "utm.tif") for name in reversed(town.names)]
    mosaic.run(town.spec("mosaic"), tifs, town.root / "mosaic.vrt")
    shown = gdal.Open(str(town.root / "mosaic.vrt")).ReadAsArray()
    assert (shown[:, 10:70, 50:] == 200).all()


def test_another_library_reads_the_same(tif, area):
    path = two(tif, area).mosaic()
    ds = gdal.Open(str(path))
    with rasterio.open(path) as raster:
        assert raster.crs.to_epsg() == 32631 and raster.transform.a == pytest.approx(0.3)
        assert np.array_equal(raster.read(), ds.ReadAsArray())
        assert np.array_equal(raster.read_masks(1), ds.GetRasterBand(1).GetMaskBand().ReadAsArray())


def test_results_can_move_and_repeat(tif, area, tmp_path):
    town = two(tif, area)
    path = town.mosaic()
    text, shown = path.read_text(), gdal.Open(str(path)).ReadAsArray()
    assert str(tmp_path) not in text
    town.mosaic()
    assert path.read_text() == text
    shutil.move(tmp_path / "results", tmp_path / "archive")
    assert np.array_equal(gdal.Open("archive/town/mosaic.vrt").ReadAsArray(), shown)


def test_a_broken_strip_is_one_sentence(tif, area):
    town = two(tif, area)
    town.mosaic()
    town.strip("one", "utm.tif").write_bytes(b"II*\0")
    tifs = [town.strip(name, "utm.tif") for name in town.names]
    with pytest.raises(UserError, match=r"AOI 'town'.*one\.utm\.tif"):
        mosaic.run(town.spec("mosaic"), tifs, town.root / "mosaic.vrt")
