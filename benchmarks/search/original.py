"""Other ways to list an area: the rules of the original *Where in the World*, and a plain quadtree.

This module was written from a description of the original's search, not from its code. That search
halves the area into boxes of at most 2 km2, queries the number of photos of each, and reads 100
photos per page, all pages except the last. As shipped it does not cut at all. With cutting turned
on, a box that counts more than 4,000 is halved again.

Two properties are left out, to its advantage: its queries have no limiting date (a box is then
searched for the last 12 hours), and they request ``geo_context=0`` (neither indoors nor outdoors)
and licences 1 to 10.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

BoxDeg = tuple[float, float, float, float]  # west, south, east, north, EPSG:4326
Search = Callable[[Mapping[str, str]], Mapping[str, Any]]

REACH = 4000  # results that a query shows
KM_A_DEGREE = 111.32
PIECE_KM2 = 2.0
NARROWEST_DEG = 2e-6  # geotags have six decimals, so a narrower box holds one point


@dataclass
class Lister:
    """Queries a service and collects the photos it shows.

    Args:
        search: flickr.photos.search.
        per_page: Photos per page.
        last_too: Whether the last page of a box is read.

    Attributes:
        ids: Ids of all photos shown.
        calls: Number of calls.
    """

    search: Search
    per_page: int
    last_too: bool = False
    ids: set[str] = field(default_factory=set)
    calls: int = 0

    def ask(self, box: BoxDeg, page: int = 1) -> tuple[int, list[str]]:
        """Return the total of a box and the ids on a page."""
        self.calls += 1
        answer = self.search(
            {
                "bbox": ",".join(f"{edge:.9f}" for edge in box),
                "license": ",".join(map(str, range(1, 17))),
                "min_upload_date": "1",
                "sort": "date-posted-desc",
                "has_geo": "1",
                "media": "photos",
                "per_page": str(self.per_page),
                "page": str(page),
            }
        )
        return int(answer["total"] or 0), [str(photo["id"]) for photo in answer["photo"]]

    def pages(self, box: BoxDeg) -> None:
        """Query the number of pages, then each page."""
        total, _ = self.ask(box)
        last = math.ceil(total / self.per_page)
        for page in range(1, last + self.last_too):
            self.ids.update(self.ask(box, page)[1])

    def halves(self, box: BoxDeg) -> None:
        """Count a box; halve it while it counts more than a query shows."""
        total, _ = self.ask(box)
        if total > REACH and max(box[2] - box[0], box[3] - box[1]) > NARROWEST_DEG:
            for half in halved(box):
                self.halves(half)
        elif total:
            self.pages(box)

    def quarters(self, box: BoxDeg) -> None:
        """Quarter a box while it counts more than a query shows, keeping its first page."""
        total, ids = self.ask(box)
        if total > REACH and max(box[2] - box[0], box[3] - box[1]) > NARROWEST_DEG:
            for half in halved(box):
                for quarter in halved(half):
                    self.quarters(quarter)
            return
        self.ids.update(ids)
        for page in range(2, math.ceil(min(total, REACH) / self.per_page) + 1):
            self.ids.update(self.ask(box, page)[1])


def halved(box: BoxDeg) -> tuple[BoxDeg, BoxDeg]:
    """Halve a box across its longer side, measured in degrees."""
    west, south, east, north = box
    if east - west > north - south:
        middle = (west + east) / 2
        return (west, south, middle, north), (middle, south, east, north)
    middle = (south + north) / 2
    return (west, south, east, middle), (west, middle, east, north)


def area_km2(box: BoxDeg) -> float:
    """Return the area of a small box."""
    west, south, east, north = box
    wide = (east - west) * math.cos(math.radians((south + north) / 2))
    return wide * (north - south) * KM_A_DEGREE**2


def pieces(box: BoxDeg) -> list[BoxDeg]:
    """Divide an area into boxes of at most 2 km2."""
    if area_km2(box) <= PIECE_KM2:
        return [box]
    return [piece for half in halved(box) for piece in pieces(half)]


def as_shipped(search: Search, box: BoxDeg) -> Lister:
    """Run the original with its own configuration: the area is a single box."""
    lister = Lister(search, per_page=100)
    lister.pages(box)
    return lister


def with_cutting(search: Search, box: BoxDeg, last_too: bool = False) -> Lister:
    """Run the original with cutting turned on; ``last_too`` adds its lost last pages."""
    lister = Lister(search, per_page=100, last_too=last_too)
    for piece in pieces(box):
        lister.halves(piece)
    return lister


def quadtree(search: Search, box: BoxDeg) -> Lister:
    """Run a quadtree of boxes that a query can show, 250 per page, without repeated queries."""
    lister = Lister(search, per_page=250)
    lister.quarters(box)
    return lister
