"""Rank overlapping strips by haze on the ground they share.

Haze and cloud add light that is unrelated to the ground, so no pixel below them is dark in any
band. A cell's haze is therefore the brightness of its darkest twentieth, in its darkest band,
divided by its largest brightness. This is the dark channel prior (He, Sun and Tang 2009),
normalised by the brightness of the strip. A city block without a shadow, a dark roof or a tree is
rare; one under a cloud has none of them. The appearance of the ground cancels, because only strips
that show the same cell are compared, each with the mean of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from osgeo import gdal

# The ground is viewed in pixels 16 times as large: 4.8 m, finer than houses and their shadows.
REDUCTION = 16
# 58 m: a block of this size has some shadow, and clouds usually cover it completely.
SIDE = 12
CELL_PX = SIDE * REDUCTION


def haze(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the haze of cells, from 0 (none) to 1 (all cloud).

    Args:
        rgb: Pixels of each cell, (n, 3, pixels).
    """
    dark = np.percentile(rgb.min(axis=1), 5, axis=1)
    bright = np.percentile(rgb.max(axis=1), 95, axis=1)
    return np.asarray(dark / np.maximum(bright, 1), np.float64)


def cells(ds: gdal.Dataset, offset: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the haze of every cell of the area in a strip.

    Args:
        ds: The strip: red, green, blue and a mask.
        offset: Column and row of its first pixel in the area's raster [px].
        shape: Rows and columns of cells of the area.

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
    """Return how much hazier each strip is than the mean of the strips that show the same ground.

    Args:
        maps: Haze of every cell, one array per strip, all of the same shape.

    Returns:
        One number per strip, rounded so that equal strips are equal; 0 for a strip without overlap.
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
