"""Compiled inner loop of the sweep: one square of target pixels from the source.

Colours and validity are stored as four adjacent floats, so that one vector instruction handles
sixteen floats, or four neighbouring source pixels. The order of additions is fixed and nothing is
contracted, so the bytes are the same on every machine and for any number of threads.

The innermost step is written in LLVM's language, because loops over small arrays are not compiled
to vector instructions. All of it is in one module, because numba caches compiled code until the
module of the outermost function changes.
"""
# numba's extension interface and llvmlite have no types.
# mypy: ignore-errors

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import float32, types, uint32
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from witw.imagery.jit import njit

# Floats in a vector: four source pixels of red, green, blue and validity.
LANES = 16
# Rows of Lanczos for a source that is not finer than the grid: compiled without a loop.
USUAL_ROWS = 6
MOST_ROWS = 256
# Number of positions between two source pixels for which weights are tabulated. Interpolation
# between them is accurate to 1e-6 of a weight.
PHASES = 1024
# If less than this share of the weights falls on data, negative weights are left out, because the
# positive weights that would balance them are missing.
THIN = 0.5

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

VECTOR = ir.VectorType(ir.FloatType(), LANES)
INT = ir.IntType(64)


class _Code:
    """LLVM code of :func:`pixel`, for loops over small arrays that would not be vectorised."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.lanes = ir.Constant(INT, LANES)

    def load(self, pointer: Any, offset: Any) -> Any:
        """Sixteen floats."""
        at = self.builder.gep(pointer, [offset])
        return self.builder.load(self.builder.bitcast(at, VECTOR.as_pointer()), align=4)

    def splat(self, value: Any, count: int = LANES) -> Any:
        """Set every lane to a float."""
        kind = ir.VectorType(ir.FloatType(), count)
        empty = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(one, empty, _lanes([0] * count))

    def between(self, table: Any, line: Any, phase: Any, share: Any, offset: Any) -> Any:
        """Interpolate weights between two neighbouring rows of a table."""
        builder = self.builder
        at = builder.add(builder.mul(phase, line), offset)
        here, there = self.load(table, at), self.load(table, builder.add(at, line))
        return builder.fadd(here, builder.fmul(builder.fsub(there, here), share))

    def rows(self, src: Any, first: Any, pitch: Any, weights: Any, count: Any) -> Any:
        """Sum the rows below ``first``, each multiplied by its weight.

        Weights are lanes of a vector if ``count`` is a number, otherwise values in memory.
        """
        builder = self.builder

        def add(total: Any, row: Any, weight: Any) -> Any:
            value = self.load(src, builder.add(first, builder.mul(row, pitch)))
            return builder.fadd(total, builder.fmul(weight, value))

        zero = ir.Constant(VECTOR, [0.0] * LANES)
        if isinstance(count, int):
            total = zero
            for row in range(count):
                weight = builder.shuffle_vector(weights, weights, _lanes([row] * LANES))
                total = add(total, ir.Constant(INT, row), weight)
            return total
        slot = cgutils.alloca_once_value(builder, zero)
        with cgutils.for_range(builder, count) as loop:
            weight = self.splat(builder.load(builder.gep(weights, [loop.index])))
            builder.store(add(builder.load(slot), loop.index, weight), slot)
        return builder.load(slot)

    def folded(self, value: Any) -> Any:
        """Add up the four pixels of a vector."""
        width = LANES
        while width > 4:
            width //= 2
            low = self.builder.shuffle_vector(value, value, _lanes(range(width)))
            high = self.builder.shuffle_vector(value, value, _lanes(range(width, 2 * width)))
            value = self.builder.fadd(low, high)
        return value

    def bytes(self, value: Any) -> Any:
        """Pack four floats as four bytes into one integer: halves up, clipped."""
        builder = self.builder
        value = builder.fadd(value, ir.Constant(value.type, [0.5] * 4))
        for bound, beyond in ((0.0, "<"), (255.0, ">")):
            limit = ir.Constant(value.type, [bound] * 4)
            value = builder.select(builder.fcmp_ordered(beyond, value, limit), limit, value)
        whole = builder.fptosi(value, ir.VectorType(ir.IntType(32), 4))
        return builder.bitcast(
            builder.trunc(whole, ir.VectorType(ir.IntType(8), 4)), ir.IntType(32)
        )


def _lanes(numbers: Any) -> Any:
    values = list(numbers)
    return ir.Constant(ir.VectorType(ir.IntType(32), len(values)), values)


@intrinsic
def pixel(
    typing: Any, src: Any, start: Any, pitch: Any,
    wx: Any, columns: Any, phase_x: Any, share_x: Any,
    wy: Any, rows: Any, phase_y: Any, share_y: Any,
) -> Any:  # fmt: skip
    """Return a target pixel as four bytes in one integer, and the sum of its weights on data.

    Args of the compiled function: source pixels as RGB and validity (0 or 1), the position of the
    first one and the distance between rows [floats]; then for x and y the table of weights, the
    number of weights that count, the row in the table, and the position [0..1] towards the next
    row.
    """
    whole, real = types.intp, float32
    signature = types.Tuple((uint32, float32))(
        src, whole, whole, wx, whole, whole, real, wy, whole, whole, real
    )

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        src, start, pitch, wx, columns, phase_x, share_x, wy, rows, phase_y, share_y = args
        src, wx, wy = (
            context.make_array(kinds[i])(context, builder, args[i]).data for i in (0, 3, 7)
        )
        code = _Code(builder)
        share_x, share_y = code.splat(share_x), code.splat(share_y)
        chunks = builder.udiv(columns, ir.Constant(INT, LANES // 4))
        lines = builder.udiv(builder.add(rows, ir.Constant(INT, LANES - 1)), code.lanes)
        high, wide = builder.mul(lines, code.lanes), builder.mul(chunks, code.lanes)
        slot = cgutils.alloca_once_value(builder, ir.Constant(VECTOR, [0.0] * LANES))

        def across(weights: Any, count: Any) -> None:
            with cgutils.for_range(builder, chunks) as loop:
                offset = builder.mul(loop.index, code.lanes)
                column = code.rows(src, builder.add(start, offset), pitch, weights, count)
                weight = code.between(wx, wide, phase_x, share_x, offset)
                total = builder.fadd(builder.load(slot), builder.fmul(weight, column))
                builder.store(total, slot)

        usual = builder.icmp_signed("==", rows, ir.Constant(INT, USUAL_ROWS))
        with builder.if_else(usual) as (then, otherwise):
            with then:
                # In a register: through memory, each pixel would wait for its weights.
                none = ir.Constant(INT, 0)
                across(code.between(wy, high, phase_y, share_y, none), USUAL_ROWS)
            with otherwise:
                down = cgutils.alloca_once(builder, ir.ArrayType(ir.FloatType(), MOST_ROWS))
                down = builder.bitcast(down, ir.FloatType().as_pointer())
                with cgutils.for_range(builder, lines) as loop:
                    offset = builder.mul(loop.index, code.lanes)
                    at = builder.bitcast(builder.gep(down, [offset]), VECTOR.as_pointer())
                    builder.store(code.between(wy, high, phase_y, share_y, offset), at, align=4)
                across(down, rows)
        value = code.folded(builder.load(slot))
        total = builder.extract_element(value, ir.Constant(ir.IntType(32), 3))
        value = code.bytes(builder.fdiv(value, code.splat(total, 4)))
        return context.make_tuple(builder, signature.return_type, (value, total))

    return signature, emit


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
    """Compute `pixel` without the negative weights, for the rare pixel on a thin edge."""
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
    """Write source pixels as floats; return the number of pixels with data."""
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
        patch: Source pixels, RGB and validity (0 or 1), (h, w, 4) uint8.
        x_nodes: Columns in ``patch`` of the corners of the tile's cells [px].
        y_nodes: Rows of the same corners [px].
        step: Side of a cell [target px].
        wx: `Taps.x`.
        wy: `Taps.y`.
        before: `Taps.before`.
        span: `Taps.span`.
        out: Four bytes per target pixel, (h, w) uint32; zero where blank.
        inside: Height and width of the part to fill [px].
        stage: Buffer for the source pixels of one cell, float32.
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
