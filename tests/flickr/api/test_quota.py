"""The quota limits calls per hour for any threads, clocks and file states."""

import random
import sqlite3
import threading
import time
from contextlib import closing

import pytest
from answers import ROOT, Canned, body, client, journal, record, service

from witw.flickr.api.quota import Quota


class Clock:
    """A clock that advances only by sleeping; it records the requested pauses."""

    def __init__(self, now=1_000_000.0):
        self.now = now
        self.slept = []
        self._lock = threading.Lock()

    def __call__(self):
        with self._lock:
            return self.now

    def sleep(self, seconds):
        with self._lock:
            self.slept.append(seconds)
            self.now += seconds


def most_in_a_window(moments, window_s):
    """Return the largest number of moments in any half-open window."""
    moments = sorted(moments)
    return max(
        sum(start <= other < start + window_s for other in moments[place:])
        for place, start in enumerate(moments)
    )


@pytest.fixture(params=["shared", "own"])
def path(request, tmp_path):
    return tmp_path / "state" / "quota.sqlite" if request.param == "shared" else None


def test_no_window_exceeds_the_limit(path):
    clock, chance = Clock(), random.Random(3)
    quota = Quota(path, limit=7, window_s=60.0, clock=clock, sleep=clock.sleep)
    moments = []
    for _ in range(120):
        clock.sleep(chance.choice([0, 0, 0.001, 1, 9, 61]))
        quota.take()
        moments.append(clock())
    assert most_in_a_window(moments, 60.0) == 7


