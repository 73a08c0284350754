"""Rows of ``benchmarks.search`` that run the stage as a process, over HTTP on loopback."""

from __future__ import annotations

import random
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.search.rig import KEY, SEARCH, Crawl, Stage, asked, catalog, least, serving, spec
from benchmarks.search.rows import Row
from witw.demo.fake_flickr.server import FlickrServer
from witw.flickr import search
from witw.flickr.api.client import Client
from witw.flickr.api.quota import Quota
from witw.flickr.crawl.journal import Journal

LATENCY_S = 0.2  # of the crawls that are killed
SLOW_S = 0.6  # of the timed crawls: Flickr's fastest response


@dataclass
class Kills:
    """Results of killing a search repeatedly.

    Attributes:
        lost: For each kill, the answers of the service that are missing in the journal.
        early: Number of kills before the first query of a process.
        crawls: Number of completed crawls.
        differing: Number of crawls whose bytes differ from an undisturbed one.
        searches: Number of searches in all crawls.
        tables: Number of licence tables, one per process that gets that far.
    """

    lost: list[int]
    early: int = 0
    crawls: int = 0
    differing: int = 0
    searches: int = 0
    tables: int = 0


def killed(quick: bool) -> Iterator[Row]:
    """Kill the stage at random moments until it is done."""
    n, kills = (2_000, 1) if quick else (20_000, 30)
    # One chain of queries, and boxes so small that several queries are in flight.
    for box_total, in_flight in ((20_000, 1), (n // 8, search.WORKERS)):
        with (
            tempfile.TemporaryDirectory() as scratch,
            serving(catalog(n, api_latency_s=LATENCY_S)) as server,
        ):
            calm = Stage(Path(scratch) / "calm", server, box_total=box_total)
            took = calm.run()
            least_calls = asked(server)[SEARCH]
            span_s = least_calls * LATENCY_S / in_flight / 4
            seen = _kill(Path(scratch), server, calm.outputs(), kills, span_s, box_total)
        more = seen.searches - seen.crawls * least_calls
        yield Row(
            f"{kills} kills, {n:,} photos, {in_flight} in flight ({took:.0f} s undisturbed)",
            f"{seen.crawls} crawls, {seen.differing} of them with other bytes; calls lost per "
            f"kill: at most {max(seen.lost)}, {sum(seen.lost)} in total ({seen.early} kills came "
            f"before a query); {more} searches more than {seen.crawls} x {least_calls}, and "
            f"{seen.tables} licence tables",
            f"same bytes; {in_flight}",
            not seen.differing and max(seen.lost) <= in_flight and more <= kills * in_flight,
        )


def _kill(
    folder: Path, server: FlickrServer, calm: list[bytes], kills: int, span_s: float, box_total: int
) -> Kills:
    chance, seen = random.Random(box_total), Kills([])
    since = len(server.calls)
    while len(seen.lost) < kills or not seen.crawls:
        stage = Stage(folder / f"crawl {seen.crawls}", server, box_total=box_total)
        while not _finished(stage, server, seen, kills, chance, span_s):
            pass
        seen.crawls += 1
        seen.differing += stage.outputs() != calm
    seen.searches = asked(server, since)[SEARCH]
    seen.tables = asked(server, since).total() - seen.searches
    return seen


def _finished(
    stage: Stage,
    server: FlickrServer,
    seen: Kills,
    kills: int,
    chance: random.Random,
    span_s: float,
) -> bool:
    """Run the stage until it ends by itself or is killed."""
    before, kept = len(server.calls), stage.journaled()
    process = stage.start()
    if len(seen.lost) < kills:
        # A few kills hit the start; the others come some time after its first query.
        late = chance.random() > 0.1
        while late and process.poll() is None and not asked(server, before)[SEARCH]:
            time.sleep(0.02)
        _wait(process, chance.uniform(0, span_s))
        if process.poll() is None:
            process.kill()
    _, said = process.communicate()
    if process.returncode == 0:
        return True
    if process.returncode != -signal.SIGKILL:
        raise SystemExit(f"the stage failed after a kill: {said.decode()}")
    time.sleep(2 * LATENCY_S)  # lets requests in flight at the service end
    asked_now = asked(server, before)[SEARCH]
    seen.early += not asked_now
    seen.lost.append(asked_now - (stage.journaled() - kept))
    return False


def _wait(process: subprocess.Popen[bytes], wait_s: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=wait_s)


def paced(quick: bool) -> Iterator[Row]:
    """Measure the client's cost per page, and the gain from parallel queries."""
    few, many = (1_000, 6_000) if quick else (5_000, 55_000)
    spent = [_cpu_s(n) for n in (few, many)]
    pages = [least(n) for n in (few, many)]
    page_ms = 1000 * (spent[1] - spent[0]) / (pages[1] - pages[0])
    yield Row("client's CPU per page of 250 photos", f"{page_ms:.1f} ms, and {spent[0]:.1f} s once")
    n = 1_500 if quick else 20_000
    with serving(catalog(n, api_latency_s=SLOW_S)) as server:
        walls = {workers: _wall_s(server, workers, n) for workers in (1, search.WORKERS)}
    per = {workers: wall * 100_000 / n for workers, wall in walls.items()}
    one, four = per[1], per[search.WORKERS]
    yield Row(
        f"{SLOW_S} s an answer, a fifth of the photos allowed in a box ({n:,} photos)",
        f"{one:.0f} s per 100,000 photos one at a time, {four:.0f} s with {search.WORKERS}: "
        f"{one / four:.1f} times as fast",
    )


def _cpu_s(n: int) -> float:
    """Return the CPU time of a whole run of the stage [s]."""
    with tempfile.TemporaryDirectory() as scratch, serving(catalog(n)) as server:
        stage = Stage(Path(scratch) / "run", server, audit=0.0)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        stage.run()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _wall_s(server: FlickrServer, workers: int, n: int) -> float:
    made = spec(server.api_url, server.photo_host, audit=0.0, box_total=n // 5)
    client = Client(server.api_url, KEY, quota=Quota(limit=1_000_000))
    with (
        tempfile.TemporaryDirectory() as scratch,
        Journal(Path(scratch) / "j.sqlite", server.api_url, "snapshot") as journal,
    ):
        began = time.monotonic()
        found = search.run(made, client, journal, workers)
        took = time.monotonic() - began
    assert len(Crawl(found, client.requests).ids) == n
    return took
