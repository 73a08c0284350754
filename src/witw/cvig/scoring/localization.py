"""Score localization on a grid of cells that was laid out independently of the photos.

A photo's *picks* are its best cells, no two nearer than 50 m, because a pick next to another gains
nothing. Ties, and photos with a NaN score, count against the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from witw.cvig.grid import Grid
from witw.cvig.metrics import TIE, Metric, share

PICKS = (1, 5, 10, 100)
RADII_M = (25, 50, 100, 250, 500)
APART_M = 50.0  # between picks
FOUND_M = 50.0  # distance from the geotag within which a cell shows the place
GUESSES = 200  # random maps for the chance of several picks
BIN_M = 0.1  # bin of the histogram of distances of guesses
SEED = 20_220
_AT_ONCE = 2**22  # cells of random maps held at a time


@dataclass(frozen=True)
class Placed:
    """Distances of each photo's picks from its geotag, and the distances of guessing."""

    nearest_m: NDArray[np.float64]  # (P, len(PICKS)): nearest of the first k picks
    area_pct: NDArray[np.float64]  # (P,) share of the area to search until the place is shown
    showing: NDArray[np.float64]  # (P,) cells that show the place
    cells: NDArray[np.float64]  # (P,) cells of the area
    guess_hits: NDArray[np.float64]  # (P, len(PICKS), len(RADII_M)): chance of a pick within r
    guess_m: NDArray[np.float64]  # (n,): photos expected to be guessed n * BIN_M off, or a bin more

    @classmethod
    def join(cls, parts: Sequence[Placed]) -> Placed:
        """Concatenate the photos of several parts."""
        names = [f.name for f in fields(cls) if f.name != "guess_m"]
        joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
        guess_m = np.zeros(1)
        for part in parts:
            guess_m = _added(guess_m, part.guess_m)
        return cls(**joined, guess_m=guess_m)


def place(
    scores: NDArray[np.floating],
    places: NDArray[np.float64],
    grid: Grid,
    guesses: NDArray[np.int64],
) -> Placed:
    """Place photos by their scores.

    Args:
        scores: ``(P, C)`` of every photo at every cell, larger is better.
        places: ``(P, 2)`` geotags in the grid's zone [m].
        grid: the cells.
        guesses: picks of random maps, from :func:`guess`.
    """
    count, centres = len(places), grid.centres(guesses)
    nearest = np.empty((count, len(PICKS)))
    share, showing = np.empty((2, count))
    hits = np.empty((count, len(PICKS), len(RADII_M)))
    guess_m = np.zeros(1)
    for n, (row, place) in enumerate(zip(scores, places, strict=True)):
        steps = _steps(row)
        nearest[n] = _running(_distances_to(grid, place, _picks(steps, place, grid)))
        near = grid.near(place, FOUND_M)
        near = near[grid.distances(place, near) <= FOUND_M]
        # Its own distance breaks a cell's ties, so "at least as high" means the whole steps.
        share[n] = (steps >= steps[near].max()).mean() if len(near) else 1.0
        showing[n] = len(near)
        everywhere = grid.distances(place)
        far = np.bincount((everywhere / BIN_M).astype(np.int64)) / len(everywhere)
        guess_m = _added(guess_m, far)
        guessed = _running(_metres(centres, place, guesses))
        hits[n] = (guessed[:, :, None] <= np.array(RADII_M)).mean(axis=0)
        # One guess needs no drawing: 1 - (1 - pi r^2 / A), the circle cut at the imagery's edge.
        hits[n, 0] = [(everywhere <= radius).mean() for radius in RADII_M]
    cells = np.full(count, float(len(grid.cells)))
    return Placed(nearest, 100 * share, showing, cells, hits, guess_m)


