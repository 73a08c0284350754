"""Parts of an area to search: around a point, or inside polygons."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

from witw import files
from witw.errors import UserError
from witw.geo import haversine_m


class Region(Protocol):
    """A part of the earth."""

    def holds(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether points in EPSG:4326 lie in the region, ``(N,)``."""


@dataclass(frozen=True)
class Around:
    """A circle around a point.

    Attributes:
        lat: latitude, EPSG:4326 [degrees].
        lon: longitude, EPSG:4326 [degrees].
        km: distance on the ground [km].
    """

    lat: float
    lon: float
    km: float

    def holds(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether points lie in it."""
        one = np.ones(1)
        distance_m = haversine_m(lon, lat, self.lon * one, self.lat * one)
        return np.asarray(distance_m <= 1000 * self.km)


@dataclass(frozen=True)
class Within:
    """The inside of polygons.

    Attributes:
        shape: polygon or multipolygon, EPSG:4326.
    """

    shape: shapely.Geometry

    def holds(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether points lie in it."""
        shapely.prepare(self.shape)
        return np.asarray(shapely.intersects_xy(self.shape, lon, lat))


def parse_around(text: str) -> Around:
    """Read ``LAT,LON,KM``.

    Raises:
        UserError: it is something else.
    """
    try:
        lat, lon, km = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"--around {text!r} must be latitude, longitude and kilometres, as in 52.37,4.90,1.5."
        ) from None
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        swapped = "latitude comes first, " if abs(lat) > 90 and abs(lon) <= 90 else ""
        raise UserError(
            f"--around {text!r} is not a place on the earth; {swapped}as in 52.37,4.90,1.5."
        )
    if not 0 < km < 20_000:
        raise UserError(
            f"--around {text!r} must end with a distance of more than 0 and less than 20,000 km."
        )
    return Around(lat, lon, km)


def read_polygons(path: Path) -> Within:
    """Read the polygons of a GeoJSON file (EPSG:4326, RFC 7946).

    Raises:
        UserError: the file is not GeoJSON, or contains no polygon.
    """
    try:
        shape = shapely.union_all([shapely.make_valid(s) for s in _shapes(files.read_json(path))])
    except FileNotFoundError:
        raise UserError(f"--within {path} does not exist; give a GeoJSON file.") from None
    except (UserError, UnicodeDecodeError, KeyError, TypeError, AttributeError, ValueError,
            shapely.errors.ShapelyError):  # fmt: skip
        raise UserError(
            f"--within {path} holds no polygon; give a GeoJSON file with longitude and latitude."
        ) from None
    west, south, east, north = shapely.bounds(shape)
    if not (west >= -180 and east <= 180 and south >= -90 and north <= 90):
        raise UserError(f"--within {path} must hold longitude and latitude in degrees (EPSG:4326).")
    return Within(shape)


def _shapes(content: dict[str, Any]) -> list[shapely.Geometry]:
    """Return the polygons of a geometry, a feature or a collection.

    Raises:
        ValueError: there is none.
    """
    if content["type"] == "FeatureCollection":
        parts = [feature["geometry"] for feature in content["features"]]
    else:
        parts = [content["geometry"] if content["type"] == "Feature" else content]
    polygons = [p for p in parts if p and p["type"] in ("Polygon", "MultiPolygon")]
    if not polygons:
        raise ValueError("no polygon")
    return [shapely.from_geojson(json.dumps(p)) for p in polygons]
