"""The innermost step of the resampling kernel, as vector instructions.

Loops over small arrays are not compiled to them, hence LLVM's own language here.
"""
# numba's extension interface and llvmlite have no types.
# mypy: ignore-errors

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import float32, types, uint32
from numba.core import cgutils
from numba.extending import intrinsic

# Floats in a vector: four source pixels of red, green, blue and validity.
LANES = 16
# Rows of Lanczos where the source is not finer than the grid: compiled without a loop.
USUAL_ROWS = 6
MOST_ROWS = 256
VECTOR = ir.VectorType(ir.FloatType(), LANES)
INT = ir.IntType(64)


class _Code:
    """LLVM code of :func:`pixel`: what loops over small arrays are not compiled to."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.lanes = ir.Constant(INT, LANES)

    def load(self, pointer: Any, offset: Any) -> Any:
        """Sixteen floats."""
        at = self.builder.gep(pointer, [offset])
        return self.builder.load(self.builder.bitcast(at, VECTOR.as_pointer()), align=4)

    def splat(self, value: Any, count: int = LANES) -> Any:
        """A float in every lane."""
        kind = ir.VectorType(ir.FloatType(), count)
        empty = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(empty, value, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(one, empty, _lanes([0] * count))

    def between(self, table: Any, line: Any, phase: Any, share: Any, offset: Any) -> Any:
        """Weights from two neighbouring rows of a table."""
        builder = self.builder
        at = builder.add(builder.mul(phase, line), offset)
        here, there = self.load(table, at), self.load(table, builder.add(at, line))
        return builder.fadd(here, builder.fmul(builder.fsub(there, here), share))

    def rows(self, src: Any, first: Any, pitch: Any, weights: Any, count: Any) -> Any:
        """Sum of the rows below ``first``, each times its weight."""
        builder = self.builder

        def add(total: Any, row: Any) -> Any:
            weight = self.splat(builder.load(builder.gep(weights, [row])))
            value = self.load(src, builder.add(first, builder.mul(row, pitch)))
            return builder.fadd(total, builder.fmul(weight, value))

        zero = ir.Constant(VECTOR, [0.0] * LANES)
        if isinstance(count, int):
            total = zero
            for row in range(count):
                total = add(total, ir.Constant(INT, row))
            return total
        slot = cgutils.alloca_once_value(builder, zero)
        with cgutils.for_range(builder, count) as loop:
            builder.store(add(builder.load(slot), loop.index), slot)
        return builder.load(slot)

    def folded(self, value: Any) -> Any:
        """The four pixels of a vector added up."""
        width = LANES
        while width > 4:
            width //= 2
            low = self.builder.shuffle_vector(value, value, _lanes(range(width)))
            high = self.builder.shuffle_vector(value, value, _lanes(range(width, 2 * width)))
            value = self.builder.fadd(low, high)
        return value

    def bytes(self, value: Any) -> Any:
        """Four floats as four bytes in one integer: halves up, clipped."""
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
    """A target pixel as four bytes in one integer, and the sum of the weights that met data.

    Args of the compiled function: source pixels as RGB and validity (0 or 1), where the first of
    them starts and how far apart its rows are [floats]; for x and y the table of weights, how
    many of them count, its row, and how far [0..1] the position lies towards the next row.
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
        down = cgutils.alloca_once(builder, ir.ArrayType(ir.FloatType(), MOST_ROWS))
        down = builder.bitcast(down, ir.FloatType().as_pointer())
        with cgutils.for_range(builder, lines) as loop:
            offset = builder.mul(loop.index, code.lanes)
            at = builder.bitcast(builder.gep(down, [offset]), VECTOR.as_pointer())
            builder.store(code.between(wy, high, phase_y, share_y, offset), at, align=4)
        slot = cgutils.alloca_once_value(builder, ir.Constant(VECTOR, [0.0] * LANES))

        def across(count: Any) -> None:
            with cgutils.for_range(builder, chunks) as loop:
                offset = builder.mul(loop.index, code.lanes)
                column = code.rows(src, builder.add(start, offset), pitch, down, count)
                weight = code.between(wx, wide, phase_x, share_x, offset)
                total = builder.fadd(builder.load(slot), builder.fmul(weight, column))
                builder.store(total, slot)

        usual = builder.icmp_signed("==", rows, ir.Constant(INT, USUAL_ROWS))
        with builder.if_else(usual) as (then, otherwise):
            with then:
                across(USUAL_ROWS)
            with otherwise:
                across(rows)
        value = code.folded(builder.load(slot))
        total = builder.extract_element(value, ir.Constant(ir.IntType(32), 3))
        value = code.bytes(builder.fdiv(value, code.splat(total, 4)))
        return context.make_tuple(builder, signature.return_type, (value, total))

    return signature, emit
