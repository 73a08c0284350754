"""Converts regions of a map to polygons that any GIS reads (RFC 7946)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

if TYPE_CHECKING:
    from witw.cvig.grid import Grid

DIGITS = 7  # decimals of a degree: a centimetre


def polygons(inside: NDArray[np.bool_], grid: Grid) -> shapely.MultiPolygon:
    """Return the union of the squares of cells.

    Args:
        inside: ``(N,)``, whether each cell belongs to the region.
        grid: the grid of cells.

    Returns:
        A valid multipolygon in EPSG:4326, with anticlockwise outer rings, cut at the 180th
        meridian; empty without cells.
    """
    mask = np.zeros((grid.rows, grid.columns), np.uint8)
    mask.reshape(-1)[grid.cells[inside]] = 1
    found = rasterio.features.shapes(mask, mask.astype(bool), 4, grid.transform)
    parts = _built([geometry["coordinates"] for geometry, _ in found])
    # Polygons whose holes touch the outer ring at corners may be invalid, and are repaired.
    broken = ~shapely.is_valid(parts)
    mended = [p for part in shapely.make_valid(parts[broken]) for p in _flat(part)]
    return _degrees(shapely.MultiPolygon([*parts[~broken], *mended]), grid.epsg)


def _built(polygons: list[list[list[tuple[float, float]]]]) -> NDArray[np.object_]:
    """Build polygons from lists of rings in one call: a noisy map has a hundred thousand."""
    if not polygons:
        return np.empty(0, object)
    rings = [ring for polygon in polygons for ring in polygon]
    points = np.array([point for ring in rings for point in ring], np.float64)
    of_ring = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    of_polygon = np.repeat(np.arange(len(polygons)), [len(polygon) for polygon in polygons])
    lines = shapely.linearrings(points, indices=of_ring)
    return np.asarray(shapely.polygons(lines, indices=of_polygon))


def _flat(shape: shapely.Geometry) -> list[shapely.Polygon]:
    """Return the polygons of a shape, without points and lines."""
    parts = shapely.get_parts(shape)
    return list(parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON])


def _degrees(shape: shapely.MultiPolygon, epsg: int) -> shapely.MultiPolygon:
    """Reproject a shape to longitude and latitude."""
    to_degrees = Transformer.from_crs(epsg, 4326, always_xy=True)

    def turned(points: NDArray[np.float64]) -> NDArray[np.float64]:
        lon, lat = to_degrees.transform(*points.T)
        return np.stack([lon, lat], axis=1).round(DIGITS)

    out = shapely.transform(shape, turned)
    west, _, east, _ = shapely.bounds(out)
    if east - west > 180:
        out = _cut(out)
    # RFC 7946 requires anticlockwise outer rings.
    whole: shapely.MultiPolygon = shapely.orient_polygons(out, exterior_cw=False)
    return whole


def _cut(shape: shapely.Geometry) -> shapely.Geometry:
    """Split a shape at the 180th meridian."""

    def eastward(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([points[:, 0] % 360, points[:, 1]], axis=1)

    def back(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([points[:, 0] - 360, points[:, 1]], axis=1)

    around = shapely.transform(shape, eastward)
    east = shapely.intersection(around, shapely.box(0, -90, 180, 90))
    west = shapely.transform(shapely.intersection(around, shapely.box(180, -90, 360, 90)), back)
    parts = [p for half in (east, west) for p in _flat(half)]
    return shapely.MultiPolygon([p for part in parts for p in _flat(part)])
