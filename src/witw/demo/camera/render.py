"""Render photos of a synthetic city, with trees in front.

Photos are rendered at half the size and enlarged: a 500 px JPEG needs no finer detail.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from witw.demo.camera.raycast import Camera, Hits, View, cast, cells
from witw.demo.city.materials import FIRST_CAR, FIRST_ROOF, RGB, WALL_RGB, Material
from witw.demo.city.raster import RES_M, CityRaster
from witw.demo.city.streets import Floats, hashed
from witw.demo.city.world import STOREY_M, World

_HAZE_M = 700.0
_AIR = np.array([0.55, 0.62, 0.72], dtype=np.float32)
# Light on leaves, drawn once and cropped at random.
_draws = np.random.default_rng(0)
_LEAVES = 0.2 * _draws.standard_normal((64, 64), dtype=np.float32)
_LEAVES += np.kron(0.35 * _draws.standard_normal((16, 16)), np.ones((4, 4)))


def render(world: World, raster: CityRaster, camera: Camera, width: int, height: int) -> Floats:
    """Return the light reaching each pixel.

    Args:
        world: The city.
        raster: The same city as a height field.
        camera: Position and orientation.
        width: Columns [px].
        height: Rows [px].

    Returns:
        (height, width, 3): linear red, green, blue; sunlit white paper is about 1.
    """
    view = View(camera, width, height)
    hits = cast(raster, view)
    light = _ground_light(raster, hits)
    _paint_walls(world, raster, view, hits, light)
    sky = _sky(world, view)
    haze = (1 - np.exp(-hits.t / _HAZE_M))[..., None].astype(np.float32)
    light += haze * (_AIR - light)
    light = np.where(hits.sky[..., None], sky, light)
    _draw_trees(raster, view, hits.t, light)
    return light


def _ground_light(raster: CityRaster, hits: Hits) -> Floats:
    """Return ground and roofs, interpolated between the raster's cells; zero elsewhere."""
    n = len(raster.height)
    at = np.nonzero(~hits.wall & ~hits.sky)
    column = ((hits.x[at] - np.float32(raster.left + RES_M / 2)) / np.float32(RES_M)).clip(0, n - 2)
    row = ((np.float32(raster.top - RES_M / 2) - hits.y[at]) / np.float32(RES_M)).clip(0, n - 2)
    j, i = column.astype(np.int32), row.astype(np.int32)
    fj, fi = (column - j)[:, None], (row - i)[:, None]
    flat = raster.ground_rgb.reshape(-1, 3)
    cell = i * n + j
    west, east = flat[cell].astype(np.float32), flat[cell + 1]
    upper = west + (east - west) * fj
    west, east = flat[cell + n].astype(np.float32), flat[cell + n + 1]
    encoded = (upper + (west + (east - west) * fj - upper) * fi) * np.float32(1 / 255)
    found = encoded * encoded
    wet = raster.material.ravel()[cell] == Material.WATER
    found[wet] = 0.45 * found[wet] + np.array([0.16, 0.2, 0.25], np.float32)
    light = np.zeros((*hits.t.shape, 3), dtype=np.float32)
    light[at] = found
    return light


