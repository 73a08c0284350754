"""Ranks, recalls and chance. Arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

KS = (1, 5, 10)
# Scores this near are ties: sums in another order differ by as much.
TIE = 1e-6


def rank_own(scores: NDArray[Any], own: NDArray[np.integer]) -> NDArray[np.int64]:
    """Rank of each query's own item; ties count against, so a constant model ranks last.

    Args:
        scores: ``(Q, N)``, larger is better.
        own: ``(Q,)`` column of each query's own item.

    Returns:
        ``(Q,)``: ``1 + #{j != own: s_j >= s_own}``.
    """
    mine = scores[np.arange(len(own)), own]
    return np.asarray((scores >= mine[:, None] - TIE).sum(axis=1), np.int64)


def summary(rank: NDArray[np.integer], gallery: NDArray[np.integer]) -> dict[str, float]:
    """Figures of ranks, each query with its own gallery size.

    Args:
        rank: ``(Q,)`` from 1.
        gallery: ``(Q,)`` sizes.

    Returns:
        ``n``; ``recall_at_k`` and ``recall_at_1pct`` (``100 rank <= N``) [%]; and
        ``median_percentile``, the median of ``100 (rank - 0.5) / N``: 50 is chance, 0 perfect.
    """
    out = {f"recall_at_{k}": _percent(rank <= k) for k in KS}
    out["recall_at_1pct"] = _percent(100 * rank <= gallery)
    out["median_percentile"] = float(np.median(100 * (rank - 0.5) / gallery))
    return {"n": len(rank), **_rounded(out)}


def chance(gallery: NDArray[np.integer]) -> dict[str, float]:
    """What guessing gives, in the terms of :func:`summary`."""
    out = {f"recall_at_{k}": _percent(np.minimum(k / gallery, 1)) for k in KS}
    out["recall_at_1pct"] = _percent(gallery // 100 / gallery)
    return {"n": len(gallery), **_rounded(out), "median_percentile": 50.0}


def curve(
    rank: NDArray[np.integer], gallery: NDArray[np.integer], ks: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall at every k of ``ks`` and chance's, each ``(len(ks),)`` [%]."""
    found = np.array([_percent(rank <= k) for k in ks])
    guessed = np.array([_percent(np.minimum(k / gallery, 1)) for k in ks])
    return found, guessed


def _percent(share: NDArray[np.bool_] | NDArray[np.floating]) -> float:
    return 100 * float(np.mean(share))


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
