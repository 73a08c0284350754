"""What a strip's file declares: bands, place, kind of numbers, scale and offset."""

from __future__ import annotations

import math

from osgeo import gdal

from witw.errors import UserError
from witw.imagery.strip.vrt import Triple

UNLOCATED = "is not georeferenced"
BITS = {"Byte": 8, "UInt16": 16, "UInt32": 32}
DTYPES = {"Byte", "Int8", "UInt16", "Int16", "UInt32", "Int32", "Float32", "Float64"}


def physical(
    ds: gdal.Dataset, bands: tuple[int, ...], where: str
) -> tuple[Triple, Triple, int | None]:
    """Return scale and offset of three bands, and the largest number of a negative.

    A negative (MINISWHITE) is an image whose numbers count down from their largest.

    Raises:
        UserError: A scale or offset is no number, or a negative has signed numbers or floats, so
            its largest number is unknown.
    """
    found = [ds.GetRasterBand(number) for number in bands]
    scale = [float(band.GetScale() or 1) for band in found]
    offset = [float(band.GetOffset() or 0) for band in found]
    if not all(map(math.isfinite, (*scale, *offset))):
        raise UserError(
            f"{where} declares the scale {scale} and the offset {offset}, which must be numbers; "
            "correct them with `gdal_edit -scale ... -offset ...`."
        )
    white = None
    if ds.GetMetadataItem("MINISWHITE", "IMAGE_STRUCTURE") == "YES":
        dtype = gdal.GetDataTypeName(found[0].DataType)
        bits = found[0].GetMetadataItem("NBITS", "IMAGE_STRUCTURE") or BITS.get(dtype)
        if not bits:
            raise UserError(f"{where} is a negative (MINISWHITE) of {dtype} values; convert it.")
        white = 2 ** int(bits) - 1
        offset = [o + s * white for s, o in zip(scale, offset, strict=True)]
        scale = [-s for s in scale]
    return (scale[0], scale[1], scale[2]), (offset[0], offset[1], offset[2]), white


def check(ds: gdal.Dataset, bands: tuple[int, ...], where: str) -> None:
    """Check that a file has the bands, a place on the ground, and numbers that are brightness.

    Raises:
        UserError: It has not.
    """
    count = ds.RasterCount
    if max(bands) > count:
        advice = "set `bands` of the area or the strip, as in `bands: [1, 2, 3]`."
        if count < 3:
            advice = (
                "it has no colours; to use it as grey set `bands: [1]` for the strip, else give a "
                "file with red, green and blue."
            )
        raise UserError(
            f"{where} has {count} band{'s' * (count != 1)}, but `bands` asks for {list(bands)}; "
            f"{advice}"
        )
    place = ds.GetGeoTransform(can_return_null=True)
    if place is None or ds.GetSpatialRef() is None:
        advice = "give it a CRS and a geotransform."
        if ds.GetGCPCount() or ds.GetMetadata("RPC"):
            advice = (
                "it has only control points or RPCs: convert it with `gdalwarp` (RPCs: `gdalwarp "
                "-rpc`)."
            )
        raise UserError(f"{where} {UNLOCATED}; {advice}")
    area = place[1] * place[5] - place[2] * place[4]
    if area == 0 or not math.isfinite(area):
        raise UserError(
            f"{where} has pixels without an area; correct its geotransform, which is {place}."
        )
    dtype = gdal.GetDataTypeName(ds.GetRasterBand(bands[0]).DataType)
    if dtype not in DTYPES:
        raise UserError(f"{where} holds {dtype} values, which are not brightness; convert it.")
    colours = (ds.GetRasterBand(number).GetColorInterpretation() for number in bands)
    if gdal.GCI_PaletteIndex in colours:
        raise UserError(
            f"{where} holds colour table numbers, which are not brightness; convert it with "
            "`gdal_translate -expand rgb`."
        )