def _paint_walls(world: World, raster: CityRaster, view: View, hits: Hits, light: Floats) -> None:
    """Colour the walls: the roof's colour but paler, windows, and light by orientation."""
    at = np.nonzero(hits.wall)
    if not len(at[0]):
        return
    # Just inside the wall, so that the cell belongs to the building and not to the pavement.
    t = hits.t[at] + np.float32(0.15)
    x = view.camera.x + view.east[at[1]] * t
    y = view.camera.y + view.north[at[1]] * t
    cell, _ = cells(raster, x, y)
    material, eave = raster.material.ravel()[cell], raster.eave.ravel()[cell]
    normal, along = _facing(world, raster, view, at[1], x, y)
    east, north = (float(f(world.sun_azimuth)) for f in (np.sin, np.cos))
    sun = east * normal[0] + north * normal[1]
    lit = 0.55 + 0.5 * np.clip(sun, 0, 1)
    colour = WALL_RGB[material] * lit[:, None].astype(np.float32)
    house = (material >= FIRST_ROOF) & (material < FIRST_CAR)
    glass, share = _windows(along, hits.z[at], eave, world.seed)
    # Windows finer than a pixel are replaced by their average.
    fine = np.clip(1.6 - t / view.focal_px / 0.55, 0, 1)
    cover = np.where(house, fine * glass + (1 - fine) * share, 0)[:, None]
    bay = hashed(
        np.floor(along / 2.9).astype(np.int64),
        np.floor(hits.z[at] / STOREY_M).astype(np.int64),
        world.seed,
    )
    pane = np.array([0.07, 0.09, 0.12]) + 0.16 * (bay[:, None] ** 2) * np.array([0.8, 1.0, 1.2])
    colour = colour * (1 - cover) + cover * pane
    car = (material >= FIRST_CAR) & (hits.z[at] > 0.85)
    colour = np.where(car[:, None], np.float32(0.08), colour)
    foot = np.clip(0.75 + hits.z[at] / 4, 0.75, 1)[:, None]
    light[at] = colour * foot


def _facing(
    world: World, raster: CityRaster, view: View, columns: NDArray[np.intp], x: Floats, y: Floats
) -> tuple[tuple[Floats, Floats], Floats]:
    """Return the direction each wall faces (east, north), and metres along the wall.

    A wall faces the street direction in which its building ends sooner.
    """
    heights, eave = raster.height.ravel(), raster.eave.ravel()
    cos, sin = np.float32(np.cos(world.angle)), np.float32(np.sin(world.angle))
    to_eye = -(view.east[columns] * cos + view.north[columns] * sin)
    to_eye_v = -(view.north[columns] * cos - view.east[columns] * sin)
    su, sv = np.sign(to_eye), np.sign(to_eye_v)
    free_u, free_v = np.zeros(len(x)), np.zeros(len(x))
    top = eave[cells(raster, x, y)[0]] - np.float32(1)
    for step in (0.6, 1.2, 2.0, 3.0):
        step32 = np.float32(step)
        ahead = heights[cells(raster, x + su * step32 * cos, y + su * step32 * sin)[0]]
        free_u += ahead < top
        ahead = heights[cells(raster, x - sv * step32 * sin, y + sv * step32 * cos)[0]]
        free_v += ahead < top
    looks_u = (free_u > free_v) | ((free_u == free_v) & (np.abs(to_eye) > np.abs(to_eye_v)))
    u, v = world.to_street(x, y)
    east = np.where(looks_u, su * cos, -sv * sin)
    north = np.where(looks_u, su * sin, sv * cos)
    return (east, north), np.where(looks_u, v, u)


def _windows(along: Floats, z: Floats, eave: Floats, seed: int) -> tuple[Floats, float]:
    """Return whether a point of a wall is glass, and the share of glass."""
    bay, storey = (along / 2.9) % 1, (z / STOREY_M) % 1
    glass = (bay > 0.27) & (bay < 0.73) & (storey > 0.3) & (storey < 0.8) & (z < eave - 0.5)
    return glass.astype(np.float32), 0.2


def _sky(world: World, view: View) -> Floats:
    """Return a blue sky, paler towards the horizon, with clouds that vary between photos."""
    camera = view.camera
    rng = np.random.default_rng([world.seed, int(abs(camera.x) * 1e3), int(abs(camera.y) * 1e3)])
    up = np.clip(view.slope, 0, 1.2)[..., None]
    blue = np.array([0.24, 0.42, 0.78], np.float32) * rng.uniform(0.8, 1.1)
    pale = np.array([0.68, 0.76, 0.86], np.float32)
    sky = pale + (blue - pale) * np.sqrt(np.minimum(up * 1.3, 1)).astype(np.float32)
    cover = rng.uniform(-0.6, 0.9)
    clouds = np.zeros((view.height, view.width), dtype=np.float32)
    for k, weight in ((3, 0.6), (7, 0.3), (17, 0.15)):
        noise = Image.fromarray(rng.standard_normal((k, 2 * k)).astype(np.float32))
        clouds += weight * np.asarray(
            noise.resize((view.width, view.height), Image.Resampling.BICUBIC)
        )
    white = np.clip(0.5 + 1.6 * (clouds + cover - 0.2), 0, 1)[..., None]
    return np.asarray(sky + 0.85 * white * (np.float32(0.88) - sky), dtype=np.float32)


