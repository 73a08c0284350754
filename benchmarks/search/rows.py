"""Rows of ``python -m benchmarks.search`` that need no HTTP: exact counts."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search import original as original
from benchmarks.search.rig import (
    SCRATCH,
    SNAPSHOT,
    Crawl,
    Direct,
    catalog,
    crawl,
    everything,
    least,
)
from witw.demo.fake_flickr.behaviour import Behaviour
from witw.demo.fake_flickr.catalog.crowd import PARIS_BBOX_DEG, paris
from witw.demo.fake_flickr.catalog.query import Catalog

# The noise of the service; a crawl of a hundred thousand photos makes 431 calls.
NOISE: dict[str, Any] = {"jitter": 0.02, "replicas": 3, "lag": 0.003, "phantoms": 0.005}
CHURN = 0.002  # share of photos that appear, and that vanish, between the first and the last call
LATER = "2026-11-01T00:00:00Z"


@dataclass(frozen=True)
class Row:
    """One line of the table; ``held`` is None if there is no bar."""

    what: str
    measured: str
    bar: str = ""
    held: bool | None = None

    @property
    def text(self) -> str:
        """The row as Markdown."""
        word = {None: "", True: "yes", False: "**no**"}[self.held]
        return f"| {self.what} | {self.measured} | {self.bar} | {word} |"


def frozen(quick: bool) -> Iterator[Row]:
    """Measure an unchanging service: calls, completeness, the ledger; with and without audit."""
    for n in (10_000,) if quick else (100_000, 500_000):
        held = catalog(n)
        for audit, most in ((0.0, 1.05), (0.05, 1.12)):
            done = crawl(Direct(held), audit=audit)
            yield _judged(f"{n:,} photos, frozen, {_audited(audit)}", done, held, most, n)


def crowded(quick: bool) -> Iterator[Row]:
    """Measure a city with a fifth of all photos on one geotag."""
    n = 10_000 if quick else 100_000
    held = catalog(n, pin=n // 5)
    done = crawl(Direct(held), audit=0.0)
    yield _judged(f"{n // 5:,} of {n:,} photos on one geotag", done, held, 1.05, n)


def _audited(audit: float) -> str:
    return "with audit and probes" if audit else "no audit"


def _judged(what: str, done: Crawl, held: Catalog, most: float, n: int) -> Row:
    truth = set(map(str, held.columns.id.tolist()))
    ledger = done.found.summary["ledger"]
    unbalanced = ledger["over"] + ledger["under"]
    share, calls = len(done.ids & truth) / n, done.requests / least(n)
    # With few photos, the audit's least number of calls exceeds its share.
    bar = f"{most:.2f}x" if n >= 100_000 or most < 1.12 else ""
    good = done.ids == truth and not unbalanced and (calls <= most or not bar)
    return Row(
        what,
        f"{done.requests} calls, {calls:.3f}x; {share:.3%}; ledger {ledger['steps']} steps, "
        f"{unbalanced} unbalanced; {done.found.summary['verdict']}",
        f"{bar or 'any'}; 100 %; 0",
        good,
    )


@dataclass(frozen=True)
class Sweep:
    """A noisy service searched once.

    Attributes:
        done: The search.
        share: Share of the permanently visible photos that the sweep listed.
        final: That share including the audit's finds.
        truth: Share of the photos present during the audit that the sweep had not listed.
    """

    done: Crawl
    share: float
    final: float
    truth: float

    @property
    def interval(self) -> tuple[float, float]:
        """The audit's interval for the missing share."""
        audit = self.done.found.summary["audit"]
        return audit["low"], audit["high"]


def swept(n: int, seed: int, **noise: Any) -> Sweep:
    """Search a noisy service of ``n`` photos once, and compute what it missed.

    Photos count as present if they are on any replica, are not phantoms, and exist at the time.
    """
    churn = {"vanishing": CHURN, "appearing": CHURN, "churn_calls": round(1.08 * least(n))}
    held = catalog(n, seed, **NOISE | churn | noise)
    done = crawl(Direct(held))
    last, audit = held.searches, done.found.summary["audit"]["calls"]
    throughout = set(held.reachable(everything(), 1, last))
    late = set(held.reachable(everything(), last - audit + 1, last))
    return Sweep(
        done,
        len(throughout & done.swept) / len(throughout),
        len(throughout & done.ids) / len(throughout),
        len(late - done.swept) / len(late),
    )


def noisy(quick: bool) -> Iterator[Row]:
    """Measure one sweep of a service with every kind of noise."""
    n = 10_000 if quick else 100_000
    one = swept(n, seed=1)
    low, high = one.interval
    summary = one.done.found.summary
    ledger = summary["ledger"]
    yield Row(
        f"{n:,} photos, noisy, one sweep and audit",
        f"sweep {one.share:.3%}, with the audit's finds {one.final:.3%}; "
        f"{one.done.requests / least(n):.3f}x; missing {one.truth:.3%}, said {low:.3%} to "
        f"{high:.3%}; {ledger['over'] + ledger['under']} of {ledger['steps']} steps unbalanced; "
        f"{summary['verdict']}",
        # With few photos, a lag of 0.3 % may well turn out as 0.4 %.
        "" if quick else "99.65 %",
        None if quick else one.share >= 0.9965,
    )


