"""Count the numbers of a band: exactly for 16 bits, in fine cells otherwise.

Floats and 32-bit integers are counted in the cells of a floating-point format with 16 significant
bits. Each cell records its least and greatest number. A cell with a single distinct number is
exact; this holds for all integers up to 65,535, and for those up to 32,767 times a scale. Other
numbers are accurate to 1/65,536 of their distance from a pivot. The pivot is 0 at first. If that is
too coarse (for temperatures of 290 to 300 K, say), the strip is read again with the median as the
pivot.

Any percentile between about the 2nd and the 98th is therefore accurate to 1e-4 of the range between
these two, regardless of outliers. The least and the greatest number are exact. Memory is bounded by
the format: 400 MB per band if every cell occurs, a few MB for most imagery.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from witw.imagery.jit import njit
from witw.imagery.strip.eight_bit import VALUES

Floats = NDArray[np.float64]
Pairs = list[list[float]]
CELLS = 1 << 24
# Largest number of pairs of number and count that are written, apart from the tails.
MOST_PAIRS = 65_536
# Cells are merged up to this share of the range between the percentiles.
MERGED = 5e-5
# A cell width above this share of that range is too coarse.
COARSE = 2.5e-5
USUAL = 2.0, 98.0


def pairs(counts: NDArray[np.int64], signed: bool) -> list[Pairs]:
    """Return number and count of every 16-bit number that occurs.

    Args:
        counts: Counts by number, as unsigned, (3, 65536).
        signed: Whether the numbers are signed.
    """
    low = -VALUES // 2 if signed else 0
    rows = np.roll(counts, VALUES // 2, axis=1) if signed else counts
    return [[[int(i) + low, int(row[i])] for i in np.flatnonzero(row)] for row in rows]


@njit
def _add(
    keys: NDArray[np.uint32],
    values: Floats,
    counts: NDArray[np.int64],
    low: Floats,
    high: Floats,
) -> None:
    for i in range(keys.size):
        key, value = keys[i], values[i]
        if counts[key] == 0:
            low[key] = high[key] = value
        elif value < low[key]:
            low[key] = value
        elif value > high[key]:
            high[key] = value
        counts[key] += 1


class Near:
    """Counts of floats of three bands; several threads may add to it."""

    def __init__(self, pivots: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        self.pivots = pivots
        # Unwritten memory is never allocated physically.
        self.counts = np.zeros((3, CELLS), np.int64)
        self.low, self.high = np.zeros((3, CELLS)), np.zeros((3, CELLS))
        self.lock = threading.Lock()

    def add(self, band: int, values: Floats) -> None:
        """Count finite numbers, (n,)."""
        keys = _keys(values - self.pivots[band])
        with self.lock:
            _add(keys, values, self.counts[band], self.low[band], self.high[band])

    def found(self, band: int) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Return count, least and greatest number of each non-empty cell, ascending."""
        there = np.flatnonzero(self.counts[band])
        return self.counts[band][there], self.low[band][there], self.high[band][there]

    def better(self) -> tuple[float, float, float] | None:
        """Return pivots with which a second count pays; None if the accuracy is already 1e-4."""
        out, pays = [], False
        for band in range(3):
            counts, low, high = self.found(band)
            pivot = self.pivots[band]
            if len(counts):
                first, last = _edges(counts, low, high)
                wide = (high - low)[(high >= first) & (low <= last)].max()
                if wide > COARSE * 2 * (last - first):
                    at = np.searchsorted(np.cumsum(counts), counts.sum() / 2)
                    pivot, pays = float((low[at] + high[at]) / 2), True
            out.append(pivot)
        return (out[0], out[1], out[2]) if pays else None

    def pairs(self) -> tuple[list[Pairs], bool]:
        """Return numbers and counts per band, ascending, and whether all of them are exact."""
        out, exact = [], True
        for band in range(3):
            counts, low, high = self.found(band)
            if len(counts) > MOST_PAIRS:
                counts, low, high = _merged(counts, low, high)
            exact &= bool((low == high).all())
            out.append(_pairs(counts, low, high))
        return out, exact


def _keys(values: Floats) -> NDArray[np.uint32]:
    """Return the cell of each number; cells are ordered like the numbers."""
    with np.errstate(over="ignore"):
        # Gives zero a single sign.
        bits = (values.astype(np.float32) + np.float32(0)).view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return np.asarray(ordered >> 8, np.uint32)


def _edges(counts: NDArray[np.int64], low: Floats, high: Floats) -> tuple[float, float]:
    """Return approximately the 2nd and the 98th percentile."""
    ends = np.cumsum(counts)
    first, last = (np.searchsorted(ends, ends[-1] * pct / 100) for pct in USUAL)
    last = min(int(last), len(counts) - 1)
    return float(low[first]), float(high[last])


def _merged(
    counts: NDArray[np.int64], low: Floats, high: Floats
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Merge neighbouring cells that are narrow or far from the percentiles."""
    first, last = _edges(counts, low, high)
    middle, reach = (low + high) / 2, max(last - first, np.finfo(float).tiny)
    # Equal steps up to one range beyond the percentiles; from there, steps of 1/128 of the
    # distance.
    step = np.floor((middle - first) / (MERGED * reach)).clip(-1 / MERGED, 2 / MERGED)
    off = np.maximum(np.maximum(first - middle, middle - last) / reach, 1)
    tail = np.floor(np.log(off) * 128) * np.sign(middle - first)
    groups = np.flatnonzero((np.diff(step) != 0) | (np.diff(tail) != 0)) + 1
    starts = np.concatenate([[0], groups])
    return (
        np.add.reduceat(counts, starts),
        np.minimum.reduceat(low, starts),
        np.maximum.reduceat(high, starts),
    )


def _pairs(counts: NDArray[np.int64], low: Floats, high: Floats) -> Pairs:
    """Return the middle of each cell, with the least and the greatest number at the ends."""
    out = [[float(v), int(n)] for v, n in zip((low + high) / 2, counts, strict=True)]
    for at, value in ((-1, float(high[-1])), (0, float(low[0]))) if out else ():
        if out[at][0] != value:
            out[at][1] -= 1
            out.insert(0 if at == 0 else len(out), [value, 1])
    return [pair for pair in out if pair[1]]