def _draw_trees(raster: CityRaster, view: View, depth: Floats, light: Floats) -> None:
    """Draw the visible trees, far ones first, each as a lumpy crown over a trunk."""
    camera = view.camera
    dx, dy = raster.trees[:, 0] - camera.x, raster.trees[:, 1] - camera.y
    a = np.radians(camera.heading_deg)
    ahead = dx * np.sin(a) + dy * np.cos(a)
    aside = dx * np.cos(a) - dy * np.sin(a)
    radius = raster.trees[:, 2]
    limit = np.tan(np.radians(camera.fov_deg) / 2)
    seen = (ahead > radius + 1.5) & (ahead < 140) & (np.abs(aside) - 2 * radius < limit * ahead)
    seen = np.nonzero(seen)[0]
    for k in seen[np.argsort(-ahead[seen], kind="stable")]:
        _draw_tree(raster.trees[k], ahead[k], aside[k], view, depth, light)


def _draw_tree(
    tree: Floats, ahead: float, aside: float, view: View, depth: Floats, light: Floats
) -> None:
    scale = view.focal_px / ahead
    middle = view.width / 2 + aside * scale
    radius, top, tint = float(tree[2]), float(tree[3]), float(tree[4])
    base = top - 1.9 * radius  # underside of the crown
    row = view.horizon_row - (np.array([top, base, 0.0]) - view.camera.eye_m) * scale
    left, right = int(middle - radius * scale), int(middle + radius * scale) + 2
    columns = slice(max(left, 0), min(right, view.width))
    rows = slice(max(int(row[0]), 0), min(int(row[2]) + 1, view.height))
    if columns.start >= columns.stop or rows.start >= rows.stop:
        return
    distance = float(np.hypot(ahead, aside)) - 0.6
    # Most trees stand behind a house: checking a few pixels avoids drawing them.
    if depth[rows, columns][::3, ::3].max() < distance:
        return
    cx = (np.arange(columns.start, columns.stop) + 0.5 - middle) / (radius * scale)
    rr = np.arange(rows.start, rows.stop) + 0.5
    cy = (rr - (row[0] + row[1]) / 2) / max((row[1] - row[0]) / 2, 0.5)
    phase = 50 * tint
    lumps = 1 + 0.1 * np.sin(7 * cx[None, :] + phase) * np.cos(6 * cy[:, None] - phase)
    r2 = (cx[None, :] ** 2 + cy[:, None] ** 2) * lumps
    crown = r2 < 1
    trunk = (np.abs(cx) < 0.09)[None, :] & (rr > row[1] - 1)[:, None] & ~crown
    shape = (crown | trunk) & (depth[rows, columns] > distance)
    leaves = _LEAVES[
        (cy * 24 + phase).astype(np.intp)[:, None] % 64, (cx * 24 + phase).astype(np.intp) % 64
    ]
    glow = 0.75 - 0.42 * cy[:, None] + leaves
    leaf = RGB[Material.TREE] * 1.5 * tint
    colour = np.where(crown[..., None], leaf * np.clip(glow, 0.25, 1.6)[..., None], 0.05)
    fade = 1 - np.exp(-ahead / _HAZE_M)
    colour = colour + fade * (_AIR - colour)
    part = light[rows, columns]
    part[shape] = colour[shape]
