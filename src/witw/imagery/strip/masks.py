"""Rasters of usable pixels beside a strip, such as Planet's UDM2."""

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
    """Return the raster of usable pixels for each of a strip's files.

    Args:
        aoi: The strip's area.
        strip: The strip as in the spec.
        count: Number of the strip's files.
        files: Returns GDAL's names of the files of an area's path.

    Raises:
        UserError: The numbers of rasters and files differ.
    """
    mask = strip.get("mask")
    if not mask:
        return [None] * count
    found = files(aoi, mask["path"])
    if len(found) != count:
        raise UserError(
            f"Area {aoi!r}: strip {strip['name']} has {count} files and {len(found)} in `mask`; "
            "give one for each, with names in the same order."
        )
    return [(name, mask["band"], mask["usable"]) for name in found]


def check(usable: Usable, ds: gdal.Dataset, where: str) -> None:
    """Check that a raster of usable pixels lies on a strip's grid.

    Raises:
        UserError: It does not, or cannot be read.
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
            f"{where} has a `mask` {shown} on another pixel grid; align it with the strip "
            "(gdalwarp -te -ts)."
        )


def _off_px(ds: gdal.Dataset, other: gdal.Dataset) -> float:
    """Return the largest distance between corresponding corners of two rasters of one size [px]."""
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
