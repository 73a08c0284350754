"""How often equally sharp maps are right, counted on unseen cities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witw.cvig.grid import Grid
from witw.cvig.scoring import localization
from witw.cvig.scoring.calibration import LEVELS, Calibration

PLACES = 5  # places per answer
RIGHT_M = 100.0  # a place this near to the geotag is right
LEAST = 25  # photos of a class
CLASSES = 4


@dataclass(frozen=True)
class Outcome:
    """Correctness of the maps of some photos.

    Attributes:
        region_pct: ``(P,)`` share of the area that the 80 % region covers: small is sharp [%].
        first: ``(P,)`` whether the likeliest place is right.
        five: ``(P,)`` whether one of the five likeliest is.
        held: ``(P, 3)`` whether the regions of 50, 80 and 95 % hold the geotag.
    """

    region_pct: NDArray[np.float64]
    first: NDArray[np.bool_]
    five: NDArray[np.bool_]
    held: NDArray[np.bool_]

    @classmethod
    def join(cls, parts: Sequence[Outcome]) -> Outcome:
        """Concatenate the photos of several parts."""
        names = ("region_pct", "first", "five", "held")
        return cls(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))


def outcome(
    probability: NDArray[np.float64],
    places: NDArray[np.float64],
    grid: Grid,
    fitted: Calibration,
) -> Outcome:
    """Compare maps ``(P, C)`` with geotags ``(P, 2)`` in the grid's zone [m]."""
    entry = np.array([fitted.entry_pct(row) for row in probability])
    distance_m = localization.distances(places, grid)
    picks = localization.non_max_suppression(probability, grid, PLACES)
    metres = np.take_along_axis(distance_m, np.maximum(picks, 0), axis=1)
    right = (metres <= RIGHT_M) & (picks >= 0)
    own = entry[np.arange(len(entry)), distance_m.argmin(axis=1)]
    return Outcome(
        100 * (entry < 80).mean(axis=1), right[:, 0], right.any(axis=1),
        np.stack([own < level for level in LEVELS], axis=1),
    )  # fmt: skip


def tell(found: Outcome) -> dict[str, Any]:
    """Return the figures of all photos, and of classes of equal size by sharpness.

    Returns:
        ``all`` and, where each has :data:`LEAST` photos, ``classes``: ``n``; ``up_to_pct``, the
        largest 80 % region of the class; ``first`` and ``five``, shares that are right within
        ``right_m``; ``held_50``, ``held_80``, ``held_95`` [%].
    """
    order = np.argsort(found.region_pct, kind="stable")
    count = min(CLASSES, len(order) // LEAST)
    parts = np.array_split(order, count) if count > 1 else []
    return {
        "right_m": RIGHT_M,
        "all": _told(found, order),
        "classes": [_told(found, part) for part in parts],
    }


def _told(found: Outcome, at: NDArray[np.int64]) -> dict[str, Any]:
    def percent(values: NDArray[np.bool_]) -> float:
        return round(100 * float(values[at].mean()), 1)

    held = {f"held_{level}": percent(found.held[:, n]) for n, level in enumerate(LEVELS)}
    return {
        "n": len(at),
        "up_to_pct": round(float(found.region_pct[at].max()), 4),
        "first": percent(found.first),
        "five": percent(found.five),
        **held,
    }
