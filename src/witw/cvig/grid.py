"""Grid of cells over an area, and the imagery of each cell, prepared like packed chips."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.transform import Affine, from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from witw.errors import UserError
from witw.ground.shapes import Ground


@dataclass(frozen=True)
class Grid:
    """Cells at the centres of a regular raster's pixels, north up, in the area's UTM zone."""

    epsg: int
    step_m: float
    west: float  # left edge of the first column [m]
    north: float  # upper edge of the first row [m]
    rows: int
    columns: int
    cells: NDArray[np.int64]  # (N,) row * columns + column, of those with imagery; sorted

    @property
    def transform(self) -> Affine:
        """Transform from column and row to easting and northing."""
        return from_origin(self.west, self.north, self.step_m, self.step_m)

    def centres(self, some: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """Return easting and northing of the cells [m].

        Args:
            some: positions in :attr:`cells`, of any shape; default: all.

        Returns:
            ``(..., 2)``.
        """
        row, column = np.divmod(self.cells if some is None else self.cells[some], self.columns)
        east = self.west + (column + 0.5) * self.step_m
        return np.stack([east, self.north - (row + 0.5) * self.step_m], axis=-1)

    def distances(
        self, place: NDArray[np.float64], some: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Return the metres from a place to the centres of some cells, see :meth:`centres`."""
        if some is not None:
            return np.asarray(np.hypot(*np.moveaxis(self.centres(some) - place, -1, 0)))
        # For all cells, squares of columns and rows are computed once each.
        east = self.west + (np.arange(self.columns) + 0.5) * self.step_m - place[0]
        north = self.north - (np.arange(self.rows) + 0.5) * self.step_m - place[1]
        square = np.square(north)[:, None] + np.square(east)
        return np.asarray(np.sqrt(square.ravel()[self.cells]))

    def raster(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return values of the cells as ``(rows, columns)`` float32, NaN without a cell."""
        out = np.full(self.rows * self.columns, np.nan, np.float32)
        out[self.cells] = values
        return out.reshape(self.rows, self.columns)

    def near(self, place: NDArray[np.float64], radius_m: float) -> NDArray[np.int64]:
        """Return positions in :attr:`cells` of all cells within a radius, and of some beyond.

        The cells are those of a square around the place; no other cell is examined.
        """
        reach = int(radius_m / self.step_m) + 1
        column = int((place[0] - self.west) // self.step_m)
        row = int((self.north - place[1]) // self.step_m)
        first, last = max(0, column - reach), min(self.columns, column + reach + 1)
        rows = np.arange(max(0, row - reach), min(self.rows, row + reach + 1)) * self.columns
        if last <= first:
            return np.zeros(0, np.int64)
        ends = np.searchsorted(self.cells, [rows + first, rows + last])
        parts = [np.arange(start, end) for start, end in ends.T]
        return np.concatenate([np.zeros(0, np.int64), *parts])


def plan(
    mosaic: rasterio.DatasetReader,
    ground: Ground,
    step_m: float,
    pixel_m: float,
    aoi: str,
) -> Grid:
    """Lay cells over the part of an area that has imagery.

    The step is rounded to whole packed pixels, and the grid is aligned to multiples of the step.
    All cells can then be cut from one reduced raster, without further resampling.

    Args:
        mosaic: the area's raster, in UTM.
        ground: shape of the area.
        step_m: distance between cells [m].
        pixel_m: pixel of the packed chips [m].
        aoi: name, for the error.

    Raises:
        UserError: no cell of the area has imagery.
    """
    step = max(1, round(step_m / pixel_m)) * pixel_m
    west, south, east, north = _bounds(mosaic, ground)
    box = mosaic.bounds
    left, right = max(west, box.left) // step, math.ceil(min(east, box.right) / step)
    lower, upper = max(south, box.bottom) // step, math.ceil(min(north, box.top) / step)
    columns, rows = max(0, int(right - left)), max(0, int(upper - lower))
    grid = Grid(
        mosaic.crs.to_epsg(), step, left * step, upper * step, rows, columns, np.zeros(0, np.int64)
    )
    cells = _covered(mosaic, grid) if rows and columns else grid.cells
    if ground.geometry is not None and len(cells):
        cells = cells[_within(grid, ground)[cells]]
    if not len(cells):
        key = "bbox_deg" if ground.geometry is None else "area"
        raise UserError(f"Area {aoi!r}: its mosaic has no imagery inside `aois.{aoi}.{key}`.")
    return Grid(**asdict(grid) | {"cells": cells})


def _bounds(mosaic: rasterio.DatasetReader, ground: Ground) -> tuple[float, float, float, float]:
    """Return west, south, east, north of an area in its mosaic's zone [m]."""
    if ground.geometry is not None:
        west, south, east, north = ground.projected(mosaic.crs.to_epsg()).bounds
        return west, south, east, north
    west, south, east, north = transform_bounds("EPSG:4326", mosaic.crs, *ground.bbox_deg)
    return west, south, east, north


def _within(grid: Grid, ground: Ground) -> NDArray[np.bool_]:
    """Mark the cells of the raster whose centre is in the area, (rows * columns,)."""
    shown = rasterize(
        [ground.projected(grid.epsg)],
        out_shape=(grid.rows, grid.columns),
        transform=grid.transform,
        dtype="uint8",
    )
    return np.asarray(shown.ravel() > 0)


def _covered(mosaic: rasterio.DatasetReader, grid: Grid) -> NDArray[np.int64]:
    """Return the cells whose centre has imagery."""
    with WarpedVRT(
        mosaic,
        crs=mosaic.crs,
        transform=grid.transform,
        width=grid.columns,
        height=grid.rows,
        resampling=Resampling.nearest,
        add_alpha=True,
    ) as view:
        return np.flatnonzero(view.read(view.count))


def pictures(
    mosaic: rasterio.DatasetReader, grid: Grid, chip_px: int, pixel_m: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Yield chips of the cells, a row of the grid at a time.

    Each pixel is the mean of the imagery under it, as in a packed chip; black without imagery.

    Args:
        mosaic: the area's raster.
        grid: cells.
        chip_px: side of a packed chip, even [px].
        pixel_m: its pixel [m].

    Yields:
        Positions in ``grid.cells``, ``(n,)``, and pictures ``(n, chip_px, chip_px, 3)`` uint8.
    """
    step = round(grid.step_m / pixel_m)
    # Shrunk raster: its first pixel is the upper left corner of the first cell's chip.
    margin = (chip_px - step) / 2 * pixel_m
    width = (grid.columns - 1) * step + chip_px
    options: dict[str, Any] = {
        "crs": mosaic.crs,
        "transform": from_origin(grid.west - margin, grid.north + margin, pixel_m, pixel_m),
        "width": width,
        "height": (grid.rows - 1) * step + chip_px,
        "resampling": Resampling.average,
        "add_alpha": True,
    }
    with WarpedVRT(mosaic, **options) as view:
        band = np.zeros((0, width, 3), np.uint8)
        for row in range(grid.rows):
            # The previous row's band without its first `step` lines is the top of this row's band.
            band = band[step:] if row else band
            first, last = np.searchsorted(
                grid.cells, [row * grid.columns, (row + 1) * grid.columns]
            )
            if first == last:
                continue
            top = row * step + len(band)
            window = ((top, row * step + chip_px), (0, width))
            fresh = view.read((1, 2, 3), window=window)
            fresh[:, view.read(view.count, window=window) == 0] = 0
            band = np.concatenate([band, fresh.transpose(1, 2, 0)])
            at = np.arange(first, last)
            for start in range(0, len(at), 256):
                some = at[start : start + 256]
                column = grid.cells[some] % grid.columns * step
                chips = np.empty((len(some), chip_px, chip_px, 3), np.uint8)
                for chip, left in zip(chips, column, strict=True):
                    chip[:] = band[:, left : left + chip_px]
                yield some, chips
