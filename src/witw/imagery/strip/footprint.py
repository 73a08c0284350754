"""Footprints of rasters: grids of files, boxes in degrees. Opens nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from osgeo import osr

from witw.imagery.strip.vrt import Raster, Rect

Box = tuple[float, float, float, float]


def grid(
    tiles: Sequence[tuple[tuple[float, ...], tuple[int, int]]],
) -> tuple[tuple[float, ...], tuple[int, int], list[Rect]]:
    """One grid for several north-up files: the box of all, pixels of their mean size.

    Args:
        tiles: GDAL's six numbers, and width and height [px], of each.

    Returns:
        The grid's six numbers, its width and height [px], and where each file lies in it [px].

    Raises:
        RuntimeError: one is rotated or south up.
    """
    data = np.array([[*t, *size] for t, size in tiles])
    left, dx, skew_x, top, skew_y, dy, width, height = data.T
    if skew_x.any() or skew_y.any() or (dx <= 0).any() or (dy >= 0).any():
        raise RuntimeError("its tiles are rotated, so they make no raster")
    step_x, step_y = float(dx.mean()), float(-dy.mean())
    if np.ptp(dx) < 1e-6 * step_x and np.ptp(dy) < 1e-6 * step_y:
        step_x, step_y = float(dx[0]), float(-dy[0])
    west, north = float(left.min()), float(top.max())
    x, y = (left - west) / step_x, (north - top) / step_y
    w, h = width * dx / step_x, height * -dy / step_y
    # Corners are written with rounding noise; tiles of one grid must meet without a seam.
    x, y, w, h = (np.where(np.abs(v - np.rint(v)) < 0.01, np.rint(v), v) for v in (x, y, w, h))
    size = math.ceil((x + w).max() - 0.01), math.ceil((y + h).max() - 0.01)
    rects = [
        (float(a), float(b), float(c), float(d)) for a, b, c, d in zip(x, y, w, h, strict=True)
    ]
    return (west, step_x, 0.0, north, 0.0, -step_y), size, rects


def spatial_reference(raster: Raster) -> osr.SpatialReference:
    """A raster's CRS, with its axes in the order of the pixels'."""
    srs = osr.SpatialReference()
    srs.ImportFromWkt(raster.wkt)
    srs.SetDataAxisToSRSAxisMapping([int(axis) for axis in raster.axes.split(",")])
    return srs


def box_deg(raster: Raster) -> Box | None:
    """West, south, east, north of a raster, EPSG:4326 [degrees]; None: PROJ cannot say."""
    srs, degrees = spatial_reference(raster), osr.SpatialReference()
    degrees.ImportFromEPSG(4326)
    degrees.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    a, b, c, d, e, f = raster.transform
    t = np.linspace(0, 1, 33)
    zero, one_ = np.zeros(33), np.ones(33)
    x = np.concatenate([t, t, zero, one_]) * raster.size[0]
    y = np.concatenate([zero, one_, t, t]) * raster.size[1]
    points = np.stack([a + b * x + c * y, d + e * x + f * y], axis=1)
    change = osr.CoordinateTransformation(srs, degrees)
    lon, lat = np.array(change.TransformPoints(points.tolist()))[:, :2].T
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return None
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


def near(one: Sequence[float], other: Sequence[float], margin_m: float) -> bool:
    """Whether two boxes (west, south, east, north [degrees]) are at most so far apart [m]."""
    dy = margin_m / 111_000
    furthest = max(abs(v) for v in (one[1], one[3], other[1], other[3]))
    dx = dy / max(0.1, math.cos(math.radians(furthest)))
    return not (
        one[2] < other[0] - dx
        or one[0] > other[2] + dx
        or one[3] < other[1] - dy
        or one[1] > other[3] + dy
    )
