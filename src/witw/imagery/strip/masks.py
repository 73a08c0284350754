"""Rasters beside a strip that say which of its pixels are usable, such as Planet's UDM2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from osgeo import gdal

from witw.errors import UserError
from witw.imagery.strip import formats, remote

Usable = tuple[str, int, int]  # GDAL's name, band, value of usable pixels
MOST_OFF_PX = 0.01


def of_files(
    aoi: str, strip: Mapping[str, Any], count: int, files: Callable[[str, str], list[str]]
) -> list[Usable | None]:
    """The raster of usable pixels of each of a strip's files.

    Args:
        aoi: the strip's area.
        strip: as in the spec.
        count: of the strip's files.
        files: GDAL's names of the files of an area's path.

    Raises:
        UserError: there are more or fewer of them than files.
    """
    mask = strip.get("mask")
    if not mask:
        return [None] * count
    found = files(aoi, mask["path"])
    if len(found) != count:
        raise UserError(
            f"Area {aoi!r}: strip {strip['name']} has {count} files and {len(found)} in `mask`; "
            "give one for each, whose names sort alike."
        )
    return [(name, mask["band"], mask["usable"]) for name in found]


def check(usable: Usable, ds: gdal.Dataset, where: str) -> None:
    """Look whether a raster of usable pixels lies on a strip's grid.

    Raises:
        UserError: it does not, or cannot be read.
    """
    name, number, _ = usable
    shown = remote.shown(remote.user_name(name))
    try:
        mask = formats.opened(name, number).ds
    except RuntimeError as error:
        why = remote.reason(name, str(error))
        raise UserError(f"{where} has a `mask` {shown} that cannot be read: {why}.") from None
    if mask.RasterCount < number:
        raise UserError(f"{where} has a `mask` {shown} without a band {number}.")
    size = ds.RasterXSize, ds.RasterYSize
    if size != (mask.RasterXSize, mask.RasterYSize) or _off_px(ds, mask) > MOST_OFF_PX:
        raise UserError(
            f"{where} has a `mask` {shown} on another grid of pixels; bring it onto the strip's "
            "(gdalwarp -te -ts)."
        )


def _off_px(ds: gdal.Dataset, other: gdal.Dataset) -> float:
    """How far the corners of two rasters of one size lie apart at most [px]."""
    one, two = ds.GetGeoTransform(), other.GetGeoTransform()
    step = max(abs(one[1]), abs(one[2]), 1e-300)
    difference = [a - b for a, b in zip(one, two, strict=True)]
    corners = [(x, y) for x in (0, ds.RasterXSize) for y in (0, ds.RasterYSize)]
    apart = [
        abs(difference[k] + difference[k + 1] * x + difference[k + 2] * y)
        for k in (0, 3)
        for x, y in corners
    ]
    return float(max(apart) / step)
