"""Cut boxes along the shape of an area, so that few photos outside it are paged through.

A query covers a box, so it also returns photos of the box outside the area. Cutting the box along
the area excludes those, but each additional box ends in a half-empty page. This module estimates
where a cut pays, from the number of photos in the box and the positions of the newest ones. Among
all guillotine cuts on a grid (lines from edge to edge) it takes the cheapest. Each piece is then
counted by its own query and cut again where that pays.
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

CELLS = 32  # possible cuts along each side of a box
# Calls per box in addition to its full pages: its last page is half full on average.
ENDING = 0.5
LEAST = 3 * PER_PAGE  # a box with fewer photos is not worth a cut
LEAST_GAIN = 1.0  # calls saved
# Weight of the prior: this many newest photos count as much as an even spread.
PRIOR = 20
BLUR = 1.5  # cells


@dataclass(frozen=True)
class Cover:
    """The shape of an area, for a search.

    Attributes:
        ground: Extent of the area.
    """

    ground: Ground

    @property
    def roots(self) -> list[Box]:
        """Boxes with which a search starts: two if the area crosses the 180th meridian."""
        if self.ground.geometry is None:
            return [Box.around(one) for one in boxes(self.ground.bbox_deg)]
        found = []
        for one in boxes(self.ground.bbox_deg):
            part = shapely.intersection(self.ground.geometry, rectangle(*one))
            if not part.is_empty:
                found.append(Box.around(part.bounds))
        return found

    def trimmed(self, box: Box) -> Box | None:
        """Return the part of a box around its overlap with the area; None if they are disjoint."""
        if self.ground.geometry is None:
            return box
        part = self._part(box)
        return None if part.is_empty else Box.around(part.bounds).within(box)

    def is_inside(self, box: Box) -> bool:
        """Return whether a box lies inside the area, apart from the margin of `Box.around`."""
        if self.ground.geometry is None:
            return True
        west, south, east, north = box.degrees
        inner = rectangle(west + 2e-6, south + 2e-6, east - 2e-6, north - 2e-6)
        return bool(self.ground.polygons.contains(inner))

    def pieces(self, box: Box, total: int, points: Sequence[tuple[float, float]] = ()) -> list[Box]:
        """Cut a box into pieces; return an empty list if no cut pays.

        Args:
            box: The box to cut.
            total: Number of photos in it. Its newest page is already known, so the pieces are
                queried for older photos only.
            points: Longitude and latitude of the newest photos [degrees].
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
    """Return the share of a box's photos in each cell, (rows, columns).

    The shares blend the newest photos with an even spread.
    """
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
    """Cut a grid into the cheapest set of rectangles that covers all needed cells.

    A rectangle costs its pages plus :data:`ENDING`; one without needed cells costs nothing.

    Args:
        needed: (rows, columns).
        pages: Pages of photos in each cell.

    Returns:
        First and end row, first and end column of each rectangle, and the saving over the whole
        grid [calls].
    """
    rows, columns = needed.shape
    sums = np.pad(needed.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    full = np.pad(pages.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    cost: dict[tuple[int, int], NDArray[np.float64]] = {}
    best: dict[tuple[int, int], NDArray[np.int64]] = {}
    for high, wide in product(range(1, rows + 1), range(1, columns + 1)):
        # Left whole, because every box needs at least one query.
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
    """Return the sums of all rectangles of ``high`` x ``wide`` cells, from cumulative sums."""
    return np.asarray(
        sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    )


def _leaves(
    best: dict[tuple[int, int], NDArray[np.int64]], sums: NDArray[np.int64], rows: int, columns: int
) -> list[tuple[int, int, int, int]]:
    """Return the non-empty rectangles of the cheapest cut."""
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