def _interval(seed: int) -> tuple[float, float, float, float]:
    one = swept(20_000, seed)
    return one.truth, *one.interval, one.share


def truthful(quick: bool) -> Iterator[Row]:
    """Measure how often the audit's interval contains the share that the sweep missed."""
    seeds = 2 if quick else 100
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(_interval, range(1, seeds + 1)))
    inside = sum(low <= truth <= high for truth, low, high, _ in found)
    above = sum(truth > high for truth, _, high, _ in found)
    columns = [statistics.mean(column) for column in zip(*found, strict=True)]
    yield Row(
        f"20,000 photos, noisy, {seeds} seeds: 99 % interval of the share missing",
        f"contains it in {inside} (above it in {above}); missing {columns[0]:.3%} on average, "
        f"interval {columns[1]:.3%} to {columns[2]:.3%}, sweep {columns[3]:.3%}",
        f"{0.95:.0%} of seeds",
        inside >= 0.95 * seeds,
    )


def others(quick: bool) -> Iterator[Row]:
    """Measure other ways to list the same frozen service."""
    names: dict[str, Callable[[original.Search, original.BoxDeg], original.Lister]] = {
        "the original as shipped": original.as_shipped,
        "the original, cutting on": original.with_cutting,
        "the original, cutting on, last pages mended": partial(
            original.with_cutting, last_too=True
        ),
        "a plain quadtree, 250 a page": original.quadtree,
    }
    for n, pin in ((5_000, 4_500),) if quick else ((100_000, 0), (500_000, 0), (100_000, 20_000)):
        held = catalog(n, pin=pin)
        ours = crawl(Direct(held), audit=0.0)
        where = f"{n:,} photos" + (f", {pin:,} on one geotag" if pin else "")
        yield Row(f"{where}: this project", _beside(ours.requests, len(ours.ids), n))
        for name, way in names.items():
            peer = way(lambda params, held=held: held.search(params, ""), PARIS_BBOX_DEG)  # type: ignore[misc]
            text = _beside(peer.calls, len(peer.ids), n)
            yield Row(f"{where}: {name}", f"{text}; {peer.calls / ours.requests:.2f} x our calls")


def _beside(calls: int, listed: int, n: int) -> str:
    return f"{calls} calls, {calls / least(n):.3f}x; {listed / n:.3%}"


def refreshed(quick: bool) -> Iterator[Row]:
    """Measure a second snapshot: 0.8 % new, 0.3 % gone, 0.1 % of old ones newly visible."""
    n = 5_000 if quick else 100_000
    # Without phantoms: a photo that turns into a phantom would count as gone.
    for name, noise in (("frozen", {}), ("noisy", NOISE | {"phantoms": 0.0})):
        first, second, there = _two_snapshots(n, noise)
        gone = first - second
        tombs = {str(row["id"]) for row in there.found.photos if row["cell"] == "missed"}
        lost = len(second - there.ids)
        calls = there.requests / least(len(second))
        yield Row(
            f"{n:,} photos, {name}, refreshed",
            f"{there.requests} calls, {calls:.3f}x; {len(gone)} gone: {len(tombs & gone)} "
            f"rightly missed, {len(tombs - gone)} wrongly, {len(gone - tombs)} lacking; "
            f"{lost} of {len(second)} not listed",
            "1.12x; 0 wrong" if not noise else "",
            None if noise else tombs == gone and not lost and (quick or calls <= 1.12),
        )


def _two_snapshots(n: int, noise: dict[str, Any]) -> tuple[set[str], set[str], Crawl]:
    """Return the ids present at the first and at the second snapshot, and the second search."""
    count = round(n * 1.009)
    columns = paris(count, seed=1)
    turn = np.random.default_rng(2).random(count)
    new, unseen, gone = turn < 0.008, turn > 0.999, (turn > 0.5) & (turn < 0.503)
    # Between the snapshots, 2 October and 1 November 2026.
    columns["date_upload"][new] = 1_790_985_600 + np.arange(int(new.sum())) * 1000 // count * 2000
    ids = columns["id"].astype(str)
    services = [
        Catalog.from_columns(
            {name: values[keep] for name, values in columns.items()},
            Behaviour(seed=seed, **noise),
        )
        for seed, keep in ((1, ~(new | unseen)), (2, ~gone))
    ]
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        journal = Path(scratch) / "journal.sqlite"
        crawl(Direct(services[0]), journal, snapshot=SNAPSHOT)
        there = crawl(Direct(services[1]), journal, snapshot=LATER)
    seen = [_visible(service) for service in services]
    assert set(ids) >= seen[0] | seen[1]
    return seen[0], seen[1], there


def _visible(service: Catalog) -> set[str]:
    return set(service.reachable(everything(), 1, 1))
