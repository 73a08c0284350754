"""Boxes that a search divides: exact, and never cut where a photo can lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

E7 = 10_000_000


@dataclass(frozen=True)
class Box:
    """A longitude/latitude box in whole 1e-7 degrees, EPSG:4326.

    Geotags have six decimals; edges have seven and end in 5, so that no photo lies on an edge and
    it does not matter whether the service includes edges.
    """

    west: int
    south: int
    east: int
    north: int

    @classmethod
    def around(cls, bbox_deg: tuple[float, float, float, float]) -> Box:
        """Smallest such box with all of ``bbox_deg`` [degrees] well inside.

        1.5e-6 degrees are added, for a service that cuts off decimals and leaves out edges.
        """
        west, south = (math.floor(v * 1e6) * 10 - 15 for v in bbox_deg[:2])
        east, north = (math.ceil(v * 1e6) * 10 + 15 for v in bbox_deg[2:])
        return cls(
            max(west, -180 * E7), max(south, -90 * E7), min(east, 180 * E7), min(north, 90 * E7)
        )

    @classmethod
    def of(cls, text: str) -> Box:
        """The box whose :attr:`text` this is."""
        return cls(*(round(float(part) * E7) for part in text.split(",")))

    def within(self, other: Box) -> Box:
        """The part of this box that lies in another, which it must touch."""
        return Box(
            max(self.west, other.west),
            max(self.south, other.south),
            min(self.east, other.east),
            min(self.north, other.north),
        )

    def holds(self, lon: float, lat: float) -> bool:
        """Whether a geotag [degrees] lies inside."""
        return self.west <= lon * E7 <= self.east and self.south <= lat * E7 <= self.north

    @property
    def degrees(self) -> tuple[float, float, float, float]:
        """West, south, east, north [degrees]."""
        return (self.west / E7, self.south / E7, self.east / E7, self.north / E7)

    @property
    def text(self) -> str:
        """The box as the API takes it: no spaces, seven decimals."""
        return ",".join(f"{value:.7f}" for value in self.degrees)

    def quarters(self, cut: int = 8) -> list[Box]:
        """South-west, south-east, north-west, north-east; fewer if thin, none if a point.

        Args:
            cut: where, in sixteenths of the sides from the west and the south.
        """
        xs, ys = _cut(self.west, self.east, cut), _cut(self.south, self.north, cut)
        if len(xs) == len(ys) == 2:
            return []
        return [Box(w, s, e, n) for s, n in pairwise(ys) for w, e in pairwise(xs)]


def _cut(low: int, high: int, sixteenths: int) -> list[int]:
    middle = (low + (high - low) * sixteenths // 16) // 10 * 10 + 5
    return [low, middle, high] if low < middle < high else [low, high]
