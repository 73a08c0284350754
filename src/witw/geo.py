"""Geographic helpers: UTM zones, grid alignment, distances. No I/O."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

EARTH_RADIUS_M = 6_371_008.8  # mean radius of GRS80 (Moritz 1980)
MOST_UTM_ERROR = 0.02  # of lengths; states use one zone beyond its borders
WGS84_AXIS_M, WGS84_FLATTENING = 6_378_137.0, 1 / 298.257223563


def utm_epsg(lon: float, lat: float) -> int:
    """Return the EPSG code of a point's WGS 84 / UTM zone, with Norway's and Svalbard's exceptions.

    Args:
        lon: longitude, EPSG:4326 [degrees], possibly beyond 180.
        lat: latitude [degrees].
    """
    lon = lon - 360 if lon > 180 else lon
    zone = min(60, int((lon + 180) // 6) + 1)
    if 56 <= lat < 64 and 3 <= lon < 12:
        zone = 32
    elif lat >= 72 and 0 <= lon < 42:
        zone = 31 + 2 * int((lon + 3) // 12)
    return (32600 if lat >= 0 else 32700) + zone


def check_utm(epsg: int, bbox_deg: tuple[float, float, float, float]) -> None:
    """Check that a CRS is a UTM zone on any datum, in which a box keeps its lengths.

    Args:
        epsg: EPSG code.
        bbox_deg: west, south, east, north, EPSG:4326 [degrees].

    Raises:
        ValueError: it is another CRS or none, or lengths are wrong by more than
            :data:`MOST_UTM_ERROR`.
    """
    # The import takes a third of a second, and few configs give a zone.
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    west, south, east, north = bbox_deg
    lon, lat = (west + east) / 2, (south + north) / 2
    remedy = f"leave it out, or set {utm_epsg(lon, lat)}"
    try:
        zone = CRS.from_epsg(epsg).utm_zone
    except CRSError:
        zone = None
    if zone is None:
        raise ValueError(f"`epsg` {epsg} is not a UTM zone: {remedy}")
    middle = 6 * int(zone[:-1]) - 183
    apart_deg = abs((lon - middle + 180) % 360 - 180)
    if (math.radians(apart_deg) * math.cos(math.radians(lat))) ** 2 / 2 > MOST_UTM_ERROR:
        raise ValueError(
            f"`epsg` {epsg} is UTM zone {zone}, around longitude {middle}, and the area lies at "
            f"{lon:.1f}: {remedy}"
        )


def snap(low: float, high: float, step: float) -> tuple[float, float]:
    """Widen an interval to whole multiples of ``step``, so that rasters of one grid stack.

    A bound within a millionth of a step of a multiple counts as this multiple, because rounding
    errors of reprojected corners must not add a row.
    """
    return (
        math.floor(low / step + 1e-6) * step,
        math.ceil(high / step - 1e-6) * step,
    )


def haversine_m(
    lon1: NDArray[Any], lat1: NDArray[Any], lon2: NDArray[Any], lat2: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the great-circle distance [m] between points in EPSG:4326 [degrees], broadcasting."""
    lon1, lat1, lon2, lat2 = (np.radians(v) for v in (lon1, lat1, lon2, lat2))
    a = (
        np.sin((lat2 - lat1) / 2) ** 2
        + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    )
    return np.asarray(2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(a)), dtype=np.float64)


def geocentric(lon: NDArray[Any], lat: NDArray[Any]) -> NDArray[np.float64]:
    """Return points of the WGS 84 ellipsoid in Cartesian coordinates (EPSG:4978).

    Within a kilometre, the straight line between two points equals their distance on the ground to
    less than a millimetre, in any zones.

    Args:
        lon: ``(N,)`` longitude, EPSG:4326 [degrees].
        lat: ``(N,)`` latitude [degrees].

    Returns:
        ``(N, 3)`` [m].
    """
    lon, lat = (np.radians(np.asarray(v, dtype=np.float64)) for v in (lon, lat))
    square = WGS84_FLATTENING * (2 - WGS84_FLATTENING)  # square of the eccentricity
    radius = WGS84_AXIS_M / np.sqrt(1 - square * np.sin(lat) ** 2)
    across = radius * np.cos(lat)
    up = radius * (1 - square) * np.sin(lat)
    return np.stack([across * np.cos(lon), across * np.sin(lon), up], axis=-1)


def squares(lon: NDArray[Any], lat: NDArray[Any], edge_m: float) -> NDArray[np.int64]:
    """Return each point's square in one grid of the whole earth.

    The grid has rows of latitude, divided by the length of their middle parallel.

    Args:
        lon: ``(N,)`` longitude, EPSG:4326 [degrees].
        lat: ``(N,)`` latitude [degrees].
        edge_m: side of a square [m], exact to 0.6 % because the grid uses the sphere.

    Returns:
        ``(N, 2)`` column and row of each point's square.
    """
    lon, lat = (np.radians(np.asarray(v, dtype=np.float64)) for v in (lon, lat))
    step = edge_m / EARTH_RADIUS_M
    row = np.floor(lat / step)
    column = np.floor(lon * np.cos((row + 0.5) * step) / step)
    return np.stack([column, row], axis=-1).astype(np.int64)


def box_area_km2(bbox_deg: tuple[float, float, float, float]) -> float:
    """Return the area of a longitude/latitude box [km2] on the sphere."""
    west, south, east, north = (math.radians(v) for v in bbox_deg)
    return EARTH_RADIUS_M**2 * (math.sin(north) - math.sin(south)) * (east - west) / 1e6


def round_length(value: float) -> float:
    """Round a length down to 1, 2 or 5 times a power of ten, for scale bars.

    Args:
        value: positive length in any unit.
    """
    power = 10.0 ** math.floor(math.log10(value))
    return max(step * power for step in (1, 2, 5) if step * power <= value * 1.0001)
