"""Street layout of a synthetic city: lines, blocks and lots."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SIDEWALK_M = 2.8


class Lines:
    """Finds the line below a value with a fine table, ten times as fast as a search.

    Within an eighth of a metre of a line, which is the middle of a street, the result may be its
    neighbour.
    """

    STEP_M = 0.125

    def __init__(self, lines: Floats) -> None:
        self.lines = lines
        ticks = np.arange(lines[0], lines[-1], self.STEP_M)
        self.table = np.clip(np.searchsorted(lines, ticks) - 1, 0, len(lines) - 2).astype(np.int32)
        self.spacing = np.diff(lines)

    def below(self, value: Floats) -> tuple[Ints, Floats, Floats]:
        """Return the line below each value, metres above that line, and metres to the next one."""
        tick = ((value - self.lines[0]) * np.float32(1 / self.STEP_M)).astype(np.int32)
        index = self.table.take(tick, mode="clip")
        return index, value - self.lines[index], self.spacing[index]


class Axis(NamedTuple):
    """Coordinates of points along one direction of the street grid."""

    at: Floats  # coordinate [m]
    above: Floats  # metres from the line below
    spacing: Floats  # metres between the lines below and above
    line: Ints  # number of the line below
    kerb: Floats  # metres from the carriageways of both lines, negative on them

    @property
    def middle(self) -> Floats:
        """Distance from the middle of the nearer street [m]."""
        return np.asarray(np.minimum(self.above, self.spacing - self.above))


class Span(NamedTuple):
    """Coordinates of points within their block, along one direction of the street grid."""

    lot: Ints  # number of the lot
    edge: Floats  # metres from the nearer side of the lot
    low: Floats  # metres from the start of the block
    high: Floats  # metres to the end of the block

    @property
    def across(self) -> Floats:
        """-1 at the start of the block, 1 at its end."""
        return np.asarray((self.low - self.high) / (self.low + self.high), dtype=np.float32)


def span(axis: Axis, road: Floats, count: Floats) -> Span:
    """Divide the stretch between two streets into ``count`` lots."""
    low = axis.above - road[axis.line] - np.float32(SIDEWALK_M)
    streets = road[axis.line] + road[axis.line + 1] + np.float32(2 * SIDEWALK_M)
    width = np.maximum(axis.spacing - streets, 1)
    part = np.clip(low / width, 0, np.float32(0.9999)) * count
    lot = part.astype(np.int32)
    rest = part - lot
    edge = np.asarray(np.minimum(rest, 1 - rest) * width / count, dtype=np.float32)
    return Span(lot, edge, low, width - low)


def hashed(a: NDArray[np.int64], b: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Return uniform numbers in [0, 1) that depend only on two integers and a seed.

    The mixing steps are those of splitmix64 (Steele, Lea and Flood 2014).
    """
    z = a.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z ^= b.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
    z += np.uint64((seed * 0xD6E8FEB86659FD93) % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((z >> np.uint64(11)).astype(np.float64) / 2.0**53)
