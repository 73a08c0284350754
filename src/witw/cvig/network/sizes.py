"""Sizes of views, and the arithmetic of the small backbone; without torch, for plans."""

from __future__ import annotations

import math

MAPS = 64  # attention maps of the head `global`
FEW_MAPS = 16  # maps of the vector of the head `polar`, which must be cheap
STEM = 4  # a patch stem, because few channels at full resolution are slow on a CPU


def view_columns(columns: int, pixels: int) -> int:
    """Return the number of columns nearest to ``pixels`` that can be halved to ``columns``."""
    size = columns * STEM
    while size * 1.5 <= pixels:
        size *= 2
    return size


def small_flop(
    view: tuple[int, int], columns: int, width: int, blocks: int, dims: tuple[int, int]
) -> float:
    """Return the FLOP of a small tower for one view.

    Args:
        view: rows and columns of the view [px].
        columns: of the features.
        width: channels at the first resolution.
        blocks: residual blocks at each resolution, of two 3 x 3 convolutions.
        dims: lengths of a column's descriptor and of the vector; 0: none.
    """
    rows, pixels = view[0] // STEM, view[1] // STEM
    work = 3 * STEM**2 * width * rows * pixels + blocks * 18 * width**2 * rows * pixels
    while pixels > columns:
        rows, pixels = rows // 2, pixels // 2
        work += (8 + blocks * 18 * 4) * width**2 * rows * pixels
        width *= 2
    places, (column, vector) = rows * pixels, dims
    work += places * width * column
    if vector:  # maps are made and used at every place, values of the maps alone
        maps = math.gcd(FEW_MAPS if column else MAPS, vector)
        work += (2 * places * maps + vector) * width
    return 2.0 * work
