"""Score localization on a grid of cells that was laid out independently of the photos.

A photo's *picks* are its best cells, no two nearer than 50 m: a second guess beside the first would
be none. Ties, and photos with a score that is no number, count against the model.
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
FOUND_M = 50.0  # a cell this near to the geotag shows the place
GUESSES = 200  # random maps that the chance of several picks is drawn from
BIN_M = 0.1  # of how far a guess is
SEED = 20_220
_AT_ONCE = 2**22  # cells of random maps held at a time


@dataclass(frozen=True)
class Placed:
    """Of each photo: how far its picks were from its geotag; and what guessing would have given."""

    nearest_m: NDArray[np.float64]  # (P, len(PICKS)): nearest of the first k picks
    area_pct: NDArray[np.float64]  # (P,) share of the area to search until the place is shown
    showing: NDArray[np.float64]  # (P,) cells that show the place
    cells: NDArray[np.float64]  # (P,) cells of the area
    guess_hits: NDArray[np.float64]  # (P, len(PICKS), len(RADII_M)): chance of a pick within r
    guess_m: NDArray[np.float64]  # (n,): photos expected to be guessed n * BIN_M off, or a bin more

    @classmethod
    def join(cls, parts: Sequence[Placed]) -> Placed:
        """The photos of several parts."""
        names = [f.name for f in fields(cls) if f.name != "guess_m"]
        joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
        guess_m = np.zeros(max(len(p.guess_m) for p in parts))
        for part in parts:
            guess_m[: len(part.guess_m)] += part.guess_m
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
    distance_m = distances(places, grid)
    key = order_key(scores, distance_m)
    picks = non_max_suppression(key, grid, max(PICKS))
    nearest = _running(distance_m, picks)
    shows = distance_m <= FOUND_M
    # Its own distance breaks a cell's ties, so "at least as high" means the whole steps.
    steps = np.floor(key)
    best = np.where(shows, steps, -np.inf).max(axis=1)
    area = np.where(shows.any(axis=1), (steps >= best[:, None]).mean(axis=1), 1.0)
    cells = np.full(len(distance_m), float(distance_m.shape[1]))
    showing = shows.sum(axis=1).astype(np.float64)
    return Placed(nearest, 100 * area, showing, cells, *_guessed(distance_m, guesses))


def distances(places: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Metres from each geotag to each cell's centre, ``(P, C)``."""
    centres = grid.centres()
    return np.hypot(places[:, :1] - centres[:, 0], places[:, 1:] - centres[:, 1])


def order_key(scores: NDArray[np.floating], distance_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers to sort cells by, larger first: of equal scores the farther cell.

    A constant model so names the cells farthest from the truth first, and a photo with a score that
    is no number is treated as one whose scores are all equal.
    """
    steps = np.rint(scores.astype(np.float64) / TIE)
    steps[~np.isfinite(steps).all(axis=1)] = 0
    return np.asarray(steps + 0.5 * distance_m / (distance_m.max(initial=0) + 1))


def non_max_suppression(key: NDArray[np.float64], grid: Grid, count: int) -> NDArray[np.int64]:
    """Best cells of each photo, greedily, none nearer than 50 m to a better one.

    Args:
        key: ``(P, C)``, larger is better.
        grid: the cells.
        count: how many to name.

    Returns:
        ``(P, count)`` positions in ``grid.cells``, -1 where no cell is left.
    """
    reach = APART_M / grid.step_m
    around = np.arange(-int(reach), int(reach) + 1)
    covered = int((around[:, None] ** 2 + around**2 < reach**2).sum())
    # A pick rules out no more cells than it covers: these are enough for `count` picks.
    most = min(key.shape[1], count * covered)
    top = np.argpartition(-key, most - 1, axis=1)[:, :most]
    top = np.take_along_axis(top, np.argsort(-np.take_along_axis(key, top, 1), axis=1), 1)
    row, column = (v.astype(np.int32) for v in np.divmod(grid.cells[top], grid.columns))
    free = np.ones(top.shape, bool)
    out = np.full((len(key), count), -1, np.int64)
    photo = np.arange(len(key))
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
    """Picks of random maps, ``(count, max(PICKS))``: chance, suppression included."""
    rng = np.random.default_rng([seed, len(grid.cells)])
    some = max(1, _AT_ONCE // len(grid.cells))
    parts = [
        non_max_suppression(rng.random((min(some, count - at), len(grid.cells))), grid, max(PICKS))
        for at in range(0, count, some)
    ]
    return np.concatenate(parts)


def _running(distance_m: NDArray[np.float64], picks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Nearest of the first k picks, k of ``PICKS``: ``(P, len(PICKS))`` [m]."""
    metres = np.where(
        picks < 0, np.inf, np.take_along_axis(distance_m, np.maximum(picks, 0), axis=1)
    )
    return np.asarray(np.minimum.accumulate(metres, axis=1)[:, np.array(PICKS) - 1])


def _guessed(
    distance_m: NDArray[np.float64], guesses: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How often guesses hit, ``(P, len(PICKS), len(RADII_M))``, and photos by how far off one is.

    A guess is any cell, each as likely: how far off it is needs no drawing.
    """
    hits = np.zeros((len(distance_m), len(PICKS), len(RADII_M)))
    far = np.bincount((distance_m / BIN_M).astype(np.int64).ravel()) / distance_m.shape[1]
    for photo, metres in enumerate(distance_m):
        nearest = _running(np.broadcast_to(metres, (len(guesses), len(metres))), guesses)
        hits[photo] = (nearest[:, :, None] <= np.array(RADII_M)).mean(axis=0)
        # One guess needs no drawing: 1 - (1 - pi r^2 / A), the circle cut at the imagery's edge.
        hits[photo, 0] = (metres[:, None] <= np.array(RADII_M)).mean(axis=0)
    return hits, far


def metrics(placed: Placed) -> dict[str, Metric]:
    """Figures of placed photos.

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
    """What guessing gives in the same areas, in the terms of :func:`metrics`."""
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
    """Photos found when a share of the area is searched, best cells first; and by guessing [%]."""
    found = (placed.area_pct[:, None] <= area_pct + 1e-9).mean(axis=0)
    # Most photos of an area share a number of cells that show them.
    counts, photos = np.unique(placed.showing, return_counts=True)
    missed = photos @ (1 - area_pct / 100) ** counts[:, None] / photos.sum()
    return 100 * found, 100 * np.where(area_pct >= 100, 1.0, 1 - missed)
