"""Strips in formats that GDAL's wheel lacks are described and read by rasterio's."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from osgeo import gdal

from witw.errors import UserError
from witw.imagery.strip import blocks, source

PLACE = (500_000, 0.3, 0, 4_000_000, 0, -0.3)
BOX = [2.9, 36.0, 3.1, 36.2]
# Driver -> suffix, creation options, whether pixels and position are kept exactly.
FORMATS = {
    "HFA": ("img", {}, True),
    "ENVI": ("dat", {}, True),
    "NITF": ("ntf", {"ICORDS": "N"}, False),
    "PCIDSK": ("pix", {}, True),
    "EHdr": ("bil", {}, True),
    "JP2OpenJPEG": ("jp2", {"QUALITY": "100", "REVERSIBLE": "YES"}, True),
    "MBTiles": ("mbtiles", {}, False),
}


def strip(path, bands=(1, 2, 3), nodata="auto"):
    return {"name": "a", "path": str(path), "bands": list(bands), "nodata": nodata}


def converted(tif, driver, data):
    """Return a GeoTIFF and the same data in another format, written by rasterio's GDAL."""
    suffix, options, is_exact = FORMATS[driver]
    one = tif("a.tif", data, PLACE)
    other = f"b.{suffix}"
    rasterio.shutil.copy(one, other, driver=driver, **options)
    return one, other, is_exact


def pixels(path, bands=(1, 2, 3)):
    raster = source.load("town", strip(path, bands))
    with blocks.opened(raster, 1) as reader:
        if reader.plain:
            return raster, np.block([[reader.bands(unit) for unit in reader.units()]])
        return raster, reader.layers(reader.units()[0])[0]


@pytest.mark.parametrize("driver", FORMATS)
def test_a_strip_of_another_format_equals_its_geotiff(tif, rng, area, driver):
    dtype = "u1" if driver in ("MBTiles", "EHdr") else "u2"
    data = rng.integers(1, 255, (3, 60, 80)).astype(dtype)
    if driver == "MBTiles":
        data = np.repeat(np.repeat(data, 4, 1), 4, 2)
    one, other, is_exact = converted(tif, driver, data)
    if driver != "JP2OpenJPEG":
        with pytest.raises(RuntimeError, match="not recognized"):
            gdal.Open(other)  # else this tests nothing
    (first, seen), (second, found) = pixels(one), pixels(other)
    if is_exact:
        assert np.array_equal(seen, found)
        assert second.transform == pytest.approx(first.transform, abs=1e-6)
        assert (second.dtype, second.size) == (first.dtype, first.size)
    stretches = []
    for path in (one, other):
        town = area([path], BOX, bands=[1, 2, 3])
        stretches.append(town.stretch())
        ds = gdal.Open(str(town.utm()))
        assert ds.RasterCount == 3
        shown = ds.GetRasterBand(1).GetMaskBand().ReadAsArray() > 0
        place = ds.GetGeoTransform()
        stretches[-1] = (ds.ReadAsArray() * shown, place)
    (a, where), (b, there) = stretches
    if is_exact:
        assert np.array_equal(a, b) and where == there
    else:
        # As accurate as the format's position and colours: middles agree to within a pixel.
        middle = [
            (t[0] + s.shape[2] / 2 * t[1], t[3] + s.shape[1] / 2 * t[5])
            for s, t in ((a, where), (b, there))
        ]
        assert np.abs(np.subtract(*middle)).max() < 8


def test_nodata_alpha_and_scale_of_another_format_count(tif, rng):
    data = rng.integers(1, 2000, (3, 20, 30)).astype("u2")
    data[:, :5] = 0
    rasterio.shutil.copy(tif("a.tif", data, PLACE, nodata=0), "a.img", driver="HFA")
    assert source.load("town", strip("a.img")).parts[0].blank == (0, 0, 0)
    four = np.concatenate([data, np.full((1, 20, 30), 9, "u2")])
    rasterio.shutil.copy(tif("b.tif", four, PLACE), "b.dat", driver="ENVI")
    assert source.load("town", strip("b.dat")).parts[0].mask is None
    with rasterio.open("b.dat", "r+") as file:
        file.colorinterp = [rasterio.enums.ColorInterp(n) for n in (3, 4, 5, 6)]
    assert source.load("town", strip("b.dat", nodata="none")).parts[0].mask is None


def test_an_unreadable_format_gives_one_sentence(tif):
    Path("a.ecw").write_bytes(b"\x02\x01\x00" * 99)
    Path("a.sid").write_bytes(b"msid" * 99)
    Path("a.img").write_text("no raster")
    for name, words in (("a.ecw", "ECW is read by licensed software only"),
                        ("a.sid", "MrSID is read by licensed software only"),
                        ("a.img", "not recognized as being in a supported")):  # fmt: skip
        with pytest.raises(UserError, match=words) as caught:
            source.load("town", strip(name))
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_one_band_is_grey(tif, rng, area):
    data = rng.integers(1, 2000, (1, 60, 80)).astype("u2")
    path = tif("pan.tif", data, PLACE)
    shown = {}
    for bands in ([1], [1, 1, 1]):
        town = area([{"path": path, "bands": bands}], BOX)
        town.stretch()
        shown[len(bands)] = Path(town.utm()).read_bytes()
        assert json.loads(json.dumps(town.spec("stats", "pan")))["strip"]["bands"] == [1, 1, 1]
    assert shown[1] == shown[3]
