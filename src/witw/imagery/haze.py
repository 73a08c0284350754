"""Rank overlapping strips by haze on the ground they share.

Haze and cloud add light that has nothing to do with the ground: where they lie, nothing is dark
any more, in no band. So a cell's haze is how bright its darkest twentieth is in its darkest band,
as a share of its brightest: the dark channel prior (He, Sun and Tang 2009), made independent of
how bright the strip is altogether. A city block without a shadow, dark roof or tree is rare; one
under a cloud has none. What the ground itself looks like drops out, as only strips that show the
same cell are compared, and each with the mean of all that do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from osgeo import gdal

# Ground is looked at in pixels 16 times as large: 4.8 m, finer than houses and their shadows.
REDUCTION = 16
# 58 m: a block that has some shadow, and that a cloud covers whole rather than in part.
SIDE = 12
CELL_PX = SIDE * REDUCTION


def haze(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Haze of cells, from 0 (none) to 1 (nothing but cloud).

    Args:
        rgb: pixels of each, (n, 3, pixels).
    """
    dark = np.percentile(rgb.min(axis=1), 5, axis=1)
    bright = np.percentile(rgb.max(axis=1), 95, axis=1)
    return np.asarray(dark / np.maximum(bright, 1), np.float64)


def cells(ds: gdal.Dataset, offset: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Haze of every cell of the area in a strip.

    Args:
        ds: the strip: red, green, blue and a mask.
        offset: column and row of its first pixel in the area's raster [px].
        shape: rows and columns of cells of the area.

    Returns:
        Haze, ``shape``; NaN where the strip does not show the whole cell.
    """
    out = np.full(shape, np.nan)
    first = [-(-start // CELL_PX) for start in offset]
    ends = (offset[0] + ds.RasterXSize, offset[1] + ds.RasterYSize)
    last = [end // CELL_PX for end in ends]
    width = (last[0] - first[0]) * CELL_PX
    if width <= 0:
        return out
    mask = ds.GetRasterBand(1).GetMaskBand()
    small = {"buf_xsize": width // REDUCTION, "buf_ysize": SIDE}
    for row in range(first[1], last[1]):
        box = (first[0] * CELL_PX - offset[0], row * CELL_PX - offset[1], width, CELL_PX)
        rgb = ds.ReadAsArray(*box, **small, band_list=[1, 2, 3], resample_alg=gdal.GRIORA_Average)
        valid = mask.ReadAsArray(*box, **small) > 0
        whole = valid.reshape(SIDE, -1, SIDE).all(axis=(0, 2))
        each = rgb.reshape(3, SIDE, -1, SIDE).transpose(2, 0, 1, 3).reshape(-1, 3, SIDE * SIDE)
        out[row, first[0] + np.flatnonzero(whole)] = haze(each[whole])
    return out


def scores(maps: Sequence[NDArray[np.float64]]) -> list[float]:
    """By how much each strip is hazier than the mean of those that show the same ground.

    Args:
        maps: haze of every cell, one array a strip, all of one shape.

    Returns:
        One number a strip, rounded so that equal strips are equal; 0 for one that shares nothing.
    """
    stack = np.stack(maps)
    count = np.isfinite(stack).sum(axis=0)
    shared = stack[:, count >= 2]
    if not shared.size:
        return [0.0] * len(maps)
    rest = shared - np.nanmean(shared, axis=0)
    return [
        round(float(row[np.isfinite(row)].mean()), 6) if np.isfinite(row).any() else 0.0
        for row in rest
    ]
