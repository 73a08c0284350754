"""A synthetic city as a function of position.

Streets form a rotated, bent grid of uneven blocks. Each block has a use and is divided into lots,
which carry buildings. The numbers of blocks and lots are drawn once into small tables. The surface
at a point therefore takes a few table look-ups, without a loop over objects.

Positions are metres east (x) and north (y) of the city's centre in its UTM zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from witw.demo.city.materials import CARS, FIRST_CAR, FIRST_ROOF, ROOFS, Material
from witw.demo.city.streets import SIDEWALK_M, Axis, Floats, Ints, Lines, Span, hashed, span

STOREY_M = 3.2
BLOCKS = 48  # lines of the street grid in each direction; more than any city needs
LOTS = 8  # largest number of lots per block in each direction


class Use(IntEnum):
    """Use of a block."""

    PARK = 0
    PLAZA = 1
    FIELD = 2
    HOUSES = 3
    TOWN = 4
    TOWERS = 5
    HALLS = 6


@dataclass(frozen=True)
class Surface:
    """Surfaces at some points; all arrays have the points' shape.

    Attributes:
        material: index into :data:`witw.demo.city.materials.RGB`, uint8.
        tint: factor on the reflectance.
        height: top of the object at the point [m]; the ground is 0, water -1.2.
        eave: height up to which its side is wall [m]; -9 without an object.
    """

    material: NDArray[np.uint8]
    tint: Floats
    height: Floats
    eave: Floats


class World:
    """A synthetic city.

    Args:
        seed: Seed of the city.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 11])
        self.seed = seed
        self.angle = float(rng.uniform(-0.7, 0.7))
        self.bend_m = rng.uniform(4, 18, 2)
        self.phase = rng.uniform(0, 6.28, 4)
        self.size_m = rng.uniform(62, 96)
        self.sun_azimuth = float(rng.uniform(2.2, 3.6) if rng.random() < 0.7 else 0.4)
        self.sun_slope = float(rng.uniform(0.9, 1.6))  # tangent of the sun's elevation
        self.lines_u, self.road_u = self._lines(rng)
        self.lines_v, self.road_v = self._lines(rng)
        self.find_u, self.find_v = Lines(self.lines_u), Lines(self.lines_v)
        self.river = self._river(rng)
        self.avenue = (float(rng.uniform(0.6, 1.0)), float(rng.uniform(-150, 150)))
        self._draw_blocks(rng)
        self._draw_lots(rng)

    def _lines(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return street centre lines [m] and half widths of their carriageways [m]."""
        gaps = self.size_m * rng.uniform(0.65, 1.5, BLOCKS)
        lines = np.cumsum(gaps) - gaps.sum() / 2
        road = rng.choice([3.4, 4.2, 7.0], BLOCKS, p=[0.45, 0.35, 0.2])
        return lines.astype(np.float32), road.astype(np.float32)

    def _river(self, rng: np.random.Generator) -> tuple[float, float, float, float]:
        """Return offset, swing, wave number and half width of the river; below 0 there is none."""
        width = float(rng.uniform(14, 28)) if rng.random() < 0.5 else -1e3
        return float(rng.uniform(-260, 260)), float(rng.uniform(20, 60)), 1 / 130, width

    def _draw_blocks(self, rng: np.random.Generator) -> None:
        shape = (BLOCKS, BLOCKS)
        dense = _smooth(rng, shape) + 0.5 * rng.standard_normal(shape)
        works = _smooth(rng, shape)
        use = np.where(dense > 0.1, Use.TOWN, Use.HOUSES)
        use = np.where((works > 0.9) & (dense < 0.8), Use.HALLS, use)
        use = np.where(dense > 1.15, Use.TOWERS, use)
        open_use = rng.choice([Use.PARK, Use.PLAZA, Use.FIELD], shape, p=[0.55, 0.25, 0.2])
        use = np.where(rng.random(shape) < 0.24, open_use, use)
        self.use = use.ravel().astype(np.uint8)
        lot_m = np.array([30, 30, 30, 17, 19, 42, 48])[use]
        width = np.diff(self.lines_u, append=self.lines_u[-1] + self.size_m)[:, None]
        depth = np.diff(self.lines_v, append=self.lines_v[-1] + self.size_m)[None, :]
        self.lots_u = np.clip(np.rint((width - 14) / lot_m), 1, LOTS).ravel().astype(np.float32)
        self.lots_v = np.clip(np.rint((depth - 14) / lot_m), 1, LOTS).ravel().astype(np.float32)
        self.court_m = rng.uniform(10, 15, shape).ravel().astype(np.float32)
        self.variant = rng.random(shape).ravel().astype(np.float32)
        # Neighbouring blocks share a palette of three roofs.
        district = np.floor(2.2 * _smooth(rng, shape) + 40).astype(int)
        self.palettes = np.stack([rng.permutation(ROOFS)[:3] for _ in range(80)])
        self.district = district.ravel() % 80

    def _draw_lots(self, rng: np.random.Generator) -> None:
        """Draw tables of every lot, flat over block, lot along u, lot along v."""
        shape = (BLOCKS * BLOCKS, LOTS * LOTS)
        use = np.repeat(self.use[:, None], shape[1], axis=1)
        built = np.array([0, 0, 0, 0.88, 0.97, 0.9, 0.92])[use]
        self.built = (rng.random(shape) < built).ravel()
        low, high = np.array([[0, 0, 0, 1, 3, 6, 2], [1, 1, 1, 3, 7, 17, 4]])[:, use]
        storeys = np.floor(rng.uniform(low, high))
        self.eave = (storeys * STOREY_M + 0.6).ravel().astype(np.float32)
        inset = np.array([9, 9, 9, 3.0, 0.0, 7.0, 5.0])[use] * rng.uniform(0.7, 1.3, shape)
        self.inset_u = inset.ravel().astype(np.float32)
        self.inset_v = (inset * rng.uniform(0.8, 1.2, shape)).ravel().astype(np.float32)
        pitched = (use == Use.HOUSES) | ((use == Use.TOWN) & (rng.random(shape) < 0.6))
        self.pitch = np.where(pitched, 0.55, 0.0).ravel().astype(np.float32)
        choice = rng.choice(3, shape, p=[0.65, 0.23, 0.12])
        roof = self.palettes[self.district[:, None], choice]
        self.roof = (FIRST_ROOF + roof).ravel().astype(np.uint8)
        self.tint = rng.uniform(0.82, 1.18, shape).ravel().astype(np.float32)
        grounds = np.array([Material.GRASS, Material.GRASS, Material.MEADOW, Material.GRAVEL])
        garden = grounds[rng.integers(0, 4, shape)]
        yard = np.array([Material.CONCRETE, Material.GRASS, Material.ASPHALT, Material.PAVING])
        open_ground = yard[rng.integers(0, 4, (shape[0], 1))]
        soft = (use == Use.HOUSES) | (use == Use.TOWN)
        self.garden = np.where(soft, garden, open_ground).ravel().astype(np.uint8)

    def to_street(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Rotate and bend positions [m] into coordinates along the street grid [m]."""
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        u, v = cos * x + sin * y, cos * y - sin * x
        a, b = self.bend_m.astype(np.float32)
        p, q = self.phase[:2].astype(np.float32)
        return u + a * np.sin(v / np.float32(110) + p), v + b * np.sin(u / np.float32(140) + q)

    def ground(self, x: Floats, y: Floats) -> Surface:
        """Return the surfaces at positions [m], without trees."""
        u, v = self.to_street(x.astype(np.float32), y.astype(np.float32))
        along = self._axis(u, self.find_u, self.road_u)
        across = self._axis(v, self.find_v, self.road_v)
        tilt, offset = self.avenue
        slant = np.float32(np.hypot(tilt, 1))
        apart = np.abs(u * np.float32(tilt) - v - np.float32(offset)) / slant
        diagonal = np.asarray(apart - np.float32(6.5), dtype=np.float32)
        shift, swing, wave, half = (np.float32(value) for value in self.river)
        bank = np.abs(v - shift - swing * np.sin(u * wave)) - half
        road = np.minimum(np.minimum(along.kerb, across.kerb), diagonal)
        edge = np.minimum(road - np.float32(SIDEWALK_M), bank - 6)
        out = self._blocks(edge, along, across)
        self._streets(out, along, across, diagonal, edge)
        # Streets along u cross the river only if they are wide; the avenue always does.
        wide = (along.kerb < SIDEWALK_M) & (self.road_u[along.line] > 4)
        bridge = wide | (diagonal < SIDEWALK_M)
        wet = (bank < 0) & ~bridge
        out.material[wet] = Material.WATER
        out.height[wet] = -1.2
        out.eave[wet] = -9
        out.tint[wet] = 1
        return out

    def _axis(self, at: Floats, finder: Lines, road: Floats) -> Axis:
        line, above, spacing = finder.below(at)
        kerb = np.minimum(above - road[line], spacing - above - road[line + 1])
        return Axis(at, above, spacing, line, kerb)

    def _blocks(self, edge: Floats, along: Axis, across: Axis) -> Surface:
        """Return lots, buildings and open ground inside the blocks."""
        block = along.line * BLOCKS + across.line
        us = span(along, self.road_u, self.lots_u[block])
        vs = span(across, self.road_v, self.lots_v[block])
        lot = (block * LOTS + us.lot) * LOTS + vs.lot
        inner = np.minimum(us.edge - self.inset_u[lot], vs.edge - self.inset_v[lot])
        use = self.use[block]
        court = np.where(use == Use.TOWN, self.court_m[block] - edge, np.float32(99))
        inner = np.minimum(np.minimum(inner, court), edge - np.float32(0.3))
        inner = np.where(use == Use.TOWN, np.minimum(court, edge), inner)
        house = self.built[lot] & (inner > 0) & (edge > 0.3)
        eave = np.where(house, self.eave[lot], np.float32(-9))
        top = eave + self.pitch[lot] * np.minimum(inner, np.float32(5.5))
        material = self._open_ground(block, lot, use, us, vs)
        tint = np.ones_like(edge)
        np.copyto(material, self.roof[lot], where=house)
        np.copyto(tint, self.tint[lot], where=house)
        statue = (use == Use.PLAZA) & (np.hypot(us.low - us.high, vs.low - vs.high) < 3.2)
        height = np.where(house, top, np.where(statue, np.float32(6.5), np.float32(0)))
        eave = np.where(statue & ~house, np.float32(6.5), eave)
        return Surface(material, tint, height, eave)

    def _open_ground(
        self, block: Ints, lot: Ints, use: NDArray[np.uint8], us: Span, vs: Span
    ) -> NDArray[np.uint8]:
        """Return the material of open ground: gardens, yards, parks, plazas, playing fields."""
        material = self.garden[lot]
        variant = self.variant[block]
        # -1 to 1 across the block in both directions; r is 1 on the inscribed ellipse.
        cu, cv = us.across, vs.across
        r = np.hypot(cu, cv)
        park = use == Use.PARK
        material[park] = Material.GRASS
        material[park & (variant > 0.8)] = Material.MEADOW
        path = (np.abs(r - np.float32(0.78)) < 0.045) | (np.abs(cu - cv) < 0.05)
        material[park & path] = Material.PATH
        pond = r + np.float32(0.08) * np.sin(cu * 9) < np.where(variant < 0.5, 0.5, 0.0)
        material[park & pond] = Material.WATER
        plaza = use == Use.PLAZA
        pattern = (np.floor(us.low / 4) + np.floor(vs.low / 4)) % 2 > 0.5
        stones = np.where(variant < 0.5, Material.PAVING, Material.BRICK)
        material[plaza] = stones[plaza]
        material[plaza & pattern & (variant > 0.3)] = Material.CONCRETE
        material[plaza & (r < 0.25) & (variant < 0.6)] = Material.WATER
        field = use == Use.FIELD
        margin = np.minimum(np.minimum(us.low, us.high), np.minimum(vs.low, vs.high))
        turf = np.where(variant < 0.6, Material.PITCH, Material.CLAY)
        material[field] = np.where(margin > 5, turf, Material.GRASS)[field]
        lines = (np.abs(margin - np.float32(5.5)) < 0.4) | (np.abs(cu) < 0.01)
        material[field & lines & (margin > 5)] = Material.MARKING
        return material

    def _streets(
        self, out: Surface, along: Axis, across: Axis, diagonal: Floats, edge: Floats
    ) -> None:
        """Paint pavements, carriageways, markings and parked cars over the blocks."""
        u, v, cu, cv = along.at, across.at, along.kerb, across.kerb
        street = edge < 0
        out.height[street] = 0
        out.eave[street] = -9
        out.tint[street] = 1
        out.material[street] = Material.PAVEMENT
        lane_u, lane_v, lane_d = cu < 0, cv < 0, diagonal < 0
        out.material[lane_u | lane_v | lane_d] = Material.ASPHALT
        free_u, free_v = lane_u & (cv > 5) & (diagonal > 5), lane_v & (cu > 5) & (diagonal > 5)
        dashes = (free_u & (along.middle < 0.25) & (v % 6 < 3)) | (
            free_v & (across.middle < 0.25) & (u % 6 < 3)
        )
        dashes |= lane_d & (cu > 5) & (cv > 5) & (np.abs(diagonal + np.float32(6.5)) < 0.3)
        stripes_u = lane_u & (cv > 1) & (cv < 4) & (u % 1.6 < 0.8)
        stripes_v = lane_v & (cu > 1) & (cu < 4) & (v % 1.6 < 0.8)
        out.material[(dashes | stripes_u | stripes_v) & street] = Material.MARKING
        self._cars(out, free_u & (cu > -2.2) & (cu < -0.4), v, along.line)
        self._cars(out, free_v & (cv > -2.2) & (cv < -0.4), u, across.line + BLOCKS)

    def _cars(self, out: Surface, lane: NDArray[np.bool_], run: Floats, line: Ints) -> None:
        """Park cars in about every third of the six-metre spaces along the kerb."""
        where = np.nonzero(lane)
        place, number = run[where] / 6, line[where]
        cell = np.floor(place)
        draw = hashed(cell.astype(np.int64), number.astype(np.int64), self.seed)
        rest = place - cell
        parked = (draw < 0.3) & (rest > 0.12) & (rest < 0.85)
        where = tuple(index[parked] for index in where)
        colour = (draw[parked] * 1e4).astype(np.int64) % CARS
        out.material[where] = (FIRST_CAR + colour).astype(np.uint8)
        cabin = np.abs(rest[parked] - np.float32(0.5)) < 0.22
        out.height[where] = out.eave[where] = np.where(cabin, 1.45, 0.85)


def _smooth(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return noise of unit variance that varies over about four blocks."""
    noise = rng.standard_normal(shape)
    for axis in (0, 1):
        noise = sum(np.roll(noise, k, axis) * np.exp(-(k**2) / 5) for k in range(-4, 5))
    return np.asarray((noise - noise.mean()) / noise.std())
