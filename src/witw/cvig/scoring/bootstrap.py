"""Confidence intervals by resampling places, since photos of one place are not independent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from witw.cvig.metrics import Metric

BLOCK_M = 500.0
DRAWS = 1000
LEVEL = 0.95
SEED = 20_220
_AT_ONCE = 4_000_000  # weights held at a time: 32 MB


def blocks(areas: NDArray[np.integer], places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number of the square of 500 m each photo lies in.

    Args:
        areas: ``(Q,)`` number of each photo's area; squares of two areas are never one.
        places: ``(Q, 2)`` easting and northing in the area's UTM zone [m].

    Returns:
        ``(Q,)`` from 0, without gaps.
    """
    square = np.floor(places / BLOCK_M).astype(np.int64)
    keys = np.column_stack([areas.astype(np.int64), square])
    return np.asarray(np.unique(keys, axis=0, return_inverse=True)[1]).reshape(-1)


def intervals(
    figures: Mapping[str, Metric], block: NDArray[np.int64], seed: int = SEED
) -> dict[str, list[float]]:
    """Percentile intervals of 95 % of figures of the same photos.

    As many blocks as there are, are drawn with replacement, a thousand times; a photo counts as
    often as its block was drawn (Efron and Tibshirani 1993, ch. 8: the unit is what is drawn
    independently).

    Args:
        figures: each of the same ``(Q,)`` photos.
        block: ``(Q,)`` from :func:`blocks`.
        seed: of the draws.

    Returns:
        Lower and upper end of each figure; empty when there is one block, which says nothing of
        the spread between places.
    """
    count = int(block.max(initial=-1)) + 1
    if count < 2:
        return {}
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in figures}
    orders = {n: np.argsort(f.values, kind="stable") for n, f in figures.items() if f.is_median}
    for weights in _weights(block, count, seed):
        total = weights.sum(axis=1)
        for name, figure in figures.items():
            if figure.is_median:
                drawn[name].append(_medians(figure.values, orders[name], weights))
            else:
                drawn[name].append(weights @ figure.values / total)
    tail = 100 * (1 - LEVEL) / 2
    out = {}
    for name, parts in drawn.items():
        low, high = np.percentile(np.concatenate(parts), [tail, 100 - tail])
        out[name] = [round(float(low), 4), round(float(high), 4)]
    return out


def _weights(block: NDArray[np.int64], count: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each photo counts in each draw, ``(some draws, Q)``."""
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(count, np.full(count, 1 / count), DRAWS)
    step = max(1, _AT_ONCE // len(block))
    for start in range(0, DRAWS, step):
        yield draws[start : start + step, block].astype(np.float64)


def _medians(
    values: NDArray[np.float64], order: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted median of each draw, of two middle values their mean, as ``np.median`` has it."""
    below = np.cumsum(weights[:, order], axis=1)
    half = below[:, -1:] / 2
    lower, upper = (below >= half).argmax(axis=1), (below > half).argmax(axis=1)
    return np.asarray((values[order[lower]] + values[order[upper]]) / 2)
