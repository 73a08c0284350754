"""The resampling kernel of the sweep: weights, and one square of target pixels at a time.

The result is that of GDAL >= 3.10's warp kernel with exact positions: each target pixel is the
sum of source pixels weighted by a function of their distance along x times one along y, divided
by the sum of the weights. Pixels without data weigh nothing. A target pixel has data where the
source pixel that contains it does.

Colours and validity lie side by side as four floats, so that sixteen floats are four
neighbouring source pixels and one vector instruction treats them all. The order of additions is
fixed and nothing is contracted: the same bytes on every machine and for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witw.imagery import vector
from witw.imagery.jit import njit
from witw.imagery.vector import LANES

# Weights are tabulated at so many positions between two source pixels and interpolated in
# between, which is right to 1e-6 of a weight.
PHASES = 1024
# Where less than this share of the weights falls on data, negative weights are left out: what
# they would take away is not there to be added back.
THIN = 0.5

# Callable from compiled code only; its types are numba's.
pixel: Any = vector.pixel

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lanczos window of three lobes (Duchon 1979)."""
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
    """Weights of the source pixels around a position, for positions between two of them.

    Args:
        name: key of KERNELS.
        scale: target pixels per source pixel; below 1 the kernel is as much wider.

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
    """The weights as the compiled kernel wants them.

    Attributes:
        x: (PHASES + 1, 4 * columns), each weight four times, zeros up to whole vectors.
        y: (PHASES + 1, rows), zeros up to whole vectors.
        before: how many columns and rows lie before the one left of, or above, a position.
        span: columns and rows that are read around a position.
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


@njit
def _thin(
    stage: Floats,
    start: int,
    pitch: int,
    wx: Floats,
    columns: int,
    phase_x: int,
    share_x: np.float32,
    wy: Floats,
    rows: int,
    phase_y: int,
    share_y: np.float32,
) -> Any:
    """As `pixel`, with the negative weights left out; for the rare pixel on a thin edge."""
    zero = np.float32(0)
    red = green = blue = total = zero
    for r in range(rows):
        here = wy[phase_y, r]
        down = max(here + (wy[phase_y + 1, r] - here) * share_y, zero)
        for c in range(columns):
            here = wx[phase_x, 4 * c]
            weight = down * max(here + (wx[phase_x + 1, 4 * c] - here) * share_x, zero)
            at = start + r * pitch + 4 * c
            red += weight * stage[at]
            green += weight * stage[at + 1]
            blue += weight * stage[at + 2]
            total += weight * stage[at + 3]
    half = np.float32(0.5)
    return (
        np.uint32(red / total + half)
        | np.uint32(green / total + half) << np.uint32(8)
        | np.uint32(blue / total + half) << np.uint32(16)
    )


@njit
def _staged(patch: Bytes, left: int, top: int, width: int, height: int, stage: Floats) -> int:
    """Source pixels as floats; returns how many of them have data."""
    count = 0
    for r in range(height):
        row, line = patch[top + r], stage[r * 4 * width : (r + 1) * 4 * width]
        flat = row.reshape(-1)[4 * left : 4 * (left + width)]
        for c in range(4 * width):
            line[c] = flat[c]
        for c in range(width):
            count += flat[4 * c + 3]
    return count


@njit
def resample(
    patch: Bytes,
    x_nodes: NDArray[np.float64],
    y_nodes: NDArray[np.float64],
    step: int,
    wx: Floats,
    wy: Floats,
    before: tuple[int, int],
    span: tuple[int, int],
    out: NDArray[np.uint32],
    inside: tuple[int, int],
    stage: Floats,
) -> None:
    """Fill a tile.

    Args:
        patch: source pixels, RGB and validity (0 or 1), (h, w, 4) uint8.
        x_nodes: columns in ``patch`` of the corners of the tile's cells [px].
        y_nodes: rows, likewise.
        step: side of a cell [target px].
        wx: `Taps.x`.
        wy: `Taps.y`.
        before: `Taps.before`.
        span: `Taps.span`.
        out: a target pixel's four bytes each, (h, w) uint32; nought where blank.
        inside: height and width of what is filled [px].
        stage: room for the source pixels of one cell, float32.
    """
    before_x, before_y = before
    columns, rows = span
    start = np.empty(step, np.int64)
    phase_x, phase_y = np.empty(step, np.int32), np.empty(step, np.int32)
    share_x, share_y = np.empty(step, np.float32), np.empty(step, np.float32)
    per = 1.0 / step
    for cy in range(x_nodes.shape[0] - 1):
        for cx in range(x_nodes.shape[1] - 1):
            x00, x01 = x_nodes[cy, cx], x_nodes[cy, cx + 1]
            x10, x11 = x_nodes[cy + 1, cx], x_nodes[cy + 1, cx + 1]
            y00, y01 = y_nodes[cy, cx], y_nodes[cy, cx + 1]
            y10, y11 = y_nodes[cy + 1, cx], y_nodes[cy + 1, cx + 1]
            left = int(np.floor(min(x00, x01, x10, x11) - 0.5)) - before_x
            right = int(np.floor(max(x00, x01, x10, x11) - 0.5)) - before_x + columns
            top = int(np.floor(min(y00, y01, y10, y11) - 0.5)) - before_y
            bottom = int(np.floor(max(y00, y01, y10, y11) - 0.5)) - before_y + rows
            width, height = right - left, bottom - top
            pitch = width * 4
            count = _staged(patch, left, top, width, height, stage)
            if count == 0:
                continue
            full = count == width * height
            wide = min(step, inside[1] - cx * step)
            for r in range(cy * step, min((cy + 1) * step, inside[0])):
                v = (r - cy * step + 0.5) * per
                x_first, y_first = x00 + (x10 - x00) * v, y00 + (y10 - y00) * v
                x_step = (x01 + (x11 - x01) * v - x_first) * per
                y_step = (y01 + (y11 - y01) * v - y_first) * per
                for c in range(wide):
                    x, y = x_first + x_step * (c + 0.5) - 0.5, y_first + y_step * (c + 0.5) - 0.5
                    j, i = np.floor(x), np.floor(y)
                    fx, fy = (x - j) * PHASES, (y - i) * PHASES
                    px, py = np.int32(fx), np.int32(fy)
                    phase_x[c], phase_y[c] = px, py
                    share_x[c], share_y[c] = fx - px, fy - py
                    start[c] = (int(i) - before_y - top) * pitch + (int(j) - before_x - left) * 4
                for c in range(wide):
                    at = start[c]
                    if not full:
                        near = at + before_y * pitch + before_x * 4
                        # The source pixel that contains the position.
                        near += 4 * (phase_x[c] >= PHASES // 2)
                        near += pitch * (phase_y[c] >= PHASES // 2)
                        if stage[near + 3] == 0:
                            continue
                    value, total = pixel(
                        stage, at, pitch,
                        wx, columns, phase_x[c], share_x[c],
                        wy, rows, phase_y[c], share_y[c],
                    )  # fmt: skip
                    if total < THIN:
                        value = _thin(
                            stage, at, pitch,
                            wx, columns, phase_x[c], share_x[c],
                            wy, rows, phase_y[c], share_y[c],
                        )  # fmt: skip
                    out[r, cx * step + c] = value | np.uint32(0xFF000000)