def _added(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of two histograms of any lengths."""
    out = np.zeros(max(len(first), len(second)))
    out[: len(first)] += first
    out[: len(second)] += second
    return out


def _steps(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Round scores ``(C,)`` to units of a tie; all are equal if one is NaN."""
    steps = np.rint(scores.astype(np.float64) / TIE)
    return steps if np.isfinite(steps).all() else np.zeros_like(steps)


def _picks(steps: NDArray[np.float64], place: NDArray[np.float64], grid: Grid) -> NDArray[np.int64]:
    """Choose the best cells of one photo, none near a better one; ties go to the farthest cell.

    A constant model thus chooses the cells farthest from the truth first.
    """
    count = max(PICKS)
    most = min(len(steps), count * _covered(grid))
    least = steps[np.argpartition(-steps, most - 1)[:most]].min()
    # Include all ties of the last one: the distance decides among them.
    pool = np.flatnonzero(steps >= least)
    order = np.lexsort([-grid.distances(place, pool), -steps[pool]])
    return np.asarray(_greedy(pool[order][None, :most], grid, count)[0])


def distances(places: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Return the metres from each geotag to each cell's centre, ``(P, C)``."""
    return np.stack([grid.distances(place) for place in places])


def non_max_suppression(key: NDArray[np.float64], grid: Grid, count: int) -> NDArray[np.int64]:
    """Choose the best cells of each photo greedily, none nearer than 50 m to a better one.

    Args:
        key: ``(P, C)``, larger is better.
        grid: the cells.
        count: number of cells to choose.

    Returns:
        ``(P, count)`` positions in ``grid.cells``, -1 where no cell is left.
    """
    # A pick rules out no more cells than it covers: these are enough for `count` picks.
    most = min(key.shape[1], count * _covered(grid))
    top = np.argpartition(-key, most - 1, axis=1)[:, :most]
    top = np.take_along_axis(top, np.argsort(-np.take_along_axis(key, top, 1), axis=1), 1)
    return _greedy(top, grid, count)


def likeliest(probability: NDArray[np.float64], grid: Grid, count: int) -> NDArray[np.int64]:
    """Return the likeliest cells of one map ``(N,)``, best first, none within 50 m of a better one.

    There are at most ``count``, and fewer on a small grid.
    """
    best: NDArray[np.int64] = non_max_suppression(probability[None], grid, count)[0]
    return best[best >= 0]


def _covered(grid: Grid) -> int:
    """Return the number of cells nearer than 50 m to one, itself included."""
    reach = APART_M / grid.step_m
    around = np.arange(-int(reach), int(reach) + 1)
    return int((around[:, None] ** 2 + around**2 < reach**2).sum())


def _greedy(top: NDArray[np.int64], grid: Grid, count: int) -> NDArray[np.int64]:
    """Take the first ``count`` of cells ``(P, n)`` that are not near one taken; -1: none left."""
    reach = APART_M / grid.step_m
    row, column = (v.astype(np.int32) for v in np.divmod(grid.cells[top], grid.columns))
    free = np.ones(top.shape, bool)
    out = np.full((len(top), count), -1, np.int64)
    photo = np.arange(len(top))
    for n in range(count):
        first = free.argmax(axis=1)
        left = free[photo, first]
        if not left.any():
            break
        out[left, n] = top[photo, first][left]
        gap = (row - row[photo, first][:, None]) ** 2 + (
            column - column[photo, first][:, None]
        ) ** 2
        free &= gap >= reach**2
    return out


def random_picks(grid: Grid, count: int = GUESSES, seed: int = SEED) -> NDArray[np.int64]:
    """Return picks ``(count, max(PICKS))`` of random maps: chance, suppression included."""
    rng = np.random.default_rng([seed, len(grid.cells)])
    some = max(1, _AT_ONCE // len(grid.cells))
    parts = [
        non_max_suppression(rng.random((min(some, count - at), len(grid.cells))), grid, max(PICKS))
        for at in range(0, count, some)
    ]
    return np.concatenate(parts)


def _distances_to(
    grid: Grid, place: NDArray[np.float64], picks: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the metres from a place to picks; infinite where there is no pick."""
    metres = grid.distances(place, np.maximum(picks, 0))
    return np.where(picks < 0, np.inf, metres)


def _metres(
    centres: NDArray[np.float64], place: NDArray[np.float64], picks: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the same for picks whose centres are known."""
    return np.where(picks < 0, np.inf, np.hypot(*np.moveaxis(centres - place, -1, 0)))


def _running(metres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least of the first k distances, for k in ``PICKS``, ``(..., len(PICKS))``."""
    return np.asarray(np.minimum.accumulate(metres, axis=-1)[..., np.array(PICKS) - 1])


def metrics(placed: Placed) -> dict[str, Metric]:
    """Compute the figures of placed photos.

    Returns:
        ``recall_at_{k}_within_{r}m`` [%]; ``median_error_m`` of the best cell;
        ``median_area_pct``, the share of the area scoring at least as high as the best cell within
        50 m of the geotag; and ``area_auc`` [%], the area under the curve of recall against it
        (100 is perfect, chance a little above 50).
    """
    out = {
        f"recall_at_{k}_within_{r}m": share(placed.nearest_m[:, n] <= r)
        for n, k in enumerate(PICKS)
        for r in RADII_M
    }
    out["median_error_m"] = Metric(placed.nearest_m[:, 0], is_median=True)
    out["median_area_pct"] = Metric(placed.area_pct, is_median=True)
    out["area_auc"] = Metric(100 - placed.area_pct)
    return out


def chance(placed: Placed) -> dict[str, float]:
    """Return the expected figures of guessing in the same areas, named as by :func:`metrics`."""
    hits = placed.guess_hits.mean(axis=0)
    out = {
        f"recall_at_{k}_within_{r}m": 100 * float(hits[n, m])
        for n, k in enumerate(PICKS)
        for m, r in enumerate(RADII_M)
    }
    below = np.concatenate([[0.0], np.cumsum(placed.guess_m)])
    out["median_error_m"] = BIN_M * float(np.interp(below[-1] / 2, below, np.arange(len(below))))
    shares = np.linspace(0, 100, 20_001)
    out["median_area_pct"] = float(shares[(curve(placed, shares)[1] >= 50).argmax()])
    # The first of n evenly drawn positions of C is on average (C + 1) / (n + 1).
    first = (placed.cells + 1) / (placed.showing + 1) / placed.cells
    out["area_auc"] = 100 - 100 * float(np.where(placed.showing > 0, first, 1.0).mean())
    return {name: round(value, 4) for name, value in out.items()}


def curve(
    placed: Placed, area_pct: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of photos found by area searched, best cells first, and by guessing [%]."""
    found = (placed.area_pct[:, None] <= area_pct + 1e-9).mean(axis=0)
    # Most photos of an area share a number of cells that show them.
    counts, photos = np.unique(placed.showing, return_counts=True)
    missed = photos @ (1 - area_pct / 100) ** counts[:, None] / photos.sum()
    return 100 * found, 100 * np.where(area_pct >= 100, 1.0, 1 - missed)
