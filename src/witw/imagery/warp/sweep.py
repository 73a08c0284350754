"""Reproject a strip in one sweep: each block is read, converted, warped and encoded once.

Target tiles are made row by row. A source block is read when the first tile wants it and let go
after the last one, so memory grows with the strip's width and not with its height.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from osgeo import gdal

from witw import stage
from witw.imagery import TILE
from witw.imagery.strip import blocks, decoded_cache, single_file
from witw.imagery.warp import cog, kernel, resample
from witw.imagery.warp.target_grid import Positions, TargetGrid

Unit = tuple[int, int]
# Which tiles of a target are made, (rows, columns).
Needed = Callable[[TargetGrid], NDArray[np.bool_]]
# What is not swept but left to GDAL: strips so much finer than the grid or so turned that a row
# of tiles touches more of them than this [bytes].
MOST_BYTES = 3 << 30


class CannotSweepError(Exception):
    """Why a strip is left to GDAL."""


@dataclass(frozen=True)
class SourceWindow:
    """A target tile and what it needs of the source.

    Attributes:
        at: column and row among the tiles.
        box: left, top, right, bottom in the source [px]; may reach past it.
        units: the reader's units in it, none where it lies off the source or is not needed.
    """

    at: tuple[int, int]
    box: tuple[int, int, int, int]
    units: tuple[Unit, ...]


class SweepPlan:
    """Which tile needs what, and when a unit has been needed for the last time."""

    def __init__(
        self,
        grid: TargetGrid,
        taps: kernel.Taps,
        unit: tuple[int, int],
        needed: NDArray[np.bool_] | None = None,
    ) -> None:
        step = grid.step()
        if step is None:
            raise CannotSweepError("its CRS bends too much within few pixels")
        self.grid, self.taps, self.unit, self.cells = grid, taps, unit, step
        self.x, self.y = grid.nodes(step)
        if not (np.isfinite(self.x).all() and np.isfinite(self.y).all()):
            raise CannotSweepError("its CRS cannot show all of the target")
        height, width = grid.shape
        self.needed = needed
        self.rows = [
            [self._tile(column, row) for column in range(-(-width // TILE))]
            for row in range(-(-height // TILE))
        ]
        self.last = {unit: tile.at for row in self.rows for tile in row for unit in tile.units}
        if self.peak_bytes() > MOST_BYTES:
            raise CannotSweepError("it is too fine or too turned against the grid")

    def nodes(self, tile: SourceWindow) -> tuple[Positions, Positions]:
        """Source positions of the corners of a tile's cells."""
        return self._nodes(*tile.at)

    def _nodes(self, column: int, row: int) -> tuple[Positions, Positions]:
        count = TILE // self.cells
        cut = np.s_[
            row * count : row * count + count + 1, column * count : column * count + count + 1
        ]
        return self.x[cut], self.y[cut]

    def _tile(self, column: int, row: int) -> SourceWindow:
        x, y = self._nodes(column, row)
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
        unwanted = self.needed is not None and not self.needed[row, column]
        if unwanted or left >= right or top >= bottom:
            return SourceWindow((column, row), box, ())
        wide, high = self.unit
        units = tuple(
            (i, j)
            for j in range(top // high, (bottom - 1) // high + 1)
            for i in range(left // wide, (right - 1) // wide + 1)
        )
        return SourceWindow((column, row), box, units)

    def peak_bytes(self) -> int:
        """Most that the units of two rows of tiles and one tile's source take."""
        whole = 4 * self.unit[0] * self.unit[1]
        touched = [{unit for tile in row for unit in tile.units} for row in self.rows]
        pairs = zip(touched, [*touched[1:], set()], strict=True)
        boxes = max((t.box[2] - t.box[0]) * (t.box[3] - t.box[1]) for row in self.rows for t in row)
        return whole * max(len(a | b) for a, b in pairs) + 20 * boxes


def make(
    plan: SweepPlan, tile: SourceWindow, read: dict[Unit, Future[blocks.Pixels]]
) -> cog.Encoded:
    """Warp and encode one tile; waits for its units."""
    if not tile.units:
        return cog.Encoded(b"", b"", None)
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
    """Lay one picture into another where they overlap."""
    height, width = data.shape[:2]
    top, bottom = max(y, 0), min(y + height, patch.shape[0])
    left, right = max(x, 0), min(x + width, patch.shape[1])
    patch[top:bottom, left:right] = data[top - y : bottom - y, left - x : right - x]


def warp(
    plan: SweepPlan, tile: SourceWindow, patch: blocks.Pixels, out: NDArray[np.uint32]
) -> None:
    """Fill a tile from the source pixels of its box."""
    x, y = plan.nodes(tile)
    x, y = x - tile.box[0], y - tile.box[1]
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
    vrt: Path,
    epsg: int,
    gsd_m: float,
    resampling: str,
    threads: int,
    work: Path,
    out: Path,
    needed: Needed | None = None,
) -> None:
    """Write the strip in UTM.

    Args:
        vrt: red, green, blue, alpha.
        epsg: code of the UTM zone.
        gsd_m: pixel size [m].
        resampling: key of :data:`kernel.KERNELS`.
        threads: how many work; the bytes are the same for any number.
        work: folder for scratch files.
        out: what is written.
        needed: which tiles are made, the others stay blank and nothing is read for them;
            None: all.

    Raises:
        CannotSweepError: GDAL must do it; says why.
        UserError: the strip cannot be shown in the zone.
        rasterio.errors.RasterioIOError: it cannot be read.
    """
    grid = TargetGrid(gdal.Open(str(vrt)), epsg, gsd_m)
    scale = grid.scale()
    if min(scale) * resample.MOST_ROWS < 2 * kernel.KERNELS[resampling][1] + 2:
        raise CannotSweepError("it is far finer than the grid")
    taps = kernel.taps(resampling, scale)
    source = single_file.plain_of(vrt)
    name, kept = source.file if source else str(vrt), decoded_cache.beside(vrt)
    with blocks.opened(name, source, threads, kept) as reader:
        plan = SweepPlan(grid, taps, reader.unit, needed(grid) if needed else None)
        with ThreadPoolExecutor(threads) as pool:
            target = cog.Cog((grid.shape[1], grid.shape[0]), work, pool)
            try:
                _sweep(plan, reader, target, pool)
                target.write(out, epsg, grid.bounds[0], grid.bounds[3], gsd_m)
            finally:
                pool.shutdown(cancel_futures=True)
                target.close()


def _sweep(plan: SweepPlan, reader: blocks.Reader, target: cog.Cog, pool: Executor) -> None:
    """Two rows of tiles are under way: while one is waited for, the next one is worked on."""
    units: dict[Unit, Future[blocks.Pixels]] = {}
    waiting: deque[list[tuple[SourceWindow, Future[cog.Encoded]]]] = deque()
    bar = stage.bar("utm", sum(map(len, plan.rows)), "tile")

    def finish(row: list[tuple[SourceWindow, Future[cog.Encoded]]]) -> None:
        for tile, future in row:
            target.add(tile.at, future.result())
            for unit in tile.units:
                if plan.last[unit] == tile.at:
                    del units[unit]
            bar.update()

    with bar:
        for row in plan.rows:
            # Reads first: a tile that waits for one never keeps it from being done.
            for tile in row:
                for unit in tile.units:
                    if unit not in units:
                        units[unit] = pool.submit(reader.rgba, unit)
            waiting.append(
                [
                    (
                        tile,
                        pool.submit(make, plan, tile, {unit: units[unit] for unit in tile.units}),
                    )
                    for tile in row
                ]
            )
            if len(waiting) > 1:
                finish(waiting.popleft())
        while waiting:
            finish(waiting.popleft())
