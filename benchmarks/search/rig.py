"""Tools for measuring the rows of ``benchmarks.search``."""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from witw.demo.fake_flickr.behaviour import Behaviour
from witw.demo.fake_flickr.catalog.crowd import PARIS_BBOX_DEG, paris
from witw.demo.fake_flickr.catalog.query import ApiError, Catalog
from witw.demo.fake_flickr.catalog.records import LICENSES
from witw.demo.fake_flickr.server import FlickrServer
from witw.flickr import search
from witw.flickr.api.client import Attempt
from witw.flickr.api.refusals import RefusedError
from witw.flickr.crawl.journal import Journal
from witw.flickr.crawl.service import INFO

KEY = "0123456789abcdef0123456789abcdef"
HOST = "https://live.staticflickr.com"
SNAPSHOT = "2026-10-02T00:00:00Z"
SEARCH = "flickr.photos.search"
SCRATCH = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


class Direct:
    """Client of a search without HTTP: it queries a catalog, through JSON.

    Attributes:
        requests: Number of searches.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog, self.requests = catalog, 0

    def call(
        self,
        method: str,
        read: Callable[[Mapping[str, Any]], Any],
        watch: Callable[[Attempt], None] | None = None,
        **params: object,
    ) -> Any:
        """Call a method, see :class:`witw.flickr.api.client.Client`."""
        if method == INFO:
            return self._info(read, watch, {name: str(v) for name, v in params.items()})
        if method != SEARCH:
            rows = [{"id": n, "name": name, "url": url} for n, (name, url) in LICENSES.items()]
            return read({"licenses": {"license": rows}})
        self.requests += 1
        found = self.catalog.search({name: str(v) for name, v in params.items()}, HOST)
        body = json.dumps({"photos": found, "stat": "ok"}).encode()
        result = read(json.loads(body))
        if watch:
            watch(Attempt(True, "", 200, None, 1, 0.0, 0.0, body))
        return result

    def _info(
        self,
        read: Callable[[Mapping[str, Any]], Any],
        watch: Callable[[Attempt], None] | None,
        params: Mapping[str, str],
    ) -> Any:
        self.requests += 1
        try:
            answer = {"photo": self.catalog.info(params, HOST), "stat": "ok"}
        except ApiError as error:
            if watch:
                watch(Attempt(False, error.message, 200, error.code, 1, 0.0, 0.0, b""))
            raise RefusedError(error.message, error.code) from None
        result = read(answer)
        if watch:
            watch(Attempt(True, "", 200, None, 1, 0.0, 0.0, json.dumps(answer).encode()))
        return result


def catalog(n: int, seed: int = 1, pin: int = 0, **behaviour: Any) -> Catalog:
    """Return the crowded city behind a service with the given behaviour."""
    return Catalog.from_columns(paris(n, seed=seed, pin=pin), Behaviour(seed=seed, **behaviour))


def spec(api_url: str = "http://127.0.0.1/", host: str = HOST, **changes: Any) -> dict[str, Any]:
    """Return the stage's spec for the area Paris; ``changes`` apply to its settings."""
    settings = {
        "snapshot": SNAPSHOT,
        "licenses": list(range(1, 17)),
        "box_total": 20_000,
        "audit": 0.05,
        "sweeps": 1,
    }
    return {
        "stage": "search",
        "version": 4,
        "aoi": "paris",
        "bbox_deg": list(PARIS_BBOX_DEG),
        "flickr": {"api_url": api_url, "photo_hosts": [host]},
        "search": settings | changes,
        "forgotten": "",
    }


@dataclass(frozen=True)
class Crawl:
    """A search and its cost.

    Attributes:
        found: Its result.
        requests: Number of searches answered by the service, including audit and probes.
    """

    found: search.SearchResult
    requests: int

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of the existing photos."""
        return [row for row in self.found.photos if not row["is_gone"] and row["cell"] != "missed"]

    @property
    def ids(self) -> set[str]:
        """Ids of the existing photos."""
        return {str(row["id"]) for row in self.rows}

    @property
    def swept(self) -> set[str]:
        """Ids listed by the sweeps, without the audit's finds."""
        return {str(row["id"]) for row in self.rows if row["cell"] not in ("audit", "check")}


def crawl(client: Direct, journal: Path | None = None, workers: int = 1, **changes: Any) -> Crawl:
    """Search in this process, with sequential queries, so that noise is the same each time."""
    before = client.requests
    made = spec(**changes)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        path = journal or Path(scratch) / "journal.sqlite"
        with Journal(path, made["flickr"]["api_url"], made["search"]["snapshot"]) as kept:
            found = search.run(made, client, kept, workers)  # type: ignore[arg-type]
    return Crawl(found, client.requests - before)


def least(n: int) -> int:
    """Return the number of pages that hold ``n`` photos."""
    return math.ceil(n / 250)


def everything() -> dict[str, str]:
    """Return parameters that find all photos of the area."""
    west, south, east, north = PARIS_BBOX_DEG
    return {
        "bbox": f"{west - 1e-5:.7f},{south - 1e-5:.7f},{east + 1e-5:.7f},{north + 1e-5:.7f}",
        "license": ",".join(map(str, range(1, 17))),
        "min_upload_date": "1",
        "max_upload_date": "2000000000",
        "has_geo": "1",
    }


@contextmanager
def serving(held: Catalog) -> Iterator[FlickrServer]:
    """Serve a catalog over HTTP on loopback, with the latency of its behaviour."""
    with FlickrServer(held, lambda _: None, key=KEY) as server:
        yield server


def asked(server: FlickrServer, since: int = 0) -> Counter[str]:
    """Count a server's requests by method, from number ``since`` on."""
    return Counter(call.name for call in server.calls[since:])


OUTPUTS = ("photos.parquet", "cells.parquet", "search.json")


class Stage:
    """The stage as a process, in its own run folder.

    Args:
        folder: Run folder.
        server: The service.
        changes: Settings that differ from the default.
    """

    def __init__(self, folder: Path, server: FlickrServer, **changes: Any) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        text = json.dumps(spec(server.api_url, server.photo_host, **changes))
        self._command = [sys.executable, "-m", "witw.sources.search", "--spec", text]
        for option, name in zip(("--photos", "--cells", "--summary"), OUTPUTS, strict=True):
            self._command += [option, f"results/paris/{name}"]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("FLICKR_", "WITW_"))}
        self._environment = clean | {
            "FLICKR_API_KEY": KEY,
            "XDG_STATE_HOME": str(folder / "state"),
            "WITW_CALLS_PER_HOUR": "1000000",
        }

    def start(self) -> subprocess.Popen[bytes]:
        """Start, or resume."""
        return subprocess.Popen(
            self._command,
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def run(self) -> float:
        """Run to the end; return the duration [s]."""
        began = time.monotonic()
        process = self.start()
        _, said = process.communicate()
        if process.returncode:
            raise SystemExit(f"the stage failed: {said.decode()}")
        return time.monotonic() - began

    def outputs(self) -> list[bytes]:
        """Return the bytes of its three files."""
        return [(self.folder / "results/paris" / name).read_bytes() for name in OUTPUTS]

    def journaled(self) -> int:
        """Count the answers on disk, in a copy, because opening the journal would repair it."""
        with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
            for path in (self.folder / "journal").glob("paris.sqlite*"):
                shutil.copy(path, scratch)
            with closing(sqlite3.connect(Path(scratch) / "paris.sqlite")) as database:
                try:
                    return int(database.execute("SELECT count(*) FROM call").fetchone()[0])
                except sqlite3.OperationalError:  # killed before the table was created
                    return 0
