"""The journal: no recorded call is lost, and a crawl follows the last finished one."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from contextlib import closing

from answers import row
from journals import PAGE, WRITER, attempt, blobs, everything, opened, traces

from witw.store import journal_path


def test_answers_come_back_in_order_for_their_question_and_crawl_only(run_folder):
    with opened() as kept:
        kept.record("a", attempt(ok=False), None)
        assert kept.answers("a") == []
        kept.record("a", attempt(b"one", number=2), PAGE)
        kept.record("b", attempt(b"other"), PAGE)
        kept.record("a", attempt(b"two"), PAGE)
        assert kept.answers("a") == [b"one", b"two"]
    with opened() as kept:
        assert kept.answers("a") == [b"one", b"two"]
        assert kept.answers("b") == [b"other"]
        assert kept.answers("c") == []
    for changed in ({"url": "http://y/"}, {"snapshot": "2026-01-01T00:00:00Z"}):
        with opened(**changed) as kept:
            assert kept.answers("a") == []


def test_past_the_end_is_an_answer_and_other_refusals_are_not(run_folder):
    with opened() as kept:
        kept.record("a", attempt(ok=False, code=20), None)
        kept.record("b", attempt(ok=False, code=201), None)
        assert kept.answers("a") == [b""]
        assert kept.answers("b") == []


def test_every_call_is_recorded_with_its_outcome(run_folder):
    with opened() as kept:
        kept.record("a", attempt(ok=False), None)
        kept.record("a", attempt(b"body", number=2), PAGE, "order")
    with closing(sqlite3.connect(journal_path("oslo"))) as database:
        database.row_factory = sqlite3.Row
        first, second = map(dict, database.execute("SELECT * FROM call ORDER BY id"))
    assert (first["try"], first["http_status"], first["why"], first["body"]) == (
        (1, 503, "HTTP 503", None)
    )
    assert (second["try"], second["ms"], second["total"], second["photos"]) == (2, 250.0, 2, 2)
    assert second["why"] == "order"
    assert second["sha256"] == "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5"


def test_numbers_that_no_table_holds_are_recorded_all_the_same(run_folder):
    with opened() as kept:
        kept.record("a", attempt(ok=False, code=10**30), None)
        kept.record("a", attempt(b"body"), PAGE)
        assert kept.answers("a") == [b"body"]


def test_threads_share_a_journal(run_folder):
    with opened() as kept:

        def work(number):
            for one in range(25):
                kept.record(f"{number}", attempt(f"{number}-{one}".encode()), PAGE)

        crew = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
        for number in range(8):
            assert kept.answers(f"{number}") == [f"{number}-{n}".encode() for n in range(25)]


def test_killed_at_any_moment_it_has_every_call_that_was_recorded(run_folder):
    chance = random.Random(7)
    written = set()
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(len(written))],
            stdout=subprocess.PIPE,
            text=True,
            cwd=run_folder,
        )
        assert process.stdout.readline() == "open\n"
        for _ in range(chance.randrange(1, 60)):
            written.add(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
        # Its output before it died, except an incomplete last line.
        rest = process.stdout.read().splitlines(keepends=True)
        process.wait()
        process.stdout.close()
        written |= {int(line) for line in rest if line.endswith("\n")}
        with closing(sqlite3.connect(journal_path("oslo"))) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        with opened(snapshot="s") as kept:
            for number in written:
                (content,) = kept.answers(f"q{number}")
                assert content.startswith(b"%d " % number)
                assert len(content) > 20_000
            extra = {f"q{max(written) + 1}"}
            more = [q for q in extra if kept.answers(q)]
        # At most the call in progress was recorded without having been reported.
        written |= {int(q[1:]) for q in more}
    assert len(written) > 50


def test_the_crawl_before_is_the_last_one_that_was_finished(run_folder):
    snapshots = ["2025-01-01", "2025-02-01", "2025-03-01", "2025-04-01"]
    for number, snapshot in enumerate(snapshots):
        with opened(snapshot=snapshot) as kept:
            kept.record("a", attempt(b"body"), PAGE)
            if number != 2:  # interrupted for good
                kept.finish([row(number), row(100 + number)])
    before = {"2025-01-01": [], "2025-04-01": ["1", "101"]}
    for snapshot, ids in before.items():
        with opened(snapshot=snapshot) as kept:
            assert sorted(kept.before()) == ids


def test_a_later_crawl_at_another_service_comes_after_it_too(run_folder):
    with opened() as kept:
        kept.finish([row(1)])
        assert kept.before() == {}
    with opened(url="http://mirror/") as kept:
        assert set(kept.before()) == {"1"}


def test_a_crawl_can_be_finished_again(run_folder):
    with opened(snapshot="1") as kept:
        kept.finish([row(1), row(2)])
        kept.finish([row(2), row(3)])
    with opened(snapshot="2") as kept:
        assert set(kept.before()) == {"2", "3"}


def test_responses_of_earlier_crawls_are_dropped_when_one_finishes(run_folder):
    old, new = os.urandom(3_000), os.urandom(3_000)
    with opened(snapshot="1") as kept:
        kept.record("a", attempt(old), PAGE)
        kept.finish([row(1)])
        assert kept.answers("a") == [old]
    with opened(snapshot="2") as kept:
        kept.record("a", attempt(new), PAGE)
    assert [content for _, content in blobs(journal_path("oslo"))] == [old, new]
    with opened(snapshot="2") as kept:
        kept.finish([row(1)])
        assert kept.answers("a") == [new]
    assert [content for _, content in blobs(journal_path("oslo"))] == [new]
    assert traces(journal_path("oslo"), old) == 0
    assert traces(journal_path("oslo"), new) > 0


def test_owners_texts_are_not_kept_for_the_next_crawl(run_folder):
    with opened() as kept:
        kept.finish([row(1, title="Confession", owner_name="Jane Doe", url="http://secret/")])
    found = everything(journal_path("oslo"))
    assert b"00000001@N00" in found  # by which an owner is forgotten
    for text in (b"Confession", b"Jane Doe", b"http://secret/"):
        assert text not in found
