"""Boxes that a search subdivides: exact, with edges on which no photo can lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

E7 = 10_000_000


@dataclass(frozen=True)
class Box:
    """A longitude/latitude box in whole 1e-7 degrees, EPSG:4326.

    Geotags have six decimals. Edges have seven and end in 5, so no photo lies on an edge, and it
    does not matter whether the service includes edges.
    """

    west: int
    south: int
    east: int
    north: int

    @classmethod
    def around(cls, bbox_deg: tuple[float, float, float, float]) -> Box:
        """Return the smallest such box that contains ``bbox_deg`` [degrees] with a margin.

        The margin is 1.5e-6 degrees, for services that truncate decimals or exclude edges.
        """
        west, south = (math.floor(v * 1e6) * 10 - 15 for v in bbox_deg[:2])
        east, north = (math.ceil(v * 1e6) * 10 + 15 for v in bbox_deg[2:])
        return cls(
            max(west, -180 * E7), max(south, -90 * E7), min(east, 180 * E7), min(north, 90 * E7)
        )

    @classmethod
    def of(cls, text: str) -> Box:
        """Parse a box from its :attr:`text`."""
        return cls(*(round(float(part) * E7) for part in text.split(",")))

    def within(self, other: Box) -> Box:
        """Return the intersection with another box, which must overlap this one."""
        return Box(
            max(self.west, other.west),
            max(self.south, other.south),
            min(self.east, other.east),
            min(self.north, other.north),
        )

    def holds(self, lon: float, lat: float) -> bool:
        """Return whether a geotag [degrees] lies inside."""
        return self.west <= lon * E7 <= self.east and self.south <= lat * E7 <= self.north

    @property
    def degrees(self) -> tuple[float, float, float, float]:
        """West, south, east, north [degrees]."""
        return (self.west / E7, self.south / E7, self.east / E7, self.north / E7)

    @property
    def text(self) -> str:
        """The box in the API's format: no spaces, seven decimals."""
        return ",".join(f"{value:.7f}" for value in self.degrees)

    def quarters(self, cut: int = 8) -> list[Box]:
        """Return the SW, SE, NW and NE quarters; fewer for a thin box, none for a point.

        Args:
            cut: Position of the cut, in sixteenths of the sides from the west and the south.
        """
        xs, ys = _cut(self.west, self.east, cut), _cut(self.south, self.north, cut)
        if len(xs) == len(ys) == 2:
            return []
        return [Box(w, s, e, n) for s, n in pairwise(ys) for w, e in pairwise(xs)]


def _cut(low: int, high: int, sixteenths: int) -> list[int]:
    middle = (low + (high - low) * sixteenths // 16) // 10 * 10 + 5
    return [low, middle, high] if low < middle < high else [low, high]
