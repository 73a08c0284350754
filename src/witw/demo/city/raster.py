"""Rasterize a synthetic city: reflectance for strips, height field for photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from witw.demo.city.materials import RGB, Material
from witw.demo.city.streets import Floats, hashed
from witw.demo.city.world import World

RES_M = 0.625
TREE_CELL_M = 7.5  # each cell contains at most one tree, completely
_TREE_PX = round(TREE_CELL_M / RES_M)
_ROWS = 16  # rows painted at once, so that their arrays fit into the processor's cache

# Probability of a tree by material.
_TREES = np.zeros(256, dtype=np.float32)
_TREES[Material.GRASS] = 0.42
_TREES[Material.MEADOW] = 0.16
_TREES[Material.PAVEMENT] = 0.30
_TREES[Material.GRAVEL] = 0.12
_TREES[Material.PATH] = 0.2
_TREES[Material.PAVING] = 0.06


@dataclass(frozen=True)
class CityRaster:
    """A square of a city at :data:`RES_M`; row 0 is the north, column 0 the west.

    Attributes:
        left, top: north-west corner, in metres from the city's centre.
        material, tint, height, eave: as in :class:`~witw.demo.city.world.Surface`, (n, n), without
            trees.
        ground_rgb: light from below the trees, square-root encoded, uint8 (n, n, 3).
        above: material seen from above, including trees, uint8 (n, n).
        above_light: factor on its reflectance: tint and shadow, (n, n).
        trees: (trees, 5): x, y, radius, height [m], tint.
    """

    left: float
    top: float
    material: NDArray[np.uint8]
    height: Floats
    eave: Floats
    ground_rgb: NDArray[np.uint8]
    above: NDArray[np.uint8]
    above_light: Floats
    trees: Floats

    @property
    def half_m(self) -> float:
        """Half the side of the square [m]."""
        return -self.left


def rasterise(world: World, half_m: float) -> CityRaster:
    """Paint the square from ``-half_m`` to ``half_m`` in both axes (rounded up to tree cells)."""
    half = float(np.ceil(half_m / TREE_CELL_M) * TREE_CELL_M)
    n = round(2 * half / RES_M)
    x = (-half + (np.arange(n) + 0.5) * RES_M).astype(np.float32)
    material, above = np.empty((n, n), np.uint8), np.empty((n, n), np.uint8)
    tint, height, eave = (np.empty((n, n), np.float32) for _ in range(3))
    for row in range(0, n, _ROWS):
        rows = slice(row, row + _ROWS)
        part = world.ground(*np.meshgrid(x, -x[rows]))
        material[rows], tint[rows] = part.material, part.tint
        height[rows], eave[rows] = part.height, part.eave
    tint *= _mottle(world.seed, x)
    trees = _plant(world, x[0] - RES_M / 2, n // _TREE_PX)
    above[:] = material
    tall = height.copy()
    light = tint.copy()
    _draw_trees(trees, half, above, tall, light, world)
    shade = _shadow(world, tall)
    albedo = RGB[material] * (tint * shade)[..., None]
    ground = (255 * np.sqrt(np.clip(albedo, 0, 1))).astype(np.uint8)
    return CityRaster(-half, half, material, height, eave, ground, above, light * shade, trees)


def _mottle(seed: int, x: Floats) -> Floats:
    """Return a broad, weak variation of brightness, which keeps lawns and roads from being flat."""
    phase = np.random.default_rng([seed, 12]).uniform(0, 6.28, 4).astype(np.float32)
    a = np.sin(x / 9 + phase[0]) + np.sin(x / 23 + phase[1])
    b = np.sin(x / 11 + phase[2]) + np.sin(x / 31 + phase[3])
    return np.asarray(1 + 0.035 * a[None, :] * b[:, None], dtype=np.float32)


def _plant(world: World, low: float, cells: int) -> Floats:
    """Return the trees of the square, (trees, 5); the material at its place decides on each."""
    first = round(low / TREE_CELL_M)
    i, j = np.meshgrid(np.arange(cells) + first, np.arange(cells) + first)
    draws = [hashed(i, j, 8 * world.seed + k) for k in range(5)]
    radius = 1.5 + 2.1 * draws[0]
    free = TREE_CELL_M / 2 - radius
    x = (i + 0.5) * TREE_CELL_M + free * (2 * draws[1] - 1)
    y = (j + 0.5) * TREE_CELL_M + free * (2 * draws[2] - 1)
    place = world.ground(x.astype(np.float32), y.astype(np.float32))
    stands = (draws[3] < _TREES[place.material]) & (place.height == 0)
    tall = 2.2 * radius + 1.5 + 2.5 * draws[4]
    tint = 0.75 + 0.6 * draws[4]
    return np.stack([v[stands] for v in (x, y, radius, tall, tint)], axis=1).astype(np.float32)


def _draw_trees(
    trees: Floats,
    half: float,
    above: NDArray[np.uint8],
    tall: Floats,
    light: Floats,
    world: World,
) -> None:
    """Paint crowns into the view from above, all trees at once, as each has its own cell."""
    column = ((trees[:, 0] + half) // TREE_CELL_M).astype(np.intp)
    row = ((half - trees[:, 1]) // TREE_CELL_M).astype(np.intp)
    inside = (np.arange(_TREE_PX) + 0.5) * RES_M
    px = (column * TREE_CELL_M - half)[:, None, None] + inside[None, None, :]
    py = (half - row * TREE_CELL_M)[:, None, None] - inside[None, :, None]
    x, y, radius, top, tint = (trees[:, k, None, None] for k in range(5))
    dx, dy = (px - x) / radius, (py - y) / radius
    lumps = 1 + 0.12 * np.sin(5 * np.arctan2(dy, dx) + 40 * tint)
    r2 = (dx**2 + dy**2) * lumps**2
    dome = top * (0.55 + 0.45 * np.sqrt(np.clip(1 - r2, 0, 1)))
    sun = dx * np.sin(world.sun_azimuth) + dy * np.cos(world.sun_azimuth)
    glow = tint * (1 + 0.45 * sun)
    cells = len(above) // _TREE_PX
    index = row * cells + column
    for raster, value in ((above, np.float32(Material.TREE)), (light, glow), (tall, dome)):
        # A crown shows only where it is above the surface; `tall` itself is changed last.
        view = raster.reshape(cells, _TREE_PX, cells, _TREE_PX).transpose(0, 2, 1, 3)
        heights = tall.reshape(cells, _TREE_PX, cells, _TREE_PX).transpose(0, 2, 1, 3)
        at = (index // cells, index % cells)
        crown = (r2 < 1) & (dome > heights[at])
        view[at] = np.where(crown, value, view[at]).astype(raster.dtype)


def _shadow(world: World, tall: Floats) -> Floats:
    """Return the factor of light, lower where an object stands between a point and the sun."""
    coarse = tall[::2, ::2]
    shaded = np.zeros(coarse.shape, dtype=bool)
    east, north = np.sin(world.sun_azimuth), np.cos(world.sun_azimuth)
    reach = float(coarse.max()) / world.sun_slope
    for step in np.unique(np.rint(np.geomspace(1, max(reach, 2), 26))):
        dx, dy = round(step * east / (2 * RES_M)), -round(step * north / (2 * RES_M))
        far = _shifted(coarse, dy, dx) - np.float32(step * world.sun_slope)
        shaded |= far > coarse + np.float32(0.3)
    shade = np.where(shaded, np.float32(0.48), np.float32(1))
    return np.repeat(np.repeat(shade, 2, axis=0), 2, axis=1)


def _shifted(array: Floats, rows: int, columns: int) -> Floats:
    """Return ``out[i, j] = array[i + rows, j + columns]``, with zeros outside."""
    out = np.zeros_like(array)
    n, m = array.shape
    target = (slice(max(0, -rows), min(n, n - rows)), slice(max(0, -columns), min(m, m - columns)))
    source = (slice(max(0, rows), min(n, n + rows)), slice(max(0, columns), min(m, m + columns)))
    out[target] = array[source]
    return out
