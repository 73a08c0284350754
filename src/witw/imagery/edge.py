"""Measure distances to ground without imagery, from the mask of an area's mosaic."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from osgeo import gdal

from witw.errors import UserError
from witw.imagery.strip import source

PARTS = 8  # pixels of the distance map per requested distance
MOST_PX = 8192  # longest side of that map

Floats = NDArray[np.float64]


def distance_m(mosaic: Path, east: Floats, north: Floats, reach_m: float) -> Floats:
    """Return the distance of places to the nearest ground without imagery.

    The mask is read from overviews, in pixels of an eighth of ``reach_m``.

    Args:
        mosaic: The area's raster in UTM.
        east: (n,) [m].
        north: (n,) [m].
        reach_m: Largest distance of interest [m].

    Returns:
        (n,) [m]; 0 outside the imagery, NaN for places at NaN.

    Raises:
        UserError: The mosaic cannot be read.
    """
    source.configure()
    try:
        dataset = gdal.Open(str(mosaic))
        left, width, _, top, _, height = dataset.GetGeoTransform()
        step = max(reach_m / PARTS, width)
        size = dataset.RasterXSize * width, dataset.RasterYSize * -height
        step = max(step, *(side / MOST_PX for side in size))
        shape = [max(1, math.ceil(side / step)) for side in size]
        mask = dataset.GetRasterBand(1).GetMaskBand()
        seen = mask.ReadAsArray(buf_xsize=shape[0], buf_ysize=shape[1])
    except RuntimeError as error:
        raise UserError(f"{mosaic} cannot be read ({error}); delete it and run again.") from None
    far = _to_blank(np.pad(seen > 0, 1))
    x = (east - left) / (size[0] / shape[0]) + 1
    y = (top - north) / (size[1] / shape[1]) + 1
    known = np.isfinite(x) & np.isfinite(y)
    column, row = (
        np.clip(np.floor(np.where(known, v, 0)).astype(int), 0, n - 1)
        for v, n in ((x, far.shape[1]), (y, far.shape[0]))
    )
    return np.asarray(np.where(known, far[row, column] * step, np.nan))


def _to_blank(seen: NDArray[np.bool_]) -> Floats:
    """Return the distance from each pixel's middle to the nearest unseen pixel's edge [px]."""
    memory = gdal.GetDriverByName("MEM")
    rows, columns = seen.shape
    given = memory.Create("", columns, rows, 1, gdal.GDT_Byte)
    given.GetRasterBand(1).WriteArray((~seen).astype(np.uint8))
    out = memory.Create("", columns, rows, 1, gdal.GDT_Float32)
    gdal.ComputeProximity(
        given.GetRasterBand(1), out.GetRasterBand(1), ["VALUES=1", "DISTUNITS=PIXEL"]
    )
    return np.maximum(np.asarray(out.ReadAsArray(), np.float64) - 0.5, 0.0)
