"""Reproject a strip in one sweep: each block is read, converted, warped and encoded once.

Target tiles are processed row by row. A source block is read for the first tile that needs it and
released after the last one, so memory grows with the strip's width but not with its height.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from witw import stage
from witw.imagery import TILE
from witw.imagery.strip import blocks
from witw.imagery.strip.eight_bit import EightBit
from witw.imagery.strip.vrt import Raster
from witw.imagery.warp import cog, kernel, resample
from witw.imagery.warp.target_grid import Positions, TargetGrid

Unit = tuple[int, int]
# Strips are left to GDAL if a row of tiles touches more source bytes than this, because the strip
# is much finer than the grid or strongly rotated.
MOST_BYTES = 3 << 30


class CannotSweepError(Exception):
    """Reason why a strip is left to GDAL."""


@dataclass(frozen=True)
class SourceWindow:
    """A target tile and the part of the source that it needs.

    Attributes:
        at: Column and row of the tile.
        box: Left, top, right, bottom in the source [px]; may extend beyond it.
        units: The reader's units in the box; empty if the tile lies outside the source or is not
            needed.
        x: Source columns of the corners of the tile's cells [px].
        y: Source rows of the same corners [px].
    """

    at: tuple[int, int]
    box: tuple[int, int, int, int]
    units: tuple[Unit, ...]
    x: Positions
    y: Positions


BLANK = (0, 0, 0, 0), ()


class SweepPlan:
    """Source windows of all tiles, and the last tile that needs each unit.

    Rows of tiles are computed on demand, twice in all, so that memory grows with the number of
    units and not with the raster.

    Attributes:
        tiles: Rows and columns of tiles.
        needed: Which tiles are written, (rows, columns); None: all.
        last: Last tile, by column and row, that needs each unit.
    """

    def __init__(
        self,
        grid: TargetGrid,
        taps: kernel.Taps,
        unit: tuple[int, int],
        needed: NDArray[np.bool_] | None = None,
    ) -> None:
        step = grid.step()
        if step is None:
            raise CannotSweepError("its CRS bends too strongly within a few pixels")
        self.grid, self.taps, self.unit, self.cells = grid, taps, unit, step
        self.needed = needed
        self.tiles = tuple(-(-side // TILE) for side in grid.shape)
        self.last: dict[Unit, tuple[int, int]] = {}
        self.peak_bytes = 0
        self._look()
        if self.peak_bytes > MOST_BYTES:
            raise CannotSweepError("it is too fine or too strongly rotated for the grid")

    def _look(self) -> None:
        """Scan all rows to compute `last` and `peak_bytes`."""
        whole, above, most, boxes = 4 * self.unit[0] * self.unit[1], set[Unit](), 0, 0
        for row in range(self.tiles[0]):
            tiles = self.row(row)
            here = {unit for tile in tiles for unit in tile.units}
            self.last |= {unit: tile.at for tile in tiles for unit in tile.units}
            most = max(most, len(above | here))
            boxes = max(boxes, *((t.box[2] - t.box[0]) * (t.box[3] - t.box[1]) for t in tiles), 0)
            above = here
        self.peak_bytes = whole * most + 20 * boxes

    def row(self, row: int) -> list[SourceWindow]:
        """Return the tiles of a row, from the left.

        Raises:
            CannotSweepError: PROJ cannot locate them in the source.
        """
        columns = range(self.tiles[1])
        wanted = [self.needed is None or bool(self.needed[row, c]) for c in columns]
        none = np.empty((0, 0))
        if not any(wanted):
            return [SourceWindow((c, row), *BLANK, none, none) for c in columns]
        x, y = self.grid.nodes(self.cells, row)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise CannotSweepError("its CRS cannot show all of the target")
        count = TILE // self.cells
        found = []
        for column in columns:
            cut = np.s_[: count + 1, column * count : column * count + count + 1]
            found.append(
                self._tile(column, row, x[cut], y[cut])
                if wanted[column]
                else SourceWindow((column, row), *BLANK, none, none)
            )
        return found

    def _tile(self, column: int, row: int, x: Positions, y: Positions) -> SourceWindow:
        (before_x, before_y), (columns, rows) = self.taps.before, self.taps.span
        box = (
            int(np.floor(x.min())) - before_x - 2,
            int(np.floor(y.min())) - before_y - 2,
            int(np.floor(x.max())) + columns + 2,
            int(np.floor(y.max())) + rows + 2,
        )
        width, height = self.grid.size
        left, right = max(box[0], 0), min(box[2], width)
        top, bottom = max(box[1], 0), min(box[3], height)
        if left >= right or top >= bottom:
            return SourceWindow((column, row), box, (), x, y)
        wide, high = self.unit
        units = tuple(
            (i, j)
            for j in range(top // high, (bottom - 1) // high + 1)
            for i in range(left // wide, (right - 1) // wide + 1)
        )
        return SourceWindow((column, row), box, units, x, y)


def make(
    plan: SweepPlan, tile: SourceWindow, read: dict[Unit, Future[blocks.Pixels]]
) -> cog.Encoded:
    """Warp and encode one tile, waiting for its units."""
    left, top, right, bottom = tile.box
    patch = np.zeros((bottom - top, right - left, 4), np.uint8)
    for unit, future in read.items():
        data = future.result()
        x, y = unit[0] * plan.unit[0] - left, unit[1] * plan.unit[1] - top
        _paste(patch, data, x, y)
    out = np.zeros((TILE, TILE), np.uint32)
    warp(plan, tile, patch, out)
    return cog.encode(out.view(np.uint8).reshape(TILE, TILE, 4))


def _paste(patch: blocks.Pixels, data: blocks.Pixels, x: int, y: int) -> None:
    """Copy one image into another where they overlap."""
    height, width = data.shape[:2]
    top, bottom = max(y, 0), min(y + height, patch.shape[0])
    left, right = max(x, 0), min(x + width, patch.shape[1])
    patch[top:bottom, left:right] = data[top - y : bottom - y, left - x : right - x]


def warp(
    plan: SweepPlan, tile: SourceWindow, patch: blocks.Pixels, out: NDArray[np.uint32]
) -> None:
    """Fill a tile from the source pixels of its box."""
    x, y = tile.x - tile.box[0], tile.y - tile.box[1]
    (columns, rows), taps = plan.taps.span, plan.taps
    wide, high = (
        int(
            max(np.ptp(np.stack([p[:-1, :-1], p[:-1, 1:], p[1:, :-1], p[1:, 1:]]), axis=0).max(), 1)
        )
        for p in (x, y)
    )
    stage_px = (wide + columns + 3) * (high + rows + 3)
    height, width = plan.grid.shape
    inside = min(height - tile.at[1] * TILE, TILE), min(width - tile.at[0] * TILE, TILE)
    resample.resample(
        patch, x, y, plan.cells, taps.x, taps.y, taps.before, taps.span, out, inside,
        np.empty(4 * stage_px, np.float32),
    )  # fmt: skip


def run(
    raster: Raster,
    to_8_bit: EightBit,
    grid: TargetGrid,
    resampling: str,
    threads: int,
    work: Path,
    out: Path,
    needed: NDArray[np.bool_] | None = None,
    kept: Path | None = None,
) -> None:
    """Write the strip in UTM.

    Args:
        raster: The strip.
        to_8_bit: Conversion to 8 bit.
        grid: The target grid.
        resampling: Key of :data:`kernel.KERNELS`.
        threads: Number of threads; the bytes do not depend on it.
        work: Folder for scratch files.
        out: Output file.
        needed: Which tiles are written, (rows, columns); nothing is read for the others, which stay
            blank. None: all.
        kept: File of :mod:`..strip.decoded_cache`.

    Raises:
        CannotSweepError: The strip is left to GDAL; the message gives the reason.
        rasterio.errors.RasterioIOError: The strip cannot be read.
    """
    scale = grid.scale()
    if min(scale) * resample.MOST_ROWS < 2 * kernel.KERNELS[resampling][1] + 2:
        raise CannotSweepError("it is far finer than the grid")
    taps = kernel.taps(resampling, scale)
    with blocks.opened(raster, threads, to_8_bit, kept) as reader:
        plan = SweepPlan(grid, taps, reader.unit, needed)
        with ThreadPoolExecutor(threads) as pool:
            target = cog.Cog((grid.shape[1], grid.shape[0]), work, pool)
            try:
                _sweep(plan, reader, target, pool)
                target.write(out, grid.epsg, grid.bounds[0], grid.bounds[3], grid.gsd_m)
            finally:
                pool.shutdown(cancel_futures=True)
                target.close()


def _sweep(plan: SweepPlan, reader: blocks.Reader, target: cog.Cog, pool: Executor) -> None:
    """Process two rows of tiles at a time: one is worked on while the other is awaited."""
    units: dict[Unit, Future[blocks.Pixels]] = {}
    waiting: deque[list[tuple[SourceWindow, Future[cog.Encoded]]]] = deque()
    bar = stage.bar("utm", plan.tiles[0] * plan.tiles[1], "tile")

    def finish(row: list[tuple[SourceWindow, Future[cog.Encoded]]]) -> None:
        for tile, future in row:
            target.add(tile.at, future.result())
            for unit in tile.units:
                if plan.last[unit] == tile.at:
                    del units[unit]
            bar.update()

    with bar:
        for number in range(plan.tiles[0]):
            row = plan.row(number)
            # Reads come first, so that a waiting tile never blocks a read.
            for tile in row:
                for unit in tile.units:
                    if unit not in units:
                        units[unit] = pool.submit(reader.rgba, unit)
            waiting.append(
                [
                    (
                        tile,
                        pool.submit(make, plan, tile, {unit: units[unit] for unit in tile.units})
                        if tile.units
                        else cog.done(cog.NOTHING),
                    )
                    for tile in row
                ]
            )
            if len(waiting) > 1:
                finish(waiting.popleft())
        while waiting:
            finish(waiting.popleft())
