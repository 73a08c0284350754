"""All processes of a key share one quota."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest

from witw.demo.fake_flickr.server import FlickrServer
from witw.flickr.api.quota import Quota
from witw.settings.search import Search

KEY = "0123456789abcdef0123456789abcdef"
LIMIT = 7

TAKER = """
import sys
from pathlib import Path
from witw.flickr.api.quota import Quota
quota = Quota(Path(sys.argv[1]), limit=int(sys.argv[2]), window_s=float(sys.argv[3]))
for _ in range(int(sys.argv[4])):
    quota.take()
"""

# Times as in the file: the moments that count, before the machine suspends a process.
WATCHER = """
CREATE TABLE granted (at REAL);
CREATE TRIGGER kept AFTER INSERT ON call BEGIN INSERT INTO granted VALUES (new.at); END;
"""


def started(*args, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FLICKR_", "WITW_"))}
    return subprocess.Popen(
        [sys.executable, *args],
        env=env | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_together_never_exceed_a_window_and_waste_none(tmp_path):
    path, window_s, each = tmp_path / "quota.sqlite", 1.5, 2 * LIMIT
    Quota(path, LIMIT, window_s)
    with sqlite3.connect(path) as database:
        database.executescript(WATCHER)
    args = ("-c", TAKER, str(path), str(LIMIT), str(window_s), str(each))
    takers = [started(*args) for _ in range(2)]
    for taker in takers:
        _, said = taker.communicate(timeout=120)
        assert taker.returncode == 0, said
    with sqlite3.connect(path) as database:
        times = [at for (at,) in database.execute("SELECT at FROM granted ORDER BY at")]
    assert len(times) == 2 * each
    # Of any LIMIT + 1 in a row, the last came a window after the first.
    gaps = [last - first for first, last in zip(times, times[LIMIT:], strict=False)]
    assert min(gaps) >= window_s
    assert all(later >= earlier for earlier, later in pairwise(times))


@pytest.fixture
def photos():
    """Return more pages than the quota allows."""
    n = 5_000
    rng = np.random.default_rng(3)
    return {
        "id": np.arange(50_000_000_000, 50_000_000_000 + n),
        "lat": rng.uniform(15.45, 15.85, n),
        "lon": rng.uniform(32.43, 32.55, n),
        "date_upload": rng.integers(1_100_000_000, 1_700_000_000, n),
        "license_id": 4,
    }


def search(folder, server, aoi, state):
    folder.mkdir()
    spec = {
        "stage": "search",
        "version": 2,
        "aoi": aoi,
        "bbox_deg": [32.42, 15.44, 32.56, 15.86],
        "flickr": {"api_url": server.api_url, "photo_hosts": [server.photo_host]},
        "search": Search(licenses=[4]).model_dump(mode="json"),
        "forgotten": "",
    }
    outputs = [("--photos", "photos.parquet"), ("--cells", "cells.parquet")]
    args = ["-m", "witw.sources.search", "--spec", json.dumps(spec), "--summary"]
    args += [str(folder / "search.json")]
    for option, name in outputs:
        args += [option, str(folder / name)]
    state = {"XDG_STATE_HOME": str(state), "WITW_CALLS_PER_HOUR": str(LIMIT)}
    return started(*args, FLICKR_API_KEY=KEY, **state)


def test_two_searches_of_one_key_share_its_hour(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with FlickrServer(photos, lambda _: None, key=KEY) as server:
        state = tmp_path / "state"
        searches = [search(tmp_path / aoi, server, aoi, state) for aoi in ("khartoum", "omdurman")]
        try:
            ends = time.monotonic() + 120
            while len(server.calls) < LIMIT and time.monotonic() < ends:
                time.sleep(0.1)
            # Each would have time for all its 20 pages without the quota.
            time.sleep(5)
            assert len(server.calls) == LIMIT
            assert [one.poll() for one in searches] == [None, None]
        finally:
            for one in searches:
                one.kill()
                one.communicate()
