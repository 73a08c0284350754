"""Colours of heat maps: how many times likelier a cell has become.

The scale is absolute and the same for all maps. A cell that the photo has not made likelier is
clear, and the fullest colour means 256 times, so a flat map has no colour. Before the photo is
seen, the odds that it was taken in the area are even, and all cells are equally likely.
"""

from __future__ import annotations

import math

import matplotlib
import numpy as np
from numpy.typing import NDArray

MOST_BITS = 8.0  # value of the fullest colour: 256 times
STEPS = 256
OPAQUE = 0.72  # opacity of the fullest colour; the imagery below stays visible
MARKS = (1, 4, 16, 64, 256)  # labels of the scale, times as likely


def bits(probability: NDArray[np.float64], here: float = math.nan) -> NDArray[np.float64]:
    """Return how many times likelier each cell has become, as a power of two.

    Args:
        probability: ``(N,)`` of the cells, given that the photo was taken in one of them.
        here: probability that the photo was taken in the area, with even odds beforehand; NaN
            (unknown) counts as even.
    """
    chance = 2 * min(max(here, 1e-6), 1.0) if math.isfinite(here) else 1.0
    return np.asarray(np.log2(np.maximum(probability * len(probability) * chance, 1e-30)))


def levels(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Convert bits to steps of the scale, 0 (clear) to 255."""
    share = np.clip(values / MOST_BITS, 0, 1)
    return np.asarray(np.rint(share * (STEPS - 1)), np.uint8)


def scale() -> NDArray[np.uint8]:
    """Return the colour of every step, ``(256, 4)`` RGBA."""
    share = np.linspace(0, 1, STEPS)
    # From violet through red to yellow, with increasing lightness.
    out = matplotlib.colormaps["plasma"](0.15 + 0.83 * share)
    out[:, 3] = OPAQUE * np.minimum(1, share * 2.2)
    out[0, 3] = 0
    return np.asarray(np.rint(255 * out), np.uint8)
