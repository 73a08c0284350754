"""From a strip of the config to a raster: local files, tile sets, `s3://` and `https://`.

`python -m witw.imagery.source` reads a JSON list of `stats` specs from stdin and checks that every
strip opens, has its bands and is georeferenced: exit 0, or one line on stderr and exit 1.
"""

from __future__ import annotations

import fnmatch
import glob
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

from osgeo import gdal

from witw.errors import UserError
from witw.imagery.vrt import Part, Raster, Rect, describe
from witw.paths import is_remote

CACHE_BYTES = 512 << 20
# Lanczos of older versions ignores the sub-pixel offset where a strip is finer than the grid
# (OSGeo/gdal #11042): a shift of half a pixel.
MIN_GDAL = 3_10_00_00
Nodata = float | str
DTYPES = {"Byte", "Int8", "UInt16", "Int16", "UInt32", "Int32", "Float32", "Float64"}


def configure() -> None:
    """Set GDAL up: exceptions, one cache size everywhere, anonymous S3 unless there are keys.

    Raises:
        UserError: GDAL is too old to warp rightly.
    """
    if int(gdal.VersionInfo()) < MIN_GDAL:
        raise UserError(
            f"GDAL {gdal.__version__} shifts imagery when it reprojects: install 3.10 or newer."
        )
    gdal.UseExceptions()
    gdal.SetCacheMax(CACHE_BYTES)
    keys = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
    options = {"GDAL_HTTP_MAX_RETRY": "5", "GDAL_HTTP_RETRY_DELAY": "2", "AWS_REGION": "us-east-1"}
    if not any(os.environ.get(key) for key in keys):
        options["AWS_NO_SIGN_REQUEST"] = "YES"
    for name, value in options.items():
        if not os.environ.get(name):
            gdal.SetConfigOption(name, value)


def gdal_name(path: str) -> str:
    """GDAL's name of a path: `s3://` is `/vsis3/`, `http(s)://` is `/vsicurl/`."""
    if path.startswith("s3://"):
        return f"/vsis3/{path.removeprefix('s3://')}"
    return f"/vsicurl/{path}" if re.match(r"https?://", path) else path


def files(aoi: str, path: str) -> list[str]:
    """GDAL's names of a strip's files, sorted.

    Raises:
        UserError: a tile set without tiles; names AOI and path.
    """
    name = gdal_name(path)
    if "*" not in path:
        return [name]
    found = sorted(_remote_glob(name) if is_remote(path) else glob.glob(path))  # noqa: PTH207
    if not found:
        raise UserError(f"AOI {aoi!r}: no file matches {path}; correct `aois.{aoi}.strips`.")
    return found


def _remote_glob(pattern: str) -> Iterator[str]:
    folder = str(PurePosixPath(pattern).parent).replace(":/", "://", 1)
    for name in gdal.ReadDir(folder) or []:
        if fnmatch.fnmatchcase(name, PurePosixPath(pattern).name):
            yield f"{folder}/{name}"


def load(aoi: str, strip: Mapping[str, Any]) -> Raster:
    """Describe a strip of the config.

    Args:
        aoi: its AOI, for error texts.
        strip: `name`, `path`, `bands` and `nodata` as in the spec.

    Raises:
        UserError: it does not open, lacks a band, has no georeference or holds no real numbers;
            names AOI and path.
    """
    where = f"AOI {aoi!r}: strip file {strip['path']}"
    names = files(aoi, strip["path"])
    try:
        return _assemble(names, tuple(strip["bands"]), strip["nodata"], where)
    except RuntimeError as error:
        text = " ".join(str(error).split())
        raise UserError(f"{where} cannot be read: {text.rstrip('.')}.") from None


def _assemble(names: list[str], bands: tuple[int, ...], nodata: Nodata, where: str) -> Raster:
    ds = gdal.Open(names[0])
    _check(ds, bands, where)
    whole = (0.0, 0.0, float(ds.RasterXSize), float(ds.RasterYSize))
    rects = [(whole, whole)]
    if len(names) > 1:
        ds = gdal.BuildVRT("", names, strict=True)
        rects = _rects(ds, len(names))
    parts = []
    for name, (src, dst) in zip(names, rects, strict=True):
        tile = gdal.Open(name)
        _check(tile, bands, where)
        parts.append(_part(tile, name, src, dst, bands, nodata))
    return _raster(ds, parts, bands)


