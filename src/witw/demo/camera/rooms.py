"""Render indoor photos: a furnished box, for the scene filter to reject."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from witw.demo.city.streets import Floats

_FLOORS = np.array([[0.30, 0.17, 0.08], [0.22, 0.13, 0.07], [0.42, 0.34, 0.26], [0.26, 0.07, 0.07]])
_WALLS = np.array([[0.62, 0.55, 0.42], [0.55, 0.38, 0.28], [0.66, 0.62, 0.56], [0.45, 0.30, 0.30]])
_LAMP = np.array([1.0, 0.86, 0.66])


def render_room(rng: np.random.Generator, fov_deg: float, width: int, height: int) -> Floats:
    """Render a random room.

    Args:
        rng: Draws the room.
        fov_deg: Horizontal field of view.
        width: Columns [px].
        height: Rows [px].

    Returns:
        (height, width, 3): linear red, green, blue, as :func:`witw.demo.camera.render.render`.
    """
    size = np.array([rng.uniform(3.5, 7), rng.uniform(4, 9), rng.uniform(2.4, 3.2)])
    eye = np.array([rng.uniform(0.3, 0.7) * size[0], rng.uniform(0.1, 0.3) * size[1], 1.5])
    ray = _rays(rng, fov_deg, width, height)
    near, axis = _exit(ray, eye, size)
    point = eye + near[..., None] * ray
    light = _surfaces(rng, point, axis, size)
    for _ in range(rng.integers(3, 7)):
        _furnish(rng, ray, eye, size, near, light)
    # Brighter under the lamps, darker in the corners.
    glow = 0.45 + 0.75 * np.exp(-near / 4) * (1 + 0.3 * rng.random())
    shade = 0.6 + 0.4 * np.clip(point[..., 2] / size[2] + 0.3, 0, 1)
    return np.asarray(light * _LAMP * (glow * shade)[..., None], dtype=np.float32)


def _rays(rng: np.random.Generator, fov_deg: float, width: int, height: int) -> NDArray[np.float64]:
    """Return the directions of the pixels, (height, width, 3), looking at the room's far end."""
    focal = width / 2 / np.tan(np.radians(fov_deg) / 2)
    across = (np.arange(width) + 0.5 - width / 2) / focal
    up = (height / 2 - np.arange(height) - 0.5) / focal + np.tan(np.radians(rng.normal(-4, 3)))
    turn = rng.uniform(-0.6, 0.6)
    ray = np.empty((height, width, 3))
    ray[..., 0] = (across * np.cos(turn) + np.sin(turn))[None, :]
    ray[..., 1] = (np.cos(turn) - across * np.sin(turn))[None, :]
    ray[..., 2] = up[:, None]
    return np.where(np.abs(ray) < 1e-6, 1e-6, ray)


def _exit(
    ray: NDArray[np.float64], eye: NDArray[np.float64], size: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the point where each ray leaves the box, and the axis of the side it passes."""
    out = np.where(ray > 0, (size - eye) / ray, -eye / ray)
    return out.min(axis=-1), out.argmin(axis=-1)


def _surfaces(
    rng: np.random.Generator,
    point: NDArray[np.float64],
    axis: NDArray[np.intp],
    size: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the colour of floor, ceiling, walls with pictures, and perhaps a window."""
    floor, wall = _FLOORS[rng.integers(len(_FLOORS))], _WALLS[rng.integers(len(_WALLS))]
    x, y, z = (point[..., k] for k in range(3))
    boards = 1 + 0.12 * np.sin(40 * np.floor(x / 0.14) + np.floor(y / 1.3) * 7)
    low = z < size[2] / 2
    light = np.where(low[..., None], floor * boards[..., None], 0.78)
    side = axis < 2
    light[side] = wall * rng.uniform(0.8, 1.1)
    run = np.where(axis == 0, y, x)
    light[side & (z < 0.12)] = 0.6
    for _ in range(rng.integers(2, 6)):
        start, bottom = rng.uniform(0, 6), rng.uniform(1.0, 1.5)
        frame = (run > start) & (run < start + rng.uniform(0.4, 1.2)) & (z > bottom)
        frame &= side & (z < bottom + rng.uniform(0.4, 0.9)) & (axis == rng.integers(2))
        light[frame] = rng.uniform(0.05, 0.5, 3)
    if rng.random() < 0.4:
        middle = rng.uniform(1, size[1] - 1)
        window = (axis == 0) & (np.abs(y - middle) < 0.7) & (z > 0.9) & (z < 2.1)
        bars = (np.abs(y - middle) < 0.04) | (np.abs(z - 1.5) < 0.04)
        light[window] = np.where(bars[window, None], 0.5, 1.3)
    lamp = ~side & ~low & (np.hypot(x % 2 - 1, y % 2 - 1) < 0.25)
    light[lamp] = 1.6
    return light


def _furnish(
    rng: np.random.Generator,
    ray: NDArray[np.float64],
    eye: NDArray[np.float64],
    size: NDArray[np.float64],
    near: NDArray[np.float64],
    light: NDArray[np.float64],
) -> None:
    """Add one box of furniture; ``near`` and ``light`` are changed in place."""
    extent = np.array([rng.uniform(0.5, 2.0), rng.uniform(0.4, 1.2), rng.uniform(0.4, 2.0)])
    low = np.array([rng.uniform(0, size[0] - extent[0]), rng.uniform(2.2, size[1]), 0.0])
    first, second = (low - eye) / ray, (low + extent - eye) / ray
    enter, leave = np.minimum(first, second), np.maximum(first, second)
    t = enter.max(axis=-1)
    hit = (t < leave.min(axis=-1)) & (t > 0.4) & (t < near)
    tone = np.array([0.72, 0.9, 1.1])[enter.argmax(axis=-1)]
    colour = rng.choice([0.3, 1.0]) * rng.uniform([0.15, 0.08, 0.05], [0.65, 0.45, 0.4])
    light[hit] = (colour * tone[..., None])[hit]
    near[hit] = t[hit]
