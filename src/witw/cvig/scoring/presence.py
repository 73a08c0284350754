"""Probability that a photo was taken in the searched area at all.

A map says where in the area a photo was taken, if it was taken there, and is just as sharp for
photos of other cities. Three signs distinguish them: the best score, its lead over the others, and
the information gain of the map. A logistic regression on these signs is fitted on the validation
areas: their own photos against photos of other cities. Weights are not negative, because with one
validation city chance alone could reverse a sign.

Odds are even beforehand, without other knowledge about the photo.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEPT = 95  # share of an area's own photos to accept [%]
STRANGERS = 1000  # photos of other cities that the fit asks an area for, at most
# The network was trained on outdoor photos only, so its scores are meaningless for an indoor scene,
# and no paired photo of an area shows one.
INDOOR_ODDS = 0.02
SIGNS = ("best", "stands_out", "bits")
_RIDGE = 0.01


@dataclass(frozen=True)
class Presence:
    """A fitted measure.

    Attributes:
        weights: weight of each of ``SIGNS``, none negative.
        offset: offset of the log odds.
        threshold: probability that 95 % of the fitted areas' own photos reach.
        strangers_pct: share of photos of other cities that also reach it [%].
        auroc: own photos against photos of other cities, on the photos of the fit.
    """

    weights: tuple[float, ...]
    offset: float
    threshold: float
    strangers_pct: float
    auroc: float

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Presence:
        """Read the result of :func:`dataclasses.asdict`.

        Raises:
            KeyError, TypeError, ValueError: the value has another form.
        """
        numbers = (float(told[n]) for n in ("offset", "threshold", "strangers_pct", "auroc"))
        weights = tuple(float(v) for v in told["weights"])
        if len(weights) != len(SIGNS):
            raise ValueError(f"{len(weights)} weights instead of {len(SIGNS)}")
        return cls(weights, *numbers)

    def probability(
        self, signs: NDArray[np.float64], indoor: NDArray[np.bool_] | bool = False
    ) -> NDArray[np.float64]:
        """Return the probability that photos were taken in the area, ``(P,)``.

        Args:
            signs: ``(P, 3)`` from :func:`signs`.
            indoor: whether the scene network sees an indoor scene, ``(P,)``.
        """
        log_odds = signs @ np.array(self.weights) + self.offset
        log_odds = log_odds + np.where(indoor, np.log(INDOOR_ODDS), 0.0)
        return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -50, 50))))


def signs(scores: NDArray[np.floating], probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the signs of whether the place of a photo is among the cells.

    Args:
        scores: ``(P, C)``; a photo with a NaN shows no sign.
        probability: ``(P, C)``, their maps.

    Returns:
        ``(P, 3)``: the best score; its distance from the mean in standard deviations; information
        gain of the map over the uniform map [bits].
    """
    wide = scores.astype(np.float64)
    wide[~np.isfinite(wide).all(axis=1)] = 0
    best = wide.max(axis=1)
    spread = wide.std(axis=1)
    above = np.divide(best - wide.mean(axis=1), spread, out=np.zeros_like(best), where=spread > 0)
    logs = np.log2(np.maximum(probability, 1e-300))
    bits = np.log2(probability.shape[1]) + (probability * logs).sum(axis=1)
    return np.stack([best, above, bits], axis=1)


def fit(own: NDArray[np.float64], strangers: NDArray[np.float64]) -> Presence:
    """Fit to signs of areas' own photos ``(P, 3)`` and of photos from elsewhere ``(Q, 3)``.

    Both kinds have equal total weight.
    """
    rows = np.concatenate([own, strangers])
    here = np.arange(len(rows)) < len(own)
    share = np.where(here, 0.5 / len(own), 0.5 / len(strangers))
    middle = share @ rows
    spread = np.sqrt(share @ (rows - middle) ** 2)
    spread[spread == 0] = 1
    unit = (rows - middle) / spread
    used = np.ones(unit.shape[1], bool)
    while True:
        weights = np.zeros(unit.shape[1])
        weights[used], offset = _logistic(unit[:, used], here, share)
        if (weights >= 0).all():
            break
        used &= weights > 0
    weights /= spread
    model = Presence(tuple(weights.tolist()), float(offset - weights @ middle), 0.0, 100.0, 0.5)
    return _judged(model, own, strangers)


def _judged(model: Presence, own: NDArray[np.float64], strangers: NDArray[np.float64]) -> Presence:
    """Set the threshold that accepts 95 % of an area's own photos."""
    mine, theirs = model.probability(own), model.probability(strangers)
    least = float(np.quantile(mine, 1 - KEPT / 100, method="lower"))
    told = asdict(model) | {
        "weights": tuple(round(w, 6) for w in model.weights),
        "offset": round(model.offset, 6),
        # Rounded down: the photo that it is taken from has to reach it.
        "threshold": math.floor(least * 1e6) / 1e6,
    }
    let_in = 100 * float((theirs >= told["threshold"]).mean())
    told |= {"strangers_pct": round(let_in, 2), "auroc": round(auroc(mine, theirs), 4)}
    return Presence(**told)


def _logistic(
    rows: NDArray[np.float64], here: NDArray[np.bool_], share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Fit weights and offset of a ridge logistic regression by Newton's method."""
    wide = np.column_stack([rows, np.ones(len(rows))])
    ridge = np.diag(np.append(np.full(rows.shape[1], _RIDGE), 1e-9))
    found = np.zeros(wide.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(wide @ found, -50, 50)))
        slope = wide.T @ (share * (p - here)) + ridge @ found
        bend = (wide.T * (share * p * (1 - p))) @ wide + ridge
        found -= np.linalg.solve(bend, slope)
    return found[:-1], float(found[-1])


def auroc(own: NDArray[np.float64], strangers: NDArray[np.float64]) -> float:
    """Return the probability that an own photo scores higher than another; ties count half.

    NaN if one of the groups is empty.

    The statistic of Mann and Whitney (1947).
    """
    if not len(own) or not len(strangers):
        return float("nan")
    ordered = np.sort(strangers)
    below = np.searchsorted(ordered, own, "left") + np.searchsorted(ordered, own, "right")
    return float(below.mean() / (2 * len(ordered)))


def figures(
    model: Presence, own: Sequence[NDArray[np.float64]], strangers: Sequence[NDArray[np.float64]]
) -> dict[str, Any]:
    """Check a measure on areas it was not fitted on.

    Args:
        model: the measure.
        own: signs of each area's own photos.
        strangers: signs of photos of other cities in each area.

    Returns:
        Numbers ``own`` and ``strangers``; ``auroc``; ``own_kept_pct`` and ``strangers_pct``, the
        shares that reach the threshold [%]; None without photos.
    """
    mine, theirs = (
        model.probability(np.concatenate([np.zeros((0, len(SIGNS))), *part]))
        for part in (own, strangers)
    )

    def reached(values: NDArray[np.float64]) -> float | None:
        return round(100 * float((values >= model.threshold).mean()), 2) if len(values) else None

    area = auroc(mine, theirs)
    return {
        "own": len(mine),
        "strangers": len(theirs),
        "auroc": None if np.isnan(area) else round(area, 4),
        "own_kept_pct": reached(mine),
        "strangers_pct": reached(theirs),
    }
