"""Grid of cells over an area, and the imagery of each cell, prepared like packed chips."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.transform import Affine, from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds

from witw import files
from witw.errors import UserError


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
        """From column and row to easting and northing."""
        return from_origin(self.west, self.north, self.step_m, self.step_m)

    def centres(self) -> NDArray[np.float64]:
        """``(N, 2)`` easting and northing of the cells [m]."""
        row, column = np.divmod(self.cells, self.columns)
        east = self.west + (column + 0.5) * self.step_m
        return np.stack([east, self.north - (row + 0.5) * self.step_m], axis=1)

    def raster(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Values of the cells as ``(rows, columns)`` float32; NaN where there is no cell."""
        out = np.full(self.rows * self.columns, np.nan, np.float32)
        out[self.cells] = values
        return out.reshape(self.rows, self.columns)

    def write(self, path: Path) -> None:
        """Write as JSON."""
        files.write_json(path, files.seal(asdict(self) | {"cells": self.cells.tolist()}))

    @classmethod
    def read(cls, path: Path) -> Grid:
        """Read what :meth:`write` wrote.

        Raises:
            UserError: it is something else.
        """
        content = files.read_json(path)
        try:
            return cls(**content | {"cells": np.array(content["cells"], np.int64)})
        except (KeyError, TypeError) as error:
            raise UserError(f"{path} is not a grid; delete it and run again.") from error


def plan(
    mosaic: rasterio.DatasetReader,
    bbox_deg: tuple[float, float, float, float],
    step_m: float,
    pixel_m: float,
    aoi: str,
) -> Grid:
    """Lay cells over the part of an area that has imagery.

    The step is rounded to whole packed pixels and the grid aligned to multiples of it, so that
    every cell's picture is cut from one shrunk raster without another resampling.

    Args:
        mosaic: the area's raster, in UTM.
        bbox_deg: the area, EPSG:4326.
        step_m: distance between cells [m].
        pixel_m: pixel of the packed chips [m].
        aoi: name, for the error.

    Raises:
        UserError: no cell of the area has imagery.
    """
    step = max(1, round(step_m / pixel_m)) * pixel_m
    west, south, east, north = transform_bounds("EPSG:4326", mosaic.crs, *bbox_deg)
    box = mosaic.bounds
    left, right = max(west, box.left) // step, math.ceil(min(east, box.right) / step)
    lower, upper = max(south, box.bottom) // step, math.ceil(min(north, box.top) / step)
    columns, rows = max(0, int(right - left)), max(0, int(upper - lower))
    grid = Grid(
        mosaic.crs.to_epsg(), step, left * step, upper * step, rows, columns, np.zeros(0, np.int64)
    )
    cells = _covered(mosaic, grid) if rows and columns else grid.cells
    if not len(cells):
        raise UserError(f"Area {aoi!r}: its mosaic has no imagery inside `aois.{aoi}.bbox_deg`.")
    return Grid(**asdict(grid) | {"cells": cells})


def _covered(mosaic: rasterio.DatasetReader, grid: Grid) -> NDArray[np.int64]:
    """Cells whose centre has imagery."""
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
    """Chips of the cells, a row of the grid at a time.

    Each pixel is the mean of the imagery under it, as in a packed chip; black where there is none.

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
        band = np.zeros((3, 0, width), np.uint8)
        for row in range(grid.rows):
            # The last row's band, less its first `step` lines, is the top of this one's.
            band = band[:, step:] if row else band
            top = row * step + band.shape[1]
            window = ((top, row * step + chip_px), (0, width))
            fresh = view.read((1, 2, 3), window=window)
            fresh[:, view.read(view.count, window=window) == 0] = 0
            band = np.concatenate([band, fresh], axis=1)
            at = np.flatnonzero(grid.cells // grid.columns == row)
            squares = np.lib.stride_tricks.sliding_window_view(band, chip_px, axis=2)
            for start in range(0, len(at), 256):
                some = at[start : start + 256]
                column = grid.cells[some] % grid.columns * step
                yield some, np.ascontiguousarray(squares[:, :, column].transpose(2, 1, 3, 0))
