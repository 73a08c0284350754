"""Two runs in one folder, a jumping clock, a changing strip: the tables come out right."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from made_town import AREA, jobs

# Comes first on the jobs' path: the wall clock jumps by up to two days in either direction.
JUMPY = """
import os, random, time
real, rng = time.time, random.Random(os.getpid())
def jumpy():
    return real() + rng.choice((0, 0, 3600, -3600, 86400, -172800))
time.time = jumpy
time.time_ns = lambda: int(jumpy() * 1e9)
"""


def test_the_second_of_two_runs_is_refused_in_a_sentence(town, calm):
    first = town.start()
    while first.poll() is None and not jobs(first):
        time.sleep(0.05)
    said = town.folder / "snakemake.txt"
    kept = said.rename(town.folder / "first.txt")
    second = town.run()
    second.assert_told("Another run is active", str(town.folder))
    assert not jobs(first) or first.poll() is None
    first.wait(400)
    assert first.returncode == 0, kept.read_text()[-4000:]
    assert town.digest() == calm.digest()


def test_two_runs_started_in_the_same_moment_end_right(town, calm):
    runs = []
    for name in ("a", "b"):
        runs.append(town.start())
        (town.folder / "snakemake.txt").rename(town.folder / f"{name}.txt")
    codes = [run.wait(400) for run in runs]
    said = [(town.folder / f"{name}.txt").read_text() for name in ("a", "b")]
    assert 0 in codes, said
    for code, text in zip(codes, said, strict=True):
        if code:
            assert "witw: Another run is active" in text, text[-3000:]
        assert "Traceback" not in text, text[-3000:]
    town.finish()
    assert town.digest() == calm.digest()


def test_jobs_whose_clock_jumps_make_the_same_bytes(town, calm, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(JUMPY)
    told = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time)"],
        env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "jumpy" in told.stdout
    town.finish(env={"PYTHONPATH": str(site)})
    assert town.digest() == calm.digest()


def test_files_with_future_and_past_times_give_the_right_result(finished, calm, rng):
    """Times are out of order, as after the clock was set between two runs."""
    for path in sorted((finished.folder / "results").rglob("*")):
        jump = rng.choice((0, 3 * 86400, -3 * 86400))
        then = path.stat().st_mtime + jump
        os.utime(path, (then, then))
    finished.finish()
    assert finished.digest() == calm.digest()


def test_a_strip_that_changes_during_a_read_is_reported(town, calm):
    """A mixture of the old and the new strip must not pass for either."""
    strip = town.folder / f"world/strips/{AREA}_west.tif"
    whole = strip.read_bytes()
    strip.unlink()  # the world is linked
    strip.write_bytes(whole)
    stop = threading.Event()

    def touch():
        while not stop.wait(0.05):
            with strip.open("r+b") as file:
                file.seek(len(whole) // 2)
                byte = file.read(1)
                file.seek(len(whole) // 2)
                file.write(byte)

    writer = threading.Thread(target=touch)
    writer.start()
    try:
        done = town.run()
    finally:
        stop.set()
        writer.join()
    done.assert_told(f"{AREA}_west.tif", "changed while it was read")
    assert strip.read_bytes() == whole
    town.finish()
    assert town.digest() == calm.digest()


def test_a_quota_file_with_future_times_delays_no_run(town, calm):
    """Call counts from a clock that was a day ahead are no reason to wait."""
    town.finish()
    state = list((town.folder.parent / "state" / "witw").glob("quota-*.sqlite"))
    assert state, json.dumps([str(p) for p in town.folder.parent.rglob("*.sqlite")])
    for path in state:
        with sqlite3.connect(path) as database:
            database.execute("UPDATE call SET at = at + 10 * 86400")
    shutil.rmtree(town.folder / "journal")
    began = time.monotonic()
    town.finish("-R", "search")
    assert time.monotonic() - began < 300
    assert town.digest() == calm.digest()


@pytest.mark.parametrize("how", ["cut", "flip", "noise"])
def test_a_damaged_quota_file_delays_no_run(finished, calm, rng, how):
    """Losing the shared call counter is no reason to stop or to wait."""
    files = sorted((calm.folder.parent / "state" / "witw").glob("quota-*.sqlite"))
    assert files
    state = finished.folder.parent / "state" / "witw"
    state.mkdir(parents=True, exist_ok=True)
    for path in files:
        body = bytearray(path.read_bytes())
        if how == "cut":
            del body[rng.randrange(len(body)) :]
        elif how == "noise":
            body = bytearray(rng.randbytes(len(body)))
        else:
            for _ in range(8):
                body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        (state / path.name).write_bytes(body)
    shutil.rmtree(finished.folder / "journal")
    finished.finish("-R", "search")
    assert finished.digest() == calm.digest()
