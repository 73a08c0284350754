"""Ray-cast a height field by columns: find the first surface a camera sees.

For each column of the picture the terrain is sampled along its bearing. The running maximum of the
slope from the eye gives the first sample hit by every row, with one sorted search for the whole
picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witw.demo.city.raster import RES_M, CityRaster
from witw.demo.city.streets import Floats

FAR_M = 420.0
_NEAR = np.arange(0.8, 40, 0.45)
_DISTANCES = np.concatenate([_NEAR, np.geomspace(40.4, FAR_M, 110)]).astype(np.float32)


@dataclass(frozen=True)
class Camera:
    """Position and orientation of a camera.

    Attributes:
        x, y: metres east and north of the city's centre.
        heading_deg: bearing of the picture's middle, clockwise from north.
        fov_deg: horizontal field of view.
        pitch_deg: upward tilt.
        eye_m: height of the eye.
    """

    x: float
    y: float
    heading_deg: float
    fov_deg: float
    pitch_deg: float = 2.0
    eye_m: float = 1.65


@dataclass(frozen=True)
class Hits:
    """First surface seen by each pixel, (rows, columns).

    Attributes:
        t: horizontal distance [m]; FAR_M if there is no ground.
        x, y, z: the point.
        wall: whether it is on a wall.
        sky: whether it is sky.
    """

    t: Floats
    x: Floats
    y: Floats
    z: Floats
    wall: NDArray[np.bool_]
    sky: NDArray[np.bool_]


class View:
    """A camera's rays for a picture of a given size."""

    def __init__(self, camera: Camera, width: int, height: int) -> None:
        self.camera = camera
        self.width, self.height = width, height
        self.focal_px = float(width / 2 / np.tan(np.radians(camera.fov_deg) / 2))
        offset = (np.arange(width) + 0.5 - width / 2) / self.focal_px
        bearing = np.radians(camera.heading_deg) + np.arctan(offset)
        self.east = np.sin(bearing).astype(np.float32)
        self.north = np.cos(bearing).astype(np.float32)
        self.spread = np.hypot(1, offset).astype(np.float32)
        # A small tilt moves the horizon, while verticals stay vertical.
        tilt = float(np.tan(np.radians(camera.pitch_deg)))
        self.horizon_row = height / 2 + self.focal_px * tilt
        rise = (self.horizon_row - np.arange(height) - 0.5) / self.focal_px
        self.slope = (rise[:, None] / self.spread[None, :]).astype(np.float32)


def sees(raster: CityRaster, camera: Camera, width: int = 24) -> Floats:
    """Return distances [m] to the first surface taller than the eye, for some columns."""
    view = View(camera, width, 8)
    height = _profile(raster, view)[0]
    blocked = height > camera.eye_m + 1
    first = np.where(blocked.any(axis=1), blocked.argmax(axis=1), -1)
    return np.where(first < 0, np.float32(FAR_M), _DISTANCES[first])


def _profile(raster: CityRaster, view: View) -> tuple[Floats, NDArray[np.intp]]:
    """Return heights along every column's bearing, (columns, distances), and their raster cells."""
    x = view.camera.x + view.east[:, None] * _DISTANCES
    y = view.camera.y + view.north[:, None] * _DISTANCES
    cell, inside = cells(raster, x, y)
    return np.where(inside, raster.height.ravel()[cell], np.float32(0)), cell


def cells(raster: CityRaster, x: Floats, y: Floats) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the flat raster index of each point (clipped), and whether the point lies inside."""
    n = len(raster.height)
    column = np.floor((x - raster.left) / RES_M).astype(np.intp)
    row = np.floor((raster.top - y) / RES_M).astype(np.intp)
    inside = (column >= 0) & (column < n) & (row >= 0) & (row < n)
    return row.clip(0, n - 1) * n + column.clip(0, n - 1), inside


def cast(raster: CityRaster, view: View) -> Hits:
    """Find the first surface seen by each pixel."""
    eye = np.float32(view.camera.eye_m)
    heights, _ = _profile(raster, view)
    rise = np.maximum.accumulate((heights - eye) / _DISTANCES, axis=1)
    # One sorted search serves all columns, because each column has its own range of numbers.
    count = len(_DISTANCES)
    columns = np.arange(view.width) * 1e3
    found = np.searchsorted((rise + columns[:, None]).ravel(), (view.slope + columns).ravel())
    found = found.reshape(view.height, view.width) - (np.arange(view.width) * count)
    sky = (found >= count) & (view.slope > 0)
    k = found.clip(0, count - 1)
    t, before = _DISTANCES[k], _DISTANCES[np.maximum(k - 1, 0)]
    top = np.take_along_axis(heights.T, k, axis=0)
    # A ray meets a level top where it descends to it, which is before the sample.
    with np.errstate(divide="ignore", invalid="ignore"):
        level = (top - eye) / view.slope
    z = eye + view.slope * t
    cell, _ = cells(raster, view.camera.x + view.east * t, view.camera.y + view.north * t)
    wall = (z < raster.eave.ravel()[cell] - 0.05) & ~sky
    t = np.where(wall, _edge(raster, view, before, t), np.where(level > before, level, t))
    t = np.minimum(t, np.float32(FAR_M))
    x, y = view.camera.x + view.east * t, view.camera.y + view.north * t
    return Hits(t, x, y, eye + view.slope * t, wall, sky)


def _edge(raster: CityRaster, view: View, low: Floats, high: Floats) -> Floats:
    """Locate a wall between two distances by bisection."""
    heights = raster.height.ravel()
    for _ in range(3):
        middle = (low + high) / 2
        x = view.camera.x + view.east * middle
        y = view.camera.y + view.north * middle
        hidden = heights[cells(raster, x, y)[0]] > view.camera.eye_m + view.slope * middle
        low, high = np.where(hidden, low, middle), np.where(hidden, middle, high)
    return high
