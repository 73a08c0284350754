"""Headings from EXIF data, used only to score the network's headings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pyproj import Proj

from witw.cvig.metrics import Metric, share

WITHIN_DEG = (15, 30)
BIN_DEG = 15
# EXIF 2.32, table 15.
_GPS, _DIRECTION_REF, _DIRECTION = 0x8825, 0x0010, 0x0011


def true_heading(path: Path) -> float:
    """Read the heading of a photo, clockwise from true north [degrees].

    Returns:
        ``GPSImgDirection`` in [0, 360); NaN if the file has none, is missing or broken, or refers
        to magnetic north, whose declination is unknown.
    """
    try:
        with Image.open(path) as picture:
            gps = picture.getexif().get_ifd(_GPS)
            reference, value = gps.get(_DIRECTION_REF, "T"), float(gps[_DIRECTION])
    except Exception:  # broken EXIF raises whatever its bytes lead to
        return math.nan
    reference = reference.decode("ascii", "replace") if isinstance(reference, bytes) else reference
    known = math.isfinite(value) and str(reference).strip("\0 ").upper() == "T"
    return value % 360 if known else math.nan


def grid_headings(
    paths: Sequence[str], lon: NDArray[Any], lat: NDArray[Any], epsg: NDArray[Any]
) -> NDArray[np.float64]:
    """Return headings of photos, clockwise from grid north, for comparison with the network's.

    Args:
        paths: files, relative to the working folder.
        lon: geotags, EPSG:4326 [degrees].
        lat: geotags [degrees].
        epsg: each one's UTM zone.

    Returns:
        ``(P,)`` in [0, 360), NaN where unknown.
    """
    true = np.array([true_heading(Path(path)) for path in paths], np.float64)
    turn = np.zeros(len(true))
    for zone in np.unique(epsg):
        at = np.flatnonzero(epsg == zone)
        # Angle from true to grid north, clockwise.
        turn[at] = Proj(int(zone)).get_factors(lon[at], lat[at]).meridian_convergence
    return np.asarray((true - turn) % 360)


def error_deg(found: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the signed difference of headings, in [-180, 180) [degrees]."""
    return np.asarray((found - known + 180) % 360 - 180)


def metrics(error: NDArray[np.float64]) -> dict[str, Metric]:
    """Return ``median_error_deg``, ``within_15deg`` and ``within_30deg`` [%] of signed errors."""
    size = np.where(np.isfinite(error), np.abs(error), 180.0)
    out = {f"within_{limit}deg": share(size <= limit) for limit in WITHIN_DEG}
    return {"median_error_deg": Metric(size, is_median=True), **out}


def chance() -> dict[str, float]:
    """Return the expected figures of guessing."""
    out = {f"within_{limit}deg": round(100 * limit / 180, 4) for limit in WITHIN_DEG}
    return {"median_error_deg": 90.0, **out}


def histogram(error: NDArray[np.float64]) -> dict[str, list[int]]:
    """Count photos by signed error in bins of 15 degrees: ``from_deg`` and ``photos``."""
    edges = np.arange(-180, 181, BIN_DEG)
    counts = np.histogram(error[np.isfinite(error)], edges)[0]
    return {"from_deg": edges[:-1].tolist(), "photos": counts.tolist()}
