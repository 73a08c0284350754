"""Footprints of rasters: grids of files, boxes in degrees. Opens no files."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from osgeo import osr

from witw.geo import EARTH_RADIUS_M
from witw.imagery.strip.vrt import Raster, Rect

Box = tuple[float, float, float, float]
# Tiles of one set are placed on whole pixels; a larger offset [px] would be visible.
MOST_OFF_PX = 0.05
# Largest raster that is written [150 km at 0.3 m].
MOST_SIDE_PX = 500_000


def grid(
    tiles: Sequence[tuple[tuple[float, ...], tuple[int, int]]],
) -> tuple[tuple[float, ...], tuple[int, int], list[Rect]]:
    """Return one grid for several north-up files: their bounding box in pixels of their mean size.

    Args:
        tiles: GDAL's geotransform, and width and height [px], of each file.

    Returns:
        Geotransform of the grid, its width and height [px], and each file's rectangle in it [px].

    Raises:
        RuntimeError: A file is rotated or south up, or is off the grid of the others.
    """
    data = np.array([[*t, *size] for t, size in tiles])
    left, dx, skew_x, top, skew_y, dy, width, height = data.T
    if skew_x.any() or skew_y.any() or (dx <= 0).any() or (dy >= 0).any():
        raise RuntimeError("its tiles are rotated and cannot form one raster")
    step_x, step_y = float(dx.mean()), float(-dy.mean())
    if np.ptp(dx) < 1e-6 * step_x and np.ptp(dy) < 1e-6 * step_y:
        step_x, step_y = float(dx[0]), float(-dy[0])
    west, north = float(left.min()), float(top.max())
    x, y = (left - west) / step_x, (north - top) / step_y
    w, h = width * dx / step_x, height * -dy / step_y
    whole = [np.rint(v) for v in (x, y)] + [width, height]
    off = max(float(np.abs(v - r).max()) for v, r in zip((x, y, w, h), whole, strict=True))
    # Corners have rounding noise, but tiles of one grid must meet without a seam.
    if off > MOST_OFF_PX:
        raise RuntimeError(
            f"its tiles do not share one pixel grid (offsets up to {off:.2f} pixels); list them as "
            "separate strips"
        )
    x, y, w, h = whole
    size = int((x + w).max()), int((y + h).max())
    rects = [
        (float(a), float(b), float(c), float(d)) for a, b, c, d in zip(x, y, w, h, strict=True)
    ]
    return (west, step_x, 0.0, north, 0.0, -step_y), size, rects


def spatial_reference(raster: Raster) -> osr.SpatialReference:
    """Return a raster's CRS, with its axes in the order of the pixels' axes."""
    srs = osr.SpatialReference()
    srs.ImportFromWkt(raster.wkt)
    srs.SetDataAxisToSRSAxisMapping([int(axis) for axis in raster.axes.split(",")])
    return srs


def box_deg(raster: Raster) -> Box | None:
    """Return west, south, east, north of a raster, EPSG:4326 [degrees]; None if PROJ fails."""
    srs, degrees = spatial_reference(raster), osr.SpatialReference()
    degrees.ImportFromEPSG(4326)
    degrees.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    a, b, c, d, e, f = raster.transform
    # Includes points inside, because the corners of a full-disk image do not show the earth.
    x, y = (v.ravel() * n for v, n in zip(np.mgrid[0:1:33j, 0:1:33j], raster.size, strict=True))
    points = np.stack([a + b * x + c * y, d + e * x + f * y], axis=1)
    try:
        change = osr.CoordinateTransformation(srs, degrees)
        found = np.array(change.TransformPoints(points.tolist()))[:, :2]
    except RuntimeError:
        return None
    lon, lat = found[np.isfinite(found).all(axis=1)].T
    if not len(lon):
        return None
    # Longitudes across the 180th meridian continue: 179, 180, 181.
    lon = lon[0] + (lon - lon[0] + 180) % 360 - 180
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


def sides_m(box: Sequence[float]) -> tuple[float, float]:
    """Return width and height of a box (west, south, east, north [degrees]) in its middle [m]."""
    west, south, east, north = box
    metres = math.radians(1) * EARTH_RADIUS_M
    return (
        (east - west) * metres * math.cos(math.radians((south + north) / 2)),
        (north - south) * metres,
    )


def too_large(width: float, height: float, gsd_m: float) -> str:
    """Return what is wrong with a raster wider or higher than MOST_SIDE_PX; '' if nothing is."""
    return (
        f"it would have {width:,.0f} x {height:,.0f} pixels of {gsd_m} m, more than "
        f"{MOST_SIDE_PX:,} along a side; crop it to the area (gdal_translate -projwin), set "
        "`extent: photos`, or check `utm.gsd_m`"
    )


def near(one: Sequence[float], other: Sequence[float], margin_m: float) -> bool:
    """Return whether two boxes (west, south, east, north [degrees]) are within ``margin_m`` [m].

    Longitudes may range from -180 to 180 or from 0 to 360.
    """
    dy = margin_m / 111_000
    furthest = max(abs(v) for v in (one[1], one[3], other[1], other[3]))
    dx = dy / max(0.1, math.cos(math.radians(furthest)))
    return any(
        one[0] + turn <= other[2] + dx
        and other[0] - dx <= one[2] + turn
        and one[1] <= other[3] + dy
        and other[1] - dy <= one[3]
        for turn in (-360, 0, 360)
    )
