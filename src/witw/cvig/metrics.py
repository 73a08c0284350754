"""Ranks and their metrics: recall, percentile, chance. Arrays only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

KS = (1, 5, 10)
# Scores closer than this are ties: the order of summation causes such differences.
TIE = 1e-6


@dataclass(frozen=True)
class Metric:
    """One number per photo, reported as mean or as a quantile, usually the median."""

    values: NDArray[np.float64]  # (Q,)
    is_median: bool = False
    is_share: bool = False  # each value is 0 or 100
    quantile: float = 0.5  # 0.5: the median

    def __call__(self) -> float:
        """Return the figure over photos."""
        quantile = np.quantile(self.values, self.quantile) if self.is_median else None
        return float(np.mean(self.values) if quantile is None else quantile)


def share(condition: NDArray[np.bool_]) -> Metric:
    """Return the metric of the percentage of photos that satisfy a condition."""
    return Metric(np.where(condition, 100.0, 0.0), is_share=True)


def rank_own(scores: NDArray[Any], own: NDArray[np.integer]) -> NDArray[np.int64]:
    """Rank each query's own item; ties count against it, so a constant model ranks last.

    A NaN score also counts against it, for its own item and for others.

    Args:
        scores: ``(Q, N)``, larger is better.
        own: ``(Q,)`` column of each query's own item.

    Returns:
        ``(Q,)``: ``1 + #{j != own: not s_j < s_own}``.
    """
    mine = scores[np.arange(len(own)), own]
    return np.asarray((~(scores < mine[:, None] - TIE)).sum(axis=1), np.int64)


def of_ranks(rank: NDArray[np.integer], gallery: NDArray[np.integer]) -> dict[str, Metric]:
    """Compute the figures of ranks, each query with its own gallery size.

    Args:
        rank: ``(Q,)`` from 1.
        gallery: ``(Q,)`` sizes, N.

    Returns:
        ``recall_at_k`` and ``recall_at_1pct`` (``100 rank <= N``) [%], ``mean_rank``,
        ``median_rank``, and mean and median of the percentile ``100 (rank - 0.5) / N``: 50 is
        chance, 0 perfect.
    """
    percentile = 100 * (rank - 0.5) / gallery
    return {
        **{f"recall_at_{k}": share(rank <= k) for k in KS},
        "recall_at_1pct": share(100 * rank <= gallery),
        "mean_rank": Metric(rank.astype(np.float64)),
        "median_rank": Metric(rank.astype(np.float64), is_median=True),
        "mean_percentile": Metric(percentile),
        "median_percentile": Metric(percentile, is_median=True),
    }


def summary(rank: NDArray[np.integer], gallery: NDArray[np.integer]) -> dict[str, float]:
    """Return ``n``, and the figures of :func:`of_ranks` as numbers."""
    return {"n": len(rank), **values(of_ranks(rank, gallery))}


def values(figures: Mapping[str, Metric]) -> dict[str, float]:
    """Return figures as numbers with four decimals."""
    return {name: round(figure(), 4) for name, figure in figures.items()}


def chance(gallery: NDArray[np.integer]) -> dict[str, float]:
    """Return the expected figures of guessing, named as by :func:`of_ranks`."""
    out = {f"recall_at_{k}": 100 * float(np.mean(np.minimum(k / gallery, 1))) for k in KS}
    out["recall_at_1pct"] = 100 * float(np.mean(gallery // 100 / gallery))
    out["mean_rank"] = float(np.mean((gallery + 1) / 2))
    out["median_rank"] = _median_guess(gallery)
    rounded = {name: round(value, 4) for name, value in out.items()}
    return {**rounded, "mean_percentile": 50.0, "median_percentile": 50.0}


def _median_guess(gallery: NDArray[np.integer]) -> float:
    """Return the median of ranks drawn uniformly from 1 to each query's N."""
    sizes, counts = np.unique(gallery, return_counts=True)
    rank = np.arange(1, int(sizes.max(initial=1)) + 1)
    below = np.zeros(len(rank))
    for size, count in zip(sizes, counts, strict=True):
        below += count * np.minimum(rank / size, 1)
    half, slack = len(gallery) / 2, 1e-9 * len(gallery)
    lower, upper = (below >= half - slack).argmax(), (below > half + slack).argmax()
    return float(rank[lower] + rank[upper]) / 2


def curve(
    rank: NDArray[np.integer], gallery: NDArray[np.integer], ks: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return recall and chance at every k of ``ks``, each ``(len(ks),)`` [%]."""
    found = np.array([100 * np.mean(rank <= k) for k in ks])
    guessed = np.array([100 * np.mean(np.minimum(k / gallery, 1)) for k in ks])
    return found, guessed
