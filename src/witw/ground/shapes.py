"""Shapes of areas: boxes, polygons and vector files, in EPSG:4326.

A box is west, south, east, north [degrees], with its west in -180..180 and its east above its west.
The east of a box across the 180th meridian exceeds 180. Geometries and photos have longitudes in
-180..180, so a geometry across the meridian is cut in two there.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import box as rectangle
from shapely.geometry import shape as geojson
from shapely.geometry.base import BaseGeometry

from witw.errors import UserError, one_line

Box = tuple[float, float, float, float]
SOUTH, NORTH = -80.0, 84.0  # limits of UTM
EXAMPLE = (
    "give a file (GeoJSON, GeoPackage, ...), boxes [[west, south, east, north], ...], the corners "
    "of a polygon [[lon, lat], ...], or a GeoJSON geometry"
)


@dataclass(frozen=True)
class Ground:
    """The extent of an area.

    Attributes:
        bbox_deg: Bounding box of the area.
        geometry: Polygons of the area; None if the area is the box.
    """

    bbox_deg: Box
    geometry: BaseGeometry | None = None

    def holds(self, lon: Any, lat: Any) -> NDArray[np.bool_]:
        """Return which points lie in the area, its edges included.

        Args:
            lon: Longitudes, EPSG:4326 [degrees], any shape.
            lat: Latitudes, same shape.
        """
        lon, lat = np.asarray(lon, float), np.asarray(lat, float)
        west, south, east, north = self.bbox_deg
        inside = (south <= lat) & (lat <= north)
        inside &= ((west <= lon) & (lon <= east)) | ((west <= lon + 360) & (lon + 360 <= east))
        if self.geometry is not None and inside.any():
            inside = np.asarray(inside)
            inside[inside] = shapely.intersects_xy(self.geometry, lon[inside], lat[inside])
        return np.asarray(inside)

    @property
    def polygons(self) -> BaseGeometry:
        """Return the polygons of the area, or of its box if it has no shape."""
        return self.geometry if self.geometry is not None else _wrapped(rectangle(*self.bbox_deg))

    def projected(self, epsg: int, margin_m: float = 0.0) -> BaseGeometry:
        """Return the polygons in a projected CRS [m], widened by a margin."""
        # The import takes a third of a second, too long for a plan.
        from pyproj import Transformer

        change = Transformer.from_crs(4326, epsg, always_xy=True).transform
        fine = shapely.segmentize(self.polygons, 0.01)
        found = shapely.transform(fine, lambda xy: np.stack(change(*xy.T), axis=1))
        return found.buffer(margin_m) if margin_m else found


def checked_box(values: Sequence[float]) -> Box:
    """Check a box of the config; one across the 180th meridian may be given by its real edges.

    Raises:
        ValueError: The box is invalid.
    """
    west, south, east, north = values
    if not all(map(math.isfinite, values)):
        raise ValueError("each of the four must be a finite number: west, south, east, north")
    if west >= east and not (west > east and east + 360 - west < 180):
        raise ValueError(f"west {west} is not less than east {east}: give west, south, east, north")
    if south >= north:
        raise ValueError(
            f"south {south} is not less than north {north}: give west, south, east, north"
        )
    beyond = east + 360 if west > east else east
    if west < -180 or west >= 180 or beyond > west + 360 or beyond > 360:
        _refuse(west, south, beyond, north)
    if south < SOUTH or north > NORTH:
        _refuse(west, south, beyond, north)
    # Read in the order of other tools, such a box of a continent is one of a town.
    is_town = 0 < south - west < 2 and 0 < north - east < 2
    if is_town and min(east - west, north - south) > 5:
        raise ValueError(
            "the numbers seem to be west, east, south, north: give west, south, east, north, "
            f"[{west}, {east}, {south}, {north}]"
        )
    return west, south, beyond, north


def _refuse(west: float, south: float, east: float, north: float) -> None:
    told = "the box exceeds longitude -180..180 or UTM's latitude -80..84"
    if west >= -80 and east <= 84 and south >= -180 and north <= 180:
        told += "; latitude and longitude seem swapped: give west, south, east, north"
    elif max(map(abs, (west, south, east, north))) > 720:
        told += "; its numbers seem to be metres: give degrees of EPSG:4326"
    raise ValueError(told)


def is_box(value: Any) -> bool:
    """Return whether a value of the config is four numbers."""
    is_list = isinstance(value, list | tuple) and len(value) == 4
    return is_list and all(isinstance(v, int | float) for v in value)


def of(area: Any, buffer_m: float) -> Ground:
    """Return the extent of an area of the config.

    Raises:
        ValueError: It is not a shape, or lies where no area can be.
    """
    return read(json.dumps(told(area, buffer_m), sort_keys=True))


def told(area: Any, buffer_m: float) -> dict[str, Any]:
    """Return what a job needs to read a shape: the shape itself, or its file and checksum.

    Raises:
        ValueError: The file is missing.
    """
    out: dict[str, Any] = {"area": area, "buffer_m": buffer_m}
    if isinstance(area, str):
        path = Path(area)
        if path.is_dir():
            raise ValueError(f"`area` {area} is a folder; give a file of polygons")
        if not path.is_file():
            raise ValueError(
                f"`area` {area} does not exist (relative to {Path.cwd()}); correct the path or add "
                "the file"
            )
        out["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return out


def ground(spec: Mapping[str, Any]) -> Ground:
    """Return the extent of a job's area.

    Args:
        spec: `bbox_deg`, and `shape` from :func:`told` if the area is more than a box.

    Raises:
        UserError: The shape's file has changed since the plan was made.
    """
    shape = spec.get("shape")
    if not shape:
        return Ground(_box(spec["bbox_deg"]))
    try:
        now = told(shape["area"], shape["buffer_m"])
        found = read(json.dumps(shape, sort_keys=True))
    except ValueError as error:
        raise UserError(f"Area {spec.get('aoi')!r}: {error}.") from None
    if now.get("sha256") != shape.get("sha256"):
        raise UserError(
            f"Area {spec.get('aoi')!r}: `area` {shape['area']} has changed since this run started; "
            "run again."
        )
    return found


def _box(values: Sequence[float]) -> Box:
    west, south, east, north = map(float, values)
    return west, south, east, north


@lru_cache(maxsize=64)
def read(shape: str) -> Ground:
    """Read a shape from :func:`told`, as JSON; each shape is read once per process.

    Raises:
        ValueError: It contains no polygon, or lies where no area can be.
    """
    what = json.loads(shape)
    found = _geometry(what["area"])
    if not found.is_empty and np.abs(found.bounds).max() > 720:
        raise ValueError(
            "the coordinates of `area` seem to be metres: give degrees of EPSG:4326, or a file "
            "that names its CRS, such as a GeoPackage"
        )
    found = _unwrapped(found)
    if what["buffer_m"]:
        found = _unwrapped(_widened(found, what["buffer_m"]))
    found = shapely.union_all(
        [one for one in shapely.get_parts(shapely.make_valid(found)) if one.area > 0]
    )
    if found.is_empty:
        raise ValueError(
            "`area` contains no polygon; give one, or set `buffer_m` for points and lines"
        )
    west, south, east, north = found.bounds
    if south < SOUTH or north > NORTH:
        _refuse(west, south, east, north)
    turns = 360.0 * np.floor((west + 180) / 360)
    bbox = (west - turns, south, east - turns, north)
    if found.equals(rectangle(west, south, east, north)):
        return Ground(bbox)
    found = _wrapped(shapely.transform(found, lambda xy: xy - np.array([turns, 0])))
    shapely.prepare(found)
    return Ground(bbox, found)


def _geometry(area: Any) -> BaseGeometry:
    """Return the geometry of the config's `area`.

    Raises:
        ValueError: It is not a shape.
    """
    if isinstance(area, str):
        return _of_file(area)
    if isinstance(area, Mapping):
        return _of_geojson(area)
    rows = area if isinstance(area, list | tuple) else ()
    rows = [rows] if rows and all(isinstance(v, int | float) for v in rows) else rows
    lengths = {_numbers(row) for row in rows}
    if lengths == {4}:
        return shapely.union_all([rectangle(*checked_box(row)) for row in rows])
    if lengths == {2} and len(rows) > 2:
        return shapely.Polygon(rows)
    raise ValueError(f"`area` is not a shape: {EXAMPLE}")


def _numbers(row: Any) -> int:
    """Return how many finite numbers a list holds; 0 if it holds anything else."""
    values = row if isinstance(row, list | tuple) else [None]
    return (
        len(values) if all(isinstance(v, int | float) and math.isfinite(v) for v in values) else 0
    )


def _of_geojson(area: Mapping[str, Any]) -> BaseGeometry:
    parts = area.get("features") or [area]
    try:
        return shapely.union_all([geojson(part.get("geometry") or part) for part in parts])
    except (AttributeError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError):
        raise ValueError(f"`area` is not a GeoJSON geometry; {EXAMPLE}") from None


def _of_file(path: str) -> BaseGeometry:
    # The import takes half a second, so only areas with a file pay for it.
    import geopandas

    try:
        # GDAL warns of faults that its exceptions tell too.
        with warnings.catch_warnings(action="ignore"):
            frame = geopandas.read_file(path)
    except Exception as error:  # pyogrio's exceptions depend on the driver
        text = one_line(error).rstrip(".")
        if "closed linestring" in text:
            text = "a ring is not closed; repeat its first corner at its end"
        raise ValueError(f"`area` {path} cannot be read: {text}") from None
    if not isinstance(frame, geopandas.GeoDataFrame) or frame.geometry.isna().all():
        raise ValueError(f"`area` {path} contains no shapes")
    if frame.crs is None:
        raise ValueError(f"`area` {path} has no CRS; assign one, or save it as GeoJSON")
    if not frame.crs.equals("EPSG:4326"):
        frame = frame.to_crs(4326)
    return shapely.union_all(shapely.make_valid(frame.geometry.dropna().to_numpy()))


def _unwrapped(found: BaseGeometry) -> BaseGeometry:
    """Return a geometry without a break: parts east of the 180th meridian exceed 180.

    Raises:
        ValueError: It covers more than half of the Earth.
    """
    parts = shapely.get_parts(found)
    if not len(parts):
        return found
    bounds = shapely.bounds(parts)
    if np.nanmax(bounds[:, 2]) - np.nanmin(bounds[:, 0]) > 180:
        moved = [
            shapely.transform(one, lambda xy: xy + np.array([360.0, 0])) if west < 0 else one
            for one, west in zip(parts, bounds[:, 0], strict=True)
        ]
        found = shapely.union_all(moved)
        west, _, east, _ = found.bounds
        if east - west > 180:
            raise ValueError(
                "`area` covers more than half of the Earth's longitudes; cut a shape across the "
                "180th meridian in two there, as GeoJSON requires"
            )
    return found


def _widened(found: BaseGeometry, margin_m: float) -> BaseGeometry:
    """Widen a geometry by metres, in a projection with true distances from its middle."""
    # For the reason given in `projected`.
    from pyproj import CRS, Transformer

    west, south, east, north = found.bounds
    lon, lat = (west + east) / 2, (south + north) / 2
    middle = CRS.from_proj4(f"+proj=aeqd +lat_0={lat} +lon_0={lon} +datum=WGS84 +units=m")
    there = Transformer.from_crs(4326, middle, always_xy=True).transform
    back = Transformer.from_crs(middle, 4326, always_xy=True).transform
    flat = shapely.transform(found, lambda xy: np.stack(there(*xy.T), axis=1))

    def degrees(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = back(*xy.T)
        return np.stack([lon + (x - lon + 180) % 360 - 180, y], axis=1)

    return shapely.transform(flat.buffer(margin_m), degrees)


def _wrapped(found: BaseGeometry) -> BaseGeometry:
    """Cut a geometry at the 180th meridian, and put what lies beyond where it belongs."""
    if found.bounds[2] <= 180:
        return found
    west = shapely.intersection(found, rectangle(-180, -90, 180, 90))
    east = shapely.intersection(found, rectangle(180, -90, 540, 90))
    return shapely.union_all([west, shapely.transform(east, lambda xy: xy - np.array([360.0, 0]))])


def boxes(bbox_deg: Sequence[float]) -> list[Box]:
    """Split a box at the 180th meridian, if it crosses it; longitudes become -180 to 180."""
    west, south, east, north = _box(bbox_deg)
    if east <= 180:
        return [(west, south, east, north)]
    return [(west, south, 180.0, north), (-180.0, south, east - 360, north)]