def _raster(ds: gdal.Dataset, parts: list[Part], bands: tuple[int, ...]) -> Raster:
    srs = ds.GetSpatialRef()
    return Raster(
        parts=tuple(parts),
        size=(ds.RasterXSize, ds.RasterYSize),
        transform=tuple(ds.GetGeoTransform()),
        wkt=srs.ExportToWkt(),
        axes=",".join(map(str, srs.GetDataAxisToSRSAxisMapping())),
        dtype=parts[0].dtype,
        bands=(bands[0], bands[1], bands[2]),
    )


def _check(ds: gdal.Dataset, bands: tuple[int, ...], where: str) -> None:
    count = ds.RasterCount
    if max(bands) > count:
        raise UserError(
            f"{where} has {count} band{'s' * (count != 1)}, but `bands` asks for {list(bands)}; "
            "set `bands` of the AOI or the strip."
        )
    if ds.GetGeoTransform(can_return_null=True) is None or ds.GetSpatialRef() is None:
        raise UserError(f"{where} is not georeferenced; give it a CRS and a geotransform.")
    dtype = gdal.GetDataTypeName(ds.GetRasterBand(bands[0]).DataType)
    if dtype not in DTYPES:
        raise UserError(f"{where} holds {dtype} values, which are no brightness; convert it.")


def _rects(ds: gdal.Dataset, count: int) -> list[tuple[Rect, Rect]]:
    """Source and target rectangle of each tile, from the VRT that GDAL made of them."""
    (text,) = ds.GetMetadata("xml:VRT")
    band = ElementTree.fromstring(text).find("VRTRasterBand")  # noqa: S314
    sources = [] if band is None else [s for s in band if s.find("SrcRect") is not None]
    if len(sources) != count:
        raise RuntimeError("its tiles do not make one raster")
    return [(_rect(s.find("SrcRect")), _rect(s.find("DstRect"))) for s in sources]


def _rect(node: ElementTree.Element | None) -> Rect:
    if node is None:
        raise RuntimeError("its tiles do not make one raster")
    x, y, width, height = (float(node.attrib[k]) for k in ("xOff", "yOff", "xSize", "ySize"))
    return x, y, width, height


def _part(
    ds: gdal.Dataset, name: str, src: Rect, dst: Rect, bands: tuple[int, ...], nodata: Nodata
) -> Part:
    band = ds.GetRasterBand(bands[0])
    masked = nodata == "auto" and bool(band.GetMaskFlags() & gdal.GMF_PER_DATASET)
    return Part(
        file=name,
        size=(ds.RasterXSize, ds.RasterYSize),
        block=tuple(band.GetBlockSize()),
        dtype=gdal.GetDataTypeName(band.DataType),
        src=src,
        dst=dst,
        valid=_valid(ds, bands, nodata, masked),
        masked=masked,
    )


def _valid(
    ds: gdal.Dataset, bands: tuple[int, ...], nodata: Nodata, masked: bool
) -> tuple[tuple[str, float | None], ...]:
    """Which bands say that a pixel is valid: unless all three are blank, it is."""
    if masked:
        return ((f"mask,{bands[0]}", 0.0),)
    out: dict[str, float | None] = {}
    for number in bands:
        band = ds.GetRasterBand(number)
        if nodata == "auto":
            blank = band.GetNoDataValue()
        else:
            blank = None if nodata == "none" else float(nodata)
        if blank is None and gdal.GetDataTypeName(band.DataType).startswith("Float"):
            blank = float("nan")
        out[str(number)] = blank
    # A band without a blank value says "valid" everywhere, so the others need not be read.
    free = [number for number, blank in out.items() if blank is None]
    return ((free[0], None),) if free else tuple(out.items())


def rgb_raster(names: Sequence[str]) -> Raster:
    """Describe 8-bit files with bands red, green, blue first; one grid, the first lies on top."""
    ds = gdal.BuildVRT("", list(names), strict=True)
    parts = [
        _part(gdal.Open(name), name, src, dst, (1, 2, 3), "auto")
        for name, (src, dst) in zip(names, _rects(ds, len(names)), strict=True)
    ]
    return _raster(ds, parts[::-1], (1, 2, 3))


def open_plain(raster: Raster) -> gdal.Dataset:
    """Open a strip as it is: red, green, blue in its own data type, and alpha."""
    return gdal.Open(describe(raster, raster.dtype))


def main() -> None:
    """Check the strips of the specs on stdin."""
    try:
        configure()
        for spec in json.load(sys.stdin):
            load(spec["aoi"], spec["strip"])
    except UserError as error:
        print(f"witw: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    main()
