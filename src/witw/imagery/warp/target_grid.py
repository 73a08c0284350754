"""Coordinate transforms between source pixels and the target grid. No I/O."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from osgeo import gdal, osr

from witw.geo import snap
from witw.imagery import TILE
from witw.imagery.strip.footprint import MOST_SIDE_PX, spatial_reference, too_large
from witw.imagery.strip.vrt import Raster

Positions = NDArray[np.float64]
OUTSIDE = "it extends beyond its area's UTM zone; check `epsg` and the strip's CRS"
# Largest error of interpolated positions [source px].
MAX_SHIFT_PX = 1e-4
STEPS = (64, 32, 16, 8)


class TargetGrid:
    """Target grid of a strip: whole multiples of the pixel size in the UTM zone.

    Attributes:
        size: Width and height of the source [px].
        bounds: West, south, east, north of the target [m].
        turn: A full turn in the units of a geographic source; None if the source is projected.
        shape: Height and width of the target [px].
    """

    def __init__(self, raster: Raster, epsg: int, gsd_m: float) -> None:
        self.transform = raster.transform
        self.inverse = gdal.InvGeoTransform(self.transform)
        self.size = raster.size
        source, target = spatial_reference(raster), osr.SpatialReference()
        target.ImportFromEPSG(epsg)
        self.epsg, self.gsd_m = epsg, gsd_m
        self.to_utm = osr.CoordinateTransformation(source, target)
        self.to_source = osr.CoordinateTransformation(target, source)
        # PROJ returns longitudes from -180 to 180, while a strip may extend beyond or count to 360.
        centre = _affine(self.transform, self.size[0] / 2, self.size[1] / 2)[0]
        self.turn = 2 * math.pi / source.GetAngularUnits() if source.IsGeographic() else None
        self.centre = float(centre)
        self.bounds = self._bounds()
        west, south, east, north = self.bounds
        self.shape = round((north - south) / gsd_m), round((east - west) / gsd_m)

    def check_size(self) -> None:
        """Check that the raster is not too large.

        Raises:
            RuntimeError: It is too large; the message says what to do.
        """
        if max(self.shape) > MOST_SIDE_PX:
            raise RuntimeError(too_large(self.shape[1], self.shape[0], self.gsd_m))

    def cropped(self, rows: tuple[int, int], columns: tuple[int, int]) -> TargetGrid:
        """Return the grid cropped to ranges of rows and columns of tiles (first, end)."""
        (top, bottom), (left, right) = rows, columns
        height, width = self.shape
        grid = copy.copy(self)
        grid.shape = (
            min(bottom * TILE, height) - top * TILE,
            min(right * TILE, width) - left * TILE,
        )
        # Bounds are whole multiples of the pixel size, as for the whole raster.
        west = (round(self.bounds[0] / self.gsd_m) + left * TILE) * self.gsd_m
        north = (round(self.bounds[3] / self.gsd_m) - top * TILE) * self.gsd_m
        south = (round(north / self.gsd_m) - grid.shape[0]) * self.gsd_m
        east = (round(west / self.gsd_m) + grid.shape[1]) * self.gsd_m
        grid.bounds = west, south, east, north
        return grid

    def metres(self, x: Positions, y: Positions) -> Positions:
        """Return easting and northing [m] of source pixel positions, (n, 2)."""
        points = np.stack(_affine(self.transform, x, y), axis=1)
        return np.array(self.to_utm.TransformPoints(points.tolist()))[:, :2]

    def source_px(self, x: Positions, y: Positions) -> tuple[Positions, Positions]:
        """Return source pixel positions of target pixel positions, by PROJ alone; any shape."""
        east = self.bounds[0] + x.ravel() * self.gsd_m
        north = self.bounds[3] - y.ravel() * self.gsd_m
        points = np.stack([east, north], axis=1)
        found = np.array(self.to_source.TransformPoints(points.tolist()))
        if self.turn:
            found[:, 0] += self.turn * np.rint((self.centre - found[:, 0]) / self.turn)
        px = _affine(self.inverse, found[:, 0], found[:, 1])
        return px[0].reshape(x.shape), px[1].reshape(x.shape)

    def _bounds(self, along: int = 129) -> tuple[float, float, float, float]:
        width, height = self.size
        t = np.linspace(0, 1, along)
        zero, one = np.zeros(along), np.ones(along)
        x = np.concatenate([t, t, zero, one]) * width
        y = np.concatenate([zero, one, t, t]) * height
        points = self.metres(x, y)
        if not np.isfinite(points).all():
            raise RuntimeError(OUTSIDE)
        west, east = snap(points[:, 0].min(), points[:, 0].max(), self.gsd_m)
        south, north = snap(points[:, 1].min(), points[:, 1].max(), self.gsd_m)
        return west, south, east, north

    def scale(self) -> tuple[float, float]:
        """Target pixels per source pixel along the source's x and y, at its centre.

        One pair serves the whole strip, because the result must not depend on the pieces.
        """
        x, y = self.size[0] / 2, self.size[1] / 2
        points = self.metres(np.array([x - 8, x + 8, x, x]), np.array([y, y, y - 8, y + 8]))
        x_step, y_step = np.hypot(*(points[1::2] - points[::2]).T) / 16 / self.gsd_m
        return _scale(float(x_step)), _scale(float(y_step))

    def nodes(self, step: int, row: int) -> tuple[Positions, Positions]:
        """Return source positions of every ``step``-th corner of target pixels in a row of tiles.

        Returns:
            Columns and rows, (TILE / step + 1, corners along the raster) each [source px].
        """
        end = self.shape[1] + step
        y, x = np.mgrid[row * TILE : (row + 1) * TILE + step : step, 0:end:step].astype(float)
        return self.source_px(x, y)

    def step(self) -> int | None:
        """Return the widest step for which interpolation is exact to MAX_SHIFT_PX, if any."""
        height, width = self.shape
        for step in STEPS:
            y, x = np.meshgrid(
                np.linspace(0, max(height - step, 0), 12), np.linspace(0, max(width - step, 0), 12)
            )
            half = step / 2
            middle = np.stack(self.source_px(x + half, y + half))
            corners = [self.source_px(x + i, y + j) for i in (0, step) for j in (0, step)]
            off = np.abs(middle - np.mean(corners, axis=0))
            if np.isfinite(off).all() and off.max() <= MAX_SHIFT_PX:
                return step
        return None


def _affine(t: tuple[float, ...], x: Any, y: Any) -> tuple[Any, Any]:
    return t[0] + t[1] * x + t[2] * y, t[3] + t[4] * x + t[5] * y


def _scale(measured: float) -> float:
    """As in GDAL, a strip that is hardly finer than the grid, or coarser, is not smoothed."""
    return measured if measured < 0.95 else 1.0
