"""Search a window of 420 m around each photo, as the WRIVA-CVGL challenge 2026 does.

A prior of a few hundred metres is common: the name of a street, a mast, a last position. The
window's centre is displaced from the photo by a hash of its id, so guessing the middle gains
nothing. A query is one photo, or up to eight photos of one place (a square of 25 m). The figures
are the 90th percentile of the position error, as in the challenge, its median, and the error of the
heading, if EXIF data give the true heading.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from witw.cvig.grid import Grid
from witw.cvig.metrics import Metric
from witw.cvig.network.model import Blend
from witw.cvig.network.towers import PhotoCode
from witw.cvig.scoring import heading
from witw.cvig.scoring.calibration import Calibration, chances, sharpened
from witw.cvig.search import two_steps
from witw.cvig.search.index_file import Index

WINDOW_M = 420.0
OFF_M = 150.0  # maximum offset of the centre from the photo, east and north
TOGETHER = 8  # photos of one place, at most
QUANTILE = 0.9


@dataclass(frozen=True)
class Windowed:
    """Errors of position and heading of each query.

    Attributes:
        error_m: ``(Q,)``; a window's side where it has no cell.
        turn_deg: ``(Q,)`` signed error of the first photo's heading, NaN where not known.
        guess_m: ``(Q, n)`` quantiles of the error of guesses, evenly spaced.
        photos: ``(Q,)`` in the query.
    """

    error_m: NDArray[np.float64]
    turn_deg: NDArray[np.float64]
    guess_m: NDArray[np.float64]
    photos: NDArray[np.int64]

    @classmethod
    def join(cls, parts: Sequence[Windowed]) -> Windowed:
        """Concatenate the queries of several parts."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


GUESSES = 101


def centre(photo_id: str, place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the centre of a photo's window, drawn uniformly by the hash of its id."""
    digest = hashlib.sha1(f"window {photo_id}".encode(), usedforsecurity=False).digest()
    share = np.frombuffer(digest[:8], ">u4") / 2**32
    return place + OFF_M * (2 * share - 1)


def cells_of(grid: Grid, middle: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the positions of the cells whose centres lie in a window."""
    near = grid.near(middle, WINDOW_M / 2)
    inside = np.abs(grid.centres(near) - middle).max(axis=1, initial=0) <= WINDOW_M / 2
    return near[inside]


def groups(
    rows: NDArray[np.int64], places: NDArray[np.float64], square_m: float
) -> list[NDArray[np.int64]]:
    """Group each row with the next rows of its square, up to :data:`TOGETHER`.

    Args:
        rows: rows of the queried photos.
        places: ``(P, 2)`` of all photos [m].
        square_m: side of a square [m].
    """
    number = np.unique(np.floor(places / square_m), axis=0, return_inverse=True)[1].reshape(-1)
    order = np.argsort(number, kind="stable")
    first, last = (np.searchsorted(number[order], number[rows], s) for s in ("left", "right"))
    out = []
    for row, a, b in zip(rows, first, last, strict=True):
        others = order[a:b]
        out.append(np.concatenate([[row], others[others != row][: TOGETHER - 1]]))
    return out


def search(
    queries: Sequence[NDArray[np.int64]],
    ids: Sequence[str],
    photos: PhotoCode,
    places: NDArray[np.float64],
    known_deg: NDArray[np.float64],
    index: Index,
    blend: Blend,
    fitted: Calibration,
) -> Windowed:
    """Search each query's window.

    Args:
        queries: rows of each query's photos; its place is the first one's.
        ids: of all photos.
        photos: codes of all photos.
        places: ``(P, 2)`` geotags [m].
        known_deg: ``(P,)`` true headings from grid north, NaN where not known [degrees].
        index: the area's cells.
        blend: how they are scored.
        fitted: converts scores to a map.
    """
    count = len(queries)
    error, turn = np.full(count, WINDOW_M), np.full(count, np.nan)
    guesses = np.full((count, GUESSES), WINDOW_M)
    for n, rows in enumerate(queries):
        place = places[rows[0]]
        cells = cells_of(index.grid, centre(ids[rows[0]], place))
        if not len(cells):
            continue
        part = index.take(cells)
        found = two_steps.together(photos.some(rows), part, blend)
        probability = chances(found.values, part.grid, sharpened(fitted, len(rows)))[0]
        metres = part.grid.distances(place)
        # Ties count against: of equally likely cells the farthest is named.
        equal = probability >= probability.max() * (1 - 1e-9)
        best = int(np.where(equal, metres, -1).argmax())
        error[n] = metres[best]
        guesses[n] = np.quantile(metres, np.linspace(0, 1, GUESSES))
        looks = found.heading_deg[0, found.candidates[0] == best]
        if len(looks):
            turn[n] = heading.error_deg(looks.astype(float), known_deg[rows[:1]])[0]
    return Windowed(error, turn, guesses, np.array([len(rows) for rows in queries], np.int64))


def metrics(found: Windowed) -> dict[str, Metric]:
    """Return ``p90_error_m`` and ``median_error_m``."""
    return {
        "p90_error_m": Metric(found.error_m, is_median=True, quantile=QUANTILE),
        "median_error_m": Metric(found.error_m, is_median=True),
    }


def chance(found: Windowed) -> dict[str, float]:
    """Return the figures of a random cell of the window."""
    return {
        "p90_error_m": round(float(np.quantile(found.guess_m, QUANTILE)), 4),
        "median_error_m": round(float(np.median(found.guess_m)), 4),
    }