def test_threads_together_do_not_exceed_the_limit(tmp_path):
    """Two objects share a file, like two clients, with several threads each."""
    clock = Clock()
    path = tmp_path / "quota.sqlite"
    quotas = [Quota(path, 10, 60.0, clock, clock.sleep) for _ in range(2)]
    moments, lock = [], threading.Lock()

    def work(quota):
        for _ in range(12):
            quota.take()
            with lock:
                moments.append(clock())

    crew = [threading.Thread(target=work, args=(quotas[n % 2],)) for n in range(6)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    with closing(sqlite3.connect(path)) as database:
        counted = [at for (at,) in database.execute("SELECT at FROM call")]
    assert len(moments) == 72
    assert len(counted) <= 10
    # The clock may go on between a call being counted and being noted here; not by an hour.
    assert clock.now - 1_000_000 >= (72 / 10 - 1) * 60


def test_the_limit_holds_in_real_time(tmp_path):
    path, moments, lock = tmp_path / "quota.sqlite", [], threading.Lock()

    def work():
        quota = Quota(path, limit=5, window_s=0.3)
        for _ in range(4):
            quota.take()
            with lock:
                moments.append(time.time())

    crew = [threading.Thread(target=work) for _ in range(4)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    moments.sort()
    # Noted a little after they are counted, so a window seems a little shorter.
    assert all(later - sooner > 0.2 for sooner, later in zip(moments, moments[5:], strict=False))


def test_the_whole_limit_is_available_at_once(path):
    clock = Clock()
    quota = Quota(path, limit=50, window_s=3600.0, clock=clock, sleep=clock.sleep)
    for _ in range(50):
        quota.take()
    assert clock.slept == []
    quota.take()
    assert sum(clock.slept) == pytest.approx(3600)
    assert max(clock.slept) <= 60


def test_a_clock_set_back_delays_for_at_most_a_window(path):
    clock = Clock()
    quota = Quota(path, limit=3, window_s=60.0, clock=clock, sleep=clock.sleep)
    for _ in range(3):
        quota.take()
    quota.close(50.0)
    clock.now -= 86_400
    quota.take()
    assert 0 < sum(clock.slept) <= 60


def test_a_clock_set_back_gives_no_calls_away(path):
    clock = Clock()
    quota = Quota(path, limit=3, window_s=60.0, clock=clock, sleep=clock.sleep)
    for _ in range(3):
        quota.take()
    clock.now -= 30
    for _ in range(3):
        quota.take()
    # Their age is unknown, so they count as of now.
    assert sum(clock.slept) == pytest.approx(60)


def test_a_closed_gate_stops_everybody_until_it_opens(tmp_path):
    clock = Clock()
    path = tmp_path / "quota.sqlite"
    one, two = (Quota(path, 100, 3600.0, clock, clock.sleep) for _ in range(2))
    two.take()
    one.close(100.0)
    one.close(5.0)  # does not open it
    one.close(-3.0)
    two.take()
    assert sum(clock.slept) == pytest.approx(100)
    two.take()
    assert sum(clock.slept) == pytest.approx(100)


def test_waiting_callers_notice_a_gate_that_closes(path):
    clock = Clock()
    quota = Quota(
        path, limit=1, window_s=600.0, clock=clock, sleep=lambda s: (clock.sleep(s), closing_once())
    )
    left = [1]

    def closing_once():
        if left and clock.now > 1_000_300:
            left.pop()
            quota.close(500.0)

    quota.take()
    quota.take()
    assert clock.now >= 1_000_300 + 500


@pytest.mark.parametrize("content", [b"no database" * 100, b"\x00" * 5_000])
def test_a_broken_file_is_replaced(tmp_path, content):
    path = tmp_path / "quota.sqlite"
    path.write_bytes(content)
    clock = Clock()
    one, two = (Quota(path, 2, 60.0, clock, clock.sleep) for _ in range(2))
    one.take()
    two.take()
    assert clock.slept == []
    one.take()
    assert sum(clock.slept) == pytest.approx(60)


@pytest.mark.parametrize("how", ["cut", "flip"])
def test_a_damaged_file_neither_ends_nor_delays_a_search(tmp_path, how):
    """This includes damage that SQLite does not notice: invalid numbers and texts."""
    path = tmp_path / "quota.sqlite"
    clock = Clock()
    quota = Quota(path, clock=clock, sleep=clock.sleep)
    for _ in range(50):
        quota.take()
    quota._database.close()
    whole = path.read_bytes()
    for place in range(0, len(whole), 193):
        rng, body = random.Random(place), bytearray(whole)
        if how == "cut":
            del body[place:]
        for _ in range(8 * (how == "flip")):
            body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
        path.write_bytes(body)
        damaged = Quota(path, clock=clock, sleep=clock.sleep)
        for _ in range(3):
            damaged.take()
        damaged._database.close()
    assert not clock.slept


def test_without_a_file_a_process_counts_alone(tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    clock = Clock()
    for path in (tmp_path / "file" / "quota.sqlite", tmp_path):
        before = clock.now
        quota = Quota(path, 2, 60.0, clock, clock.sleep)
        for _ in range(3):
            quota.take()
        assert clock.now - before == pytest.approx(60)
    assert caplog.text.count("counts only its own calls") == 2


def test_a_file_that_becomes_unwritable_does_not_end_a_search(tmp_path, caplog):
    clock = Clock()
    quota = Quota(tmp_path / "quota.sqlite", 2, 60.0, clock, clock.sleep)
    quota.take()
    quota._database.execute("PRAGMA query_only = ON")
    quota.close(7.0)
    for _ in range(3):
        quota.take()
    assert clock.now - 1_000_000 >= 60
    assert caplog.text.count("counts only its own calls") == 1


def test_a_file_that_breaks_during_a_search_does_not_end_it(tmp_path, caplog):
    path, clock = tmp_path / "quota.sqlite", Clock()
    quota = Quota(path, 2, 60.0, clock, clock.sleep)
    quota.take()
    path.write_bytes(b"junk" * 4_000)
    for _ in range(3):
        quota.take()
    assert "counts only its own calls" in caplog.text


def test_the_key_is_not_in_the_file_or_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("WITW_CALLS_PER_HOUR", "2")
    key = "0123456789abcdef0123456789abcdef"
    quota = Quota.shared("http://x/", key)
    quota.take()
    files = [one for one in tmp_path.rglob("*") if one.is_file()]
    assert len(files) == 1
    assert all(key not in str(one) and key.encode() not in one.read_bytes() for one in files)
    Quota.shared("http://x/", key).take()
    with closing(sqlite3.connect(files[0])) as database:
        assert database.execute("SELECT count(*) FROM call").fetchone() == (2,)
    Quota.shared("http://x/", "another")
    assert len(list((tmp_path / "witw").iterdir())) == 2


# --- with the client, over HTTP


def test_too_many_requests_for_one_thread_stops_the_others(tmp_path):
    """A 429 with a time closes the gate for every thread with the key."""
    moments, lock = [], threading.Lock()

    def reply(_):
        with lock:
            moments.append(time.monotonic())
            if len(moments) == 6:
                return 429, b"<html>", {"Retry-After": "1"}
        time.sleep(0.02)
        return body([record(1)])

    quota = Quota(tmp_path / "quota.sqlite")
    with Canned(reply) as server, journal(tmp_path, server.api_url) as kept:
        # Each has its own client, like searches of several areas.
        made = [service(server.api_url, kept) for _ in range(3)]
        for one in made:
            one._client = client(server.api_url, quota=quota, pause_s=0.01)
            one._client._sleep = time.sleep

        def work(number):
            for take in range(6):
                made[number].ask(ROOT._replace(take=10 * number + take))

        crew = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
    assert len(moments) == 3 * 6 + 1
    refused = sorted(moments)[5]
    after = [moment - refused for moment in sorted(moments)[6:]]
    # Requests that were on their way arrive; all others wait for the requested second.
    assert sum(gap < 0.9 for gap in after) <= 2
    assert sum(gap >= 0.95 for gap in after) >= 11


def test_every_try_counts(tmp_path):
    clock = Clock()
    quota = Quota(tmp_path / "quota.sqlite", 4, 60.0, clock, clock.sleep)
    replies = [(503, b"", {})] * 3 + [body([record(1)])] * 2
    with Canned(lambda _: replies.pop(0)) as server, journal(tmp_path, server.api_url) as kept:
        made = service(server.api_url, kept)
        made._client = client(server.api_url, tries=5, quota=quota)
        made.ask(ROOT)
        assert clock.slept == []
        made.ask(ROOT._replace(take=1))
        assert sum(clock.slept) == pytest.approx(60)
