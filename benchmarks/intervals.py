"""Simulate how often the 95 % intervals contain the known truth.

    .venv/bin/python -m benchmarks.intervals                 2,000 trials per row
    .venv/bin/python -m benchmarks.intervals --trials 200    fewer

Photos lie in blocks: of 25 photos each, of uneven (geometric) sizes, or mostly in a few blocks
(log-normal). Photos are independent, or photos of a block share a part of their result (a normal
variable common to the block that makes up 10 or 30 % of the variance). The intervals are derived
from a different model. The peer is the percentile bootstrap of blocks, which was used before.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from witw.cvig.metrics import Metric, share
from witw.cvig.scoring.intervals import intervals

BLOCKS = (4, 6, 10, 30, 100)
SHARES = (5, 50, 95)
CORRELATIONS = (0.0, 0.1, 0.3)
SIZES = ("even", "uneven", "piled")
PHOTOS = 25  # photos per block on average
DRAWS = 400
ROUNDED = 5e-5  # interval ends have four decimals
PEER_EVERY = 5  # one in so many trials, because the peer is slow


@dataclass(frozen=True)
class Row:
    """A kind of data."""

    blocks: int
    sizes: str
    correlation: float


def main() -> None:
    """Print a table: coverage of each figure, and of the peer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--blocks", type=int, nargs="*", default=BLOCKS)
    args = parser.parse_args()
    names = list(truths())
    print("coverage [%]; in brackets the percentile bootstrap of blocks; - : no interval given")
    print("| blocks | sizes | shared |", " | ".join(names), "|")
    for row in rows(args.blocks):
        held, given = coverage(row, args.trials)
        peer = peer_coverage(row, args.trials // PEER_EVERY)
        cells = [
            (f"{100 * held[n] / given:.1f}" if given else "-") + f" ({peer[n]:.0f})" for n in names
        ]
        told = f"{row.blocks} | {row.sizes} | {row.correlation:g}"
        print(f"| {told} |", " | ".join(cells), "|", flush=True)


def rows(blocks: tuple[int, ...] | list[int] = BLOCKS) -> Iterator[Row]:
    """Yield all kinds of data."""
    for count in blocks:
        for sizes in SIZES:
            for correlation in CORRELATIONS:
                yield Row(count, sizes, correlation)


def truths() -> dict[str, float]:
    """Return the true value of each figure."""
    out = {f"{p} %": float(p) for p in SHARES}
    return {**out, "median": float(np.log(2)), "mean": 1.0, "mean of 0 to 100": 50.0}


def draw(row: Row, rng: np.random.Generator) -> tuple[dict[str, Metric], NDArray[np.int64]]:
    """Draw figures of the photos of one trial, and their blocks."""
    block = np.repeat(np.arange(row.blocks), photos_of_blocks(row))
    common, own = rng.normal(size=row.blocks)[block], rng.normal(size=len(block))
    fate = np.sqrt(row.correlation) * common + np.sqrt(1 - row.correlation) * own
    figures = {f"{p} %": share(fate < NormalDist().inv_cdf(p / 100)) for p in SHARES}
    even = uniform(fate)
    figures["median"] = Metric(-np.log1p(-even), is_median=True)
    figures["mean"] = Metric(-np.log1p(-even))
    figures["mean of 0 to 100"] = Metric(100 * even)
    return figures, block


def photos_of_blocks(row: Row) -> NDArray[np.int64]:
    """Return the photos per block: equal, or evenly spaced quantiles of a distribution."""
    at = (np.arange(row.blocks) + 0.5) / row.blocks
    if row.sizes == "even":
        sizes = np.full(row.blocks, PHOTOS)
    elif row.sizes == "uneven":
        sizes = np.log(1 - at) / np.log(1 - 1 / PHOTOS)
    else:
        sizes = PHOTOS * np.exp(1.2 * np.array([NormalDist().inv_cdf(u) for u in at]) - 0.72)
    return np.ceil(sizes).astype(np.int64)


def uniform(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the normal distribution function of each value, from a fine table."""
    at = np.linspace(-8, 8, 16_001)
    below = np.cumsum(np.exp(-(at**2) / 2))
    return np.interp(normal, at, (below - np.exp(-(at**2) / 2) / 2) / below[-1])


def coverage(row: Row, trials: int) -> tuple[dict[str, int], int]:
    """Count the trials' intervals that contain the truth, and the intervals given."""
    rng, truth = generator(row), truths()
    held, given = dict.fromkeys(truth, 0), 0
    for _ in range(trials):
        found = intervals(*draw(row, rng))
        given += bool(found)
        for name, (low, high) in found.items():
            held[name] += low - ROUNDED <= truth[name] <= high + ROUNDED
    return held, given


def peer_coverage(row: Row, trials: int) -> dict[str, float]:
    """Return the share of trials in which the percentile bootstrap contains the truth [%]."""
    rng, truth = generator(row), truths()
    held = dict.fromkeys(truth, 0)
    for _ in range(trials):
        for name, (low, high) in percentile(*draw(row, rng), rng).items():
            held[name] += low <= truth[name] <= high
    return {name: 100 * count / max(1, trials) for name, count in held.items()}


def generator(row: Row) -> np.random.Generator:
    """Return the row's own random generator."""
    return np.random.default_rng([row.blocks, SIZES.index(row.sizes), int(100 * row.correlation)])


def percentile(
    figures: dict[str, Metric], block: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """Draw blocks with replacement; the middle 95 % of the figures are the peer's interval."""
    count = int(block.max()) + 1
    times = rng.multinomial(count, np.full(count, 1 / count), DRAWS)[:, block]
    out = {}
    for name, figure in figures.items():
        if figure.is_median:
            order = np.argsort(figure.values)
            below = np.cumsum(times[:, order], axis=1)
            drawn = figure.values[order[(2 * below >= below[:, -1:]).argmax(axis=1)]]
        else:
            drawn = times @ figure.values / times.sum(axis=1)
        low, high = np.percentile(drawn, [2.5, 97.5])
        out[name] = float(low), float(high)
    return out


if __name__ == "__main__":
    main()
