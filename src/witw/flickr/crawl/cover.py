"""Boxes along the shape of an area: what to ask so that few photos outside are paged through.

A question is about a box, and shows the photos of the box that lie outside the area as well.
Cutting a box along the area leaves those out, but each further box ends in a page that is half
empty. Where that pays is reckoned from the number of photos in the box and from where its newest
lie: of all ways to cut it by lines from edge to edge, on a grid, the cheapest is taken. Each piece
is then counted by its own question, and cut on where that pays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import box as rectangle

from witw.flickr.crawl.boxes import Box
from witw.flickr.crawl.pages import PER_PAGE
from witw.ground.shapes import Ground, boxes

CELLS = 32  # along each side of a box, where it may be cut
# Calls that a box costs beside its full pages: its last page is half full on average.
ENDING = 0.5
LEAST = 3 * PER_PAGE  # fewer photos are not worth a cut
LEAST_GAIN = 1.0  # call
# How far the newest photos are believed: so many of them weigh as much as an even spread.
PRIOR = 20
BLUR = 1.5  # cells


@dataclass(frozen=True)
class Cover:
    """The shape of an area, for a search.

    Attributes:
        ground: where the area lies.
    """

    ground: Ground

    @property
    def roots(self) -> list[Box]:
        """The boxes that a search begins with: two if the area lies across the 180th meridian."""
        if self.ground.geometry is None:
            return [Box.around(one) for one in boxes(self.ground.bbox_deg)]
        found = []
        for one in boxes(self.ground.bbox_deg):
            part = shapely.intersection(self.ground.geometry, rectangle(*one))
            if not part.is_empty:
                found.append(Box.around(part.bounds))
        return found

    def trimmed(self, box: Box) -> Box | None:
        """The part of a box around what it holds of the area; None: nothing."""
        if self.ground.geometry is None:
            return box
        part = self._part(box)
        return None if part.is_empty else Box.around(part.bounds).within(box)

    def is_inside(self, box: Box) -> bool:
        """Whether a box lies in the area as a whole, but for what `Box.around` adds."""
        if self.ground.geometry is None:
            return True
        west, south, east, north = box.degrees
        inner = rectangle(west + 2e-6, south + 2e-6, east - 2e-6, north - 2e-6)
        return bool(self.ground.polygons.contains(inner))

    def pieces(self, box: Box, total: int, points: Sequence[tuple[float, float]] = ()) -> list[Box]:
        """How to cut a box; nothing where it does not pay.

        Args:
            box: what to cut.
            total: photos in it. The newest page of them is known, so the pieces are asked for the
                older ones alone.
            points: longitude and latitude of the newest [degrees].
        """
        if self.ground.geometry is None or total < LEAST:
            return []
        part = self._part(box)
        west, south, east, north = box.degrees
        size = (east - west) * (north - south)
        if not size or part.area > 0.98 * size:
            return []
        xs, ys = np.linspace(west, east, CELLS + 1), np.linspace(south, north, CELLS + 1)
        shapely.prepare(part)
        needed = shapely.intersects(part, shapely.box(xs[:-1], ys[:-1, None], xs[1:], ys[1:, None]))
        older = (total - PER_PAGE) / PER_PAGE
        cuts, gain = cheapest(np.asarray(needed), older * _spread(points, xs, ys))
        if gain < LEAST_GAIN:
            return []
        found = []
        for row, end_row, column, end_column in cuts:
            degrees = xs[column], ys[row], xs[end_column], ys[end_row]
            piece = shapely.intersection(part, rectangle(*degrees))
            if not piece.is_empty:
                found.append(Box.around(piece.bounds).within(box))
        return found if len(found) > 1 or found[0] != box else []

    def _part(self, box: Box) -> shapely.Geometry:
        return shapely.intersection(self.ground.polygons, rectangle(*box.degrees))


def _spread(
    points: Sequence[tuple[float, float]], xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of a box's photos in each cell, (rows, columns), by its newest and an even spread."""
    even = np.full((CELLS, CELLS), 1 / CELLS**2)
    known = np.array([p for p in points if np.isfinite(p).all()]).reshape(-1, 2)
    found = np.histogram2d(known[:, 1], known[:, 0], (ys, xs))[0]
    count = found.sum()
    if not count:
        return even
    steps = np.subtract.outer(np.arange(CELLS), np.arange(CELLS))
    blur = np.exp(-((steps / BLUR) ** 2) / 2)
    found = (blur / blur.sum(axis=0)) @ found @ (blur / blur.sum(axis=0)).T
    return np.asarray((found + PRIOR * even) / (count + PRIOR))


def cheapest(
    needed: NDArray[np.bool_], pages: NDArray[np.float64]
) -> tuple[list[tuple[int, int, int, int]], float]:
    """Cut a grid into rectangles that cover all needed cells, at the least cost.

    A rectangle costs its pages and :data:`ENDING`; one that holds nothing needed costs nothing.

    Args:
        needed: (rows, columns).
        pages: of photos in each cell.

    Returns:
        First and end row, first and end column of each rectangle, and what they cost less than the
        whole grid [calls].
    """
    rows, columns = needed.shape
    sums = np.pad(needed.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    full = np.pad(pages.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    cost: dict[tuple[int, int], NDArray[np.float64]] = {}
    best: dict[tuple[int, int], NDArray[np.int64]] = {}
    for high, wide in product(range(1, rows + 1), range(1, columns + 1)):
        # Whole: a box must be asked once at least.
        asked = np.maximum(1.0, ENDING + _inside(full, high, wide))
        least = np.where(_inside(sums, high, wide) > 0, asked, 0.0)
        choice = np.zeros(least.shape, np.int64)
        for at in range(1, high):
            split = cost[at, wide][: least.shape[0]] + cost[high - at, wide][at:]
            choice = np.where(split < least, at, choice)
            least = np.minimum(split, least)
        for at in range(1, wide):
            split = cost[high, at][:, : least.shape[1]] + cost[high, wide - at][:, at:]
            choice = np.where(split < least, -at, choice)
            least = np.minimum(split, least)
        cost[high, wide], best[high, wide] = least, choice
    whole = max(1.0, ENDING + float(pages.sum()))
    return _leaves(best, sums, rows, columns), whole - float(cost[rows, columns][0, 0])


def _inside[T: (np.int64, np.float64)](sums: NDArray[T], high: int, wide: int) -> NDArray[T]:
    """Sums of all rectangles of so many rows and columns, from cumulated ones."""
    return np.asarray(
        sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    )


def _leaves(
    best: dict[tuple[int, int], NDArray[np.int64]], sums: NDArray[np.int64], rows: int, columns: int
) -> list[tuple[int, int, int, int]]:
    """The rectangles of the cheapest cut, empty ones left out."""
    todo, found = [(0, rows, 0, columns)], []
    while todo:
        top, end, left, right = todo.pop()
        at = int(best[end - top, right - left][top, left])
        if at > 0:
            todo += [(top + at, end, left, right), (top, top + at, left, right)]
        elif at < 0:
            todo += [(top, end, left - at, right), (top, end, left, left - at)]
        elif sums[end, right] - sums[top, right] - sums[end, left] + sums[top, left]:
            found.append((top, end, left, right))
    return found
