import shutil

import numpy as np
import pandas as pd
import pytest
import rasterio
from osgeo import gdal
from PIL import Image
from pyproj import Transformer

from witw.errors import UserError
from witw.imagery import mosaic

BOX = [2.9, 36.0, 3.1, 36.2]
PLACE = (510_000, 0.3, 0, 3_990_000, 0, -0.3)


def two(tif, area):
    """Return two half-overlapping strips of 100 and 200; the first has a blank corner."""
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


def test_the_mosaic_names_its_strips_from_the_top(tif, area):
    assert mosaic.order(gdal.Open(str(two(tif, area).mosaic()))) == ["one", "other"]


def ground(rng, height, width):
    """Return houses, trees and shadows: (3, height, width) of 0..1."""
    blocks = rng.uniform(0.02, 0.7, (3, height // 32, width // 32))
    scene = np.kron(blocks, np.ones((32, 32)))
    scene[:, rng.random((height // 32, width // 32)).repeat(32, 0).repeat(32, 1) < 0.15] = 0.01
    return scene


def hazy(scene, share):
    return scene * (1 - share) + share


def cloudy(scene, rows):
    out = scene.copy()
    out[:, :rows] = 0.97
    return out


def best(tif, area, looks, shifts, keep=False):
    """Return the topmost-first names of strips of one ground with different looks and columns."""
    strips = [f"s{n}.tif" for n in range(len(looks))]
    town = area(strips, BOX, bands=[1, 2, 3], mosaic="order" if keep else "best")
    for name, look, start in zip(town.names, looks, shifts, strict=True):
        place = (510_000 + start * 0.3, 0.3, 0, 3_990_000, 0, -0.3)
        data = np.rint(look * 255).clip(1, 255).astype("u1")
        plain = gdal.Open(tif(f"{name}.tif", data, place, mask=np.full(data.shape[1:], 255)))
        gdal.GetDriverByName("COG").CreateCopy(str(town.strip(name, "utm.tif")), plain)
    tifs = [town.strip(name, "utm.tif") for name in town.names]
    mosaic.run(town.spec("mosaic"), tifs, town.root / "mosaic.vrt")
    return mosaic.order(gdal.Open(str(town.root / "mosaic.vrt"))), town


def test_the_clearest_lies_on_top_whatever_its_brightness(tif, area, rng):
    scene = ground(rng, 800, 800)
    looks = [hazy(scene, 0.25), cloudy(scene, 400), 0.55 * scene, hazy(0.55 * scene, 0.1)]
    names, town = best(tif, area, looks, [0, 0, 0, 0])
    assert names == ["s2", "s3", "s0", "s1"]
    ds = gdal.Open(str(town.root / "mosaic.vrt"))
    top = gdal.Open(str(town.strip("s2", "utm.tif"))).ReadAsArray()
    assert np.array_equal(ds.ReadAsArray(), top)
    assert ds.GetMetadataItem("HAZE", "witw").count(",") == 3
    assert best(tif, area, looks, [0, 0, 0, 0], keep=True)[0] == ["s0", "s1", "s2", "s3"]


def test_strips_are_compared_on_the_ground_they_share(tif, area, rng):
    # The first strip is hazy, but its own half is dark water, so overall it would look clearest.
    scene = ground(rng, 800, 1600)
    water = hazy(scene, 0.15)
    water[..., :768] = rng.uniform(0.005, 0.05, (3, 800, 768))
    names, _ = best(tif, area, [water, scene[..., 768:]], [0, 768])
    assert names == ["s1", "s0"]


def test_equal_strips_and_strips_apart_stay_in_order(tif, area, rng):
    scene = ground(rng, 800, 800)
    assert best(tif, area, [scene] * 3, [0, 0, 0])[0] == ["s0", "s1", "s2"]
    looks = [hazy(scene, 0.3), scene]
    assert best(tif, area, looks, [0, 2000])[0] == ["s0", "s1"]


def test_chips_show_what_the_best_mosaic_shows(tif, area, rng):
    scene = ground(rng, 800, 800)
    _, town = best(tif, area, [hazy(scene, 0.3), scene], [0, 0])
    lon, lat = Transformer.from_crs(32631, 4326, always_xy=True).transform(510_120, 3_989_880)
    rows = town.chips(pd.DataFrame({"id": ["7"], "lon": [lon], "lat": [lat]}))
    assert rows.loc["7", "strip"] == "s1" and rows.loc["7", "blank_fraction"] == 0
    shown = gdal.Open(str(town.root / "mosaic.vrt")).ReadAsArray(25, 25, 750, 750)
    chip = np.asarray(Image.open(rows.loc["7", "chip_path"])).astype(int).transpose(2, 0, 1)
    assert np.abs(chip - shown).mean() < 4


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


def test_a_broken_strip_gives_one_sentence(tif, area):
    town = two(tif, area)
    town.mosaic()
    town.strip("one", "utm.tif").write_bytes(b"II*\0")
    tifs = [town.strip(name, "utm.tif") for name in town.names]
    with pytest.raises(UserError, match=r"Area 'town'.*one\.utm\.tif"):
        mosaic.run(town.spec("mosaic"), tifs, town.root / "mosaic.vrt")
