"""Weights of the resampling kernel; :mod:`.resample` is the compiled part.

The result equals that of GDAL >= 3.10's warp kernel with exact positions. Each target pixel is a
weighted sum of source pixels divided by the sum of the weights. A weight is a function of the
distance along x times one along y, and pixels without data have no weight. A target pixel has data
if the source pixel that contains it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witw.imagery.warp.resample import LANES, PHASES, Floats


def lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lanczos window with three lobes (Duchon 1979)."""
    out: NDArray[np.float64] = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    return out


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic convolution with a = -1/2 (Keys 1981)."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    out: NDArray[np.float64] = np.where(x <= 1, near, np.where(x < 2, far, 0))
    return out


def bilinear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Triangle of half-width 1."""
    out: NDArray[np.float64] = np.maximum(1 - np.abs(x), 0)
    return out


KERNELS: dict[str, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], int]] = {
    "lanczos": (lanczos, 3),
    "cubic": (cubic, 2),
    "bilinear": (bilinear, 1),
}


def weights(name: str, scale: float) -> NDArray[np.float64]:
    """Return the weights of the source pixels around a position, for positions between two of them.

    Args:
        name: Key of KERNELS.
        scale: Target pixels per source pixel; below 1 the kernel is wider by the inverse.

    Returns:
        Rows of sum 1, (PHASES + 1, taps). In row p the position lies p / PHASES of a pixel beyond
        the centre of the tap ``taps / 2 - 1``.
    """
    function, radius = KERNELS[name]
    half = math.ceil(radius / scale)
    phase = np.arange(PHASES + 1)[:, None] / PHASES
    table = function((np.arange(1 - half, half + 1) - phase) * scale)
    return np.asarray(table / table.sum(axis=1, keepdims=True), np.float64)


@dataclass(frozen=True)
class Taps:
    """The weights in the layout of the compiled kernel.

    Attributes:
        x: (PHASES + 1, 4 * columns), each weight four times, padded with zeros to whole vectors.
        y: (PHASES + 1, rows), padded with zeros to whole vectors.
        before: Number of columns and rows before the one left of, or above, a position.
        span: Number of columns and rows that are read around a position.
    """

    x: Floats
    y: Floats
    before: tuple[int, int]
    span: tuple[int, int]


def _padded(table: NDArray[np.float64], unit: int) -> Floats:
    out = np.zeros((len(table), -(-table.shape[1] // unit) * unit), np.float32)
    out[:, : table.shape[1]] = table
    return out


def taps(name: str, scale: tuple[float, float]) -> Taps:
    """Tabulate the weights along x and y."""
    x, y = weights(name, scale[0]), weights(name, scale[1])
    wide = _padded(x, LANES // 4)
    return Taps(
        x=np.repeat(wide, 4, axis=1),
        y=_padded(y, LANES),
        before=(x.shape[1] // 2 - 1, y.shape[1] // 2 - 1),
        span=(wide.shape[1], y.shape[1]),
    )
