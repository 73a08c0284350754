"""List every photo of a box through a search that shows 4,000 results of a query at most.

Pure: the service is a callable. Results come newest upload first, and a query can end at an upload
date. So one page of a box holds *all* of its photos down to the page's oldest upload, and the next
question, about the same box up to that date (inclusive), continues without a gap. What makes the
list complete is that order; totals, which are only nearly right, steer where boxes are split and
prove nothing. Where the order does not hold, boxes are split until they fit the 4,000.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

REACH = 4000  # results of one query that can be seen, by the page of flickr.photos.search
FULL = 0.8  # a page fuller than this may be followed by another, unless the total agrees with it
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

    @property
    def degrees(self) -> tuple[float, float, float, float]:
        """West, south, east, north [degrees]."""
        return (self.west / E7, self.south / E7, self.east / E7, self.north / E7)

    @property
    def text(self) -> str:
        """The box as the API takes it: no spaces, seven decimals."""
        return ",".join(f"{value:.7f}" for value in self.degrees)

    def quarters(self) -> list[Box]:
        """South-west, south-east, north-west, north-east; fewer if thin, none if a point."""
        xs, ys = _cut(self.west, self.east), _cut(self.south, self.north)
        if len(xs) == len(ys) == 2:
            return []
        return [Box(w, s, e, n) for s, n in pairwise(ys) for w, e in pairwise(xs)]


def _cut(low: int, high: int) -> list[int]:
    middle = (low + high) // 20 * 10 + 5
    return [low, middle, high] if low < middle < high else [low, high]


class Entry(NamedTuple):
    """A photo on a page: ``upload`` is 0 where unknown, ``wanted`` whether it is to be listed."""

    id: str
    upload: int
    wanted: bool


@dataclass(frozen=True)
class Page:
    """One answer, in the order of the service."""

    total: int
    pages: int
    per_page: int
    entries: list[Entry]

    @property
    def ids(self) -> list[str]:
        """Ids, in order."""
        return [entry.id for entry in self.entries]

    @property
    def uploads(self) -> list[int]:
        """Known upload dates, in order [s]."""
        return [entry.upload for entry in self.entries if entry.upload > 0]

    def is_last(self, number: int = 1) -> bool:
        """Whether nothing follows this page, the ``number``-th of its query."""
        count = len(self.entries)
        agrees = count < self.per_page and (number - 1) * self.per_page + count == self.total
        ends = self.pages <= number and (agrees or count <= FULL * self.per_page)
        return count == 0 or ends

    def is_in_order(self, cursor: int) -> bool:
        """Whether uploads are known, none after the cursor, newest first."""
        uploads = self.uploads
        if self.entries and not uploads:
            return False
        return all(new >= old for new, old in pairwise([cursor, *uploads]))


Ask = Callable[[Box, int, int], Page]  # box, latest upload [s], number of the page from 1


@dataclass
class Cell:
    """A node of the tree; the fields but ``box`` are columns of the table ``cells``."""

    cell: str
    box: Box
    total: int = 0
    listed: int = 0
    calls: int = 0
    is_leaf: bool = True
    unreachable: int = 0


class _Node(NamedTuple):
    name: str
    box: Box
    cursor: int
    is_ordered: bool = True


class _DisorderError(Exception):
    """A page is not newest first within its cursor, twice."""


@dataclass
class Walk:
    """A walk over the tree of a box.

    Attributes:
        ask: the service.
        snapshot: latest upload date that counts, for every query alike [s].
        box_total: a box that holds more is split into four.
        listed: id of every wanted photo found -> name of the cell that found it first.
        cells: the tree, by name.
    """

    ask: Ask
    snapshot: int
    box_total: int
    listed: dict[str, str] = field(default_factory=dict)
    cells: dict[str, Cell] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def run(self, root: Box, name: str = "r") -> None:
        """List everything in ``root``; ``name`` is its cell's."""
        stack = [_Node(name, root, self.snapshot)]
        while stack:
            node = stack.pop()
            cell = self.cells.setdefault(node.name, Cell(node.name, node.box))
            self._seen = set()
            visit = self._visit_ordered if node.is_ordered else self._visit_plain
            below = visit(node, cell)
            cell.is_leaf = len(below) == 0
            # The service may count photos that it shows to nobody, or more than it lets anyone see.
            cell.unreachable = max(0, cell.total - len(self._seen)) if cell.is_leaf else 0
            stack += reversed(below)

    def _visit_ordered(self, node: _Node, cell: Cell) -> list[_Node]:
        """Split the box, keeping its first page, or list it; returns the nodes still to visit."""
        try:
            page = self._ordered_page(cell, node.box, node.cursor)
            cell.total = page.total
            quarters = node.box.quarters() if page.total > self.box_total else []
            if quarters:
                # All newer ones are known now, so the quarters need not tell them again.
                oldest = min(page.uploads, default=node.cursor)
                return _below(node, quarters, oldest)
            self._sweep(cell, node.box, node.cursor, page)
        except _DisorderError:
            # What ancestors took to be all of the newer photos is in doubt too: from the start.
            return self._visit_plain(node._replace(cursor=self.snapshot), cell)
        return []

    def _sweep(self, cell: Cell, box: Box, cursor: int, page: Page) -> None:
        """Follow the upload dates down, page after page, to the first photo."""
        while cursor > 0 and not page.is_last():
            newest, oldest = page.uploads[0], page.uploads[-1]
            cursor = oldest if newest > oldest else self._second(cell, box, page)
            if cursor > 0:
                page = self._ordered_page(cell, box, cursor)

    def _second(self, cell: Cell, box: Box, page: Page) -> int:
        """List the photos of one second that fills a page; returns where the sweep continues.

        Offsets are used here only: a cursor cannot step inside a second. Where even they end, at
        4,000, the second is listed for each quarter of the box.
        """
        second = page.uploads[0]
        for number in range(2, REACH // page.per_page + 1):
            before, page = page, self._page(cell, box, second, number)
            if not page.entries or page.ids == before.ids:
                return second - 1
            if not page.is_in_order(second):
                raise _DisorderError
            if page.is_last(number):
                return 0
            if page.uploads[-1] < second:
                return page.uploads[-1]
        for quarter in box.quarters():
            page = self._ordered_page(cell, quarter, second)
            if page.uploads and page.uploads[-1] == second and not page.is_last():
                self._second(cell, quarter, page)
        return second - 1

    def _visit_plain(self, node: _Node, cell: Cell) -> list[_Node]:
        """List a box without trust in the order: all its pages, or split if they are too many."""
        node = node._replace(is_ordered=False)
        quarters = _below(node, node.box.quarters(), node.cursor)
        page = self._page(cell, node.box, node.cursor, 1)
        cell.total = page.total
        if page.total > REACH and quarters:
            return quarters
        last = REACH // page.per_page
        for number in range(2, last + 1):
            if page.is_last(number - 1):
                return []
            before, page = page, self._page(cell, node.box, node.cursor, number)
            if page.ids == before.ids:
                return []
        return [] if page.is_last(last) else quarters

    def _ordered_page(self, cell: Cell, box: Box, cursor: int) -> Page:
        """First page up to the cursor; a page out of order gets a second chance."""
        for _ in range(2):
            page = self._page(cell, box, cursor, 1)
            if page.is_in_order(cursor):
                return page
        raise _DisorderError

    def _page(self, cell: Cell, box: Box, cursor: int, number: int) -> Page:
        page = self.ask(box, cursor, number)
        cell.calls += 1
        for entry in page.entries:
            self._seen.add(entry.id)
            if entry.wanted and entry.id not in self.listed:
                self.listed[entry.id] = cell.cell
                cell.listed += 1
        return page


def _below(node: _Node, quarters: list[Box], cursor: int) -> list[_Node]:
    return [
        _Node(f"{node.name}{number}", box, cursor, node.is_ordered)
        for number, box in enumerate(quarters)
    ]
