"""The journal: no recorded data is lost, and no removed data is kept."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import zlib
from contextlib import closing
from pathlib import Path

import pytest
from answers import ROOT, Canned, answer, body, journal, listing, record, row, service

from witw.errors import UserError
from witw.flickr.api.client import Attempt
from witw.flickr.crawl import journal as module
from witw.flickr.crawl.journal import Journal
from witw.flickr.crawl.pages import Entry, Page
from witw.store import journal_path

PAGE = Page(2, 1, 250, [Entry("1", 5), Entry("2", 4)])
URL, SNAPSHOT = "http://x/", "2025-06-15T15:06:40Z"


def attempt(content=b"{}", ok=True, code=None, number=1):
    why = "" if ok else "HTTP 503"
    return Attempt(ok, why, 200 if ok else 503, code, number, 1.5, 0.25, content if ok else b"")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A run folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def opened(aoi="oslo", url=URL, snapshot=SNAPSHOT):
    return Journal(journal_path(aoi), url, snapshot)


# --- what is recorded


def test_answers_come_back_in_order_for_their_question_and_crawl_only(here):
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


def test_past_the_end_is_an_answer_and_other_refusals_are_not(here):
    with opened() as kept:
        kept.record("a", attempt(ok=False, code=20), None)
        kept.record("b", attempt(ok=False, code=201), None)
        assert kept.answers("a") == [b""]
        assert kept.answers("b") == []


def test_every_call_is_recorded_with_its_outcome(here):
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


def test_numbers_that_no_table_holds_are_recorded_all_the_same(here):
    with opened() as kept:
        kept.record("a", attempt(ok=False, code=10**30), None)
        kept.record("a", attempt(b"body"), PAGE)
        assert kept.answers("a") == [b"body"]


def test_threads_share_a_journal(here):
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


# --- killed

WRITER = """
    import os, sys, zlib
    from pathlib import Path
    from witw.flickr.api.client import Attempt
    from witw.flickr.crawl.journal import Journal
    from witw.flickr.crawl.pages import Page

    first = int(sys.argv[1])
    with Journal(Path("journal/oslo.sqlite"), "http://x/", "s") as kept:
        print("open", flush=True)
        for number in range(first, first + 100_000):
            # Does not compress: as long as a page of answers.
            text = b"%d " % number + os.urandom(20_000)
            kept.record(f"q{number}", Attempt(True, "", 200, None, 1, 0.0, 0.0, text), None)
            print(number, flush=True)
"""


def test_killed_at_any_moment_it_has_every_call_that_was_recorded(here):
    chance = random.Random(7)
    written = set()
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(len(written))],
            stdout=subprocess.PIPE,
            text=True,
            cwd=here,
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


# --- files that are none, or not ours


def sentence(error):
    said = str(error.value)
    assert "\n" not in said
    assert said.endswith(".")
    assert "oslo.sqlite" in said
    return said


def test_a_second_search_of_an_area_is_refused(here):
    with opened() as kept:
        for act in (opened, lambda: module.find("oslo", ["1"], ()), lambda: scrub(["1"])):
            with pytest.raises(UserError) as error:
                act()
            assert "in use by another search of this area" in sentence(error)
        with opened("bergen"):
            pass
        kept.record("a", attempt(), PAGE)
    with opened() as kept:
        assert kept.answers("a") == [b"{}"]


def test_a_second_process_is_refused_and_a_dead_one_holds_nothing(here):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), "0"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=here,
    )
    assert process.stdout.readline() == "open\n"
    with pytest.raises(UserError, match="another search of this area") as error:
        opened()
    sentence(error)
    process.kill()
    process.communicate()
    with opened():
        pass


@pytest.mark.parametrize("content", [b"PAR1" * 500, b"\x00" * 4096, os.urandom(9_000)])
def test_a_file_that_is_not_a_journal_is_reported_and_left_alone(here, content):
    path = journal_path("oslo")
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        opened()
    assert "delete it" in sentence(error)
    assert path.read_bytes() == content


def test_another_database_is_reported(here):
    path = journal_path("oslo")
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE call (at REAL)")
    with pytest.raises(UserError) as error:
        opened()
    sentence(error)


def test_an_impossible_folder_is_reported(here):
    journal_path("oslo").parent.write_text("a file")
    with pytest.raises(UserError) as error:
        opened()
    sentence(error)


def test_a_full_disk_is_reported_and_recorded_calls_stay(here):
    with opened() as kept:
        kept.record("a", attempt(b"small"), PAGE)
        pages = kept._database.execute("PRAGMA page_count").fetchone()[0]
        kept._database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(UserError, match="full") as error:
            kept.record("b", attempt(os.urandom(500_000)), PAGE)
        sentence(error)
    with opened() as kept:
        assert kept.answers("a") == [b"small"]
        assert kept.answers("b") == []


def test_a_file_broken_in_the_middle_is_reported(here):
    with opened() as kept:
        for number in range(50):
            kept.record(f"{number}", attempt(os.urandom(5_000)), PAGE)
    path = journal_path("oslo")
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(bytes(content))
    with pytest.raises(UserError) as error, opened() as kept:
        for number in range(50):
            kept.answers(f"{number}")
    assert "delete it" in sentence(error)


# --- crawls


def test_the_crawl_before_is_the_last_one_that_was_finished(here):
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


def test_a_later_crawl_at_another_service_comes_after_it_too(here):
    with opened() as kept:
        kept.finish([row(1)])
        assert kept.before() == {}
    with opened(url="http://mirror/") as kept:
        assert set(kept.before()) == {"1"}


def test_a_crawl_can_be_finished_again(here):
    with opened(snapshot="1") as kept:
        kept.finish([row(1), row(2)])
        kept.finish([row(2), row(3)])
    with opened(snapshot="2") as kept:
        assert set(kept.before()) == {"2", "3"}


def blobs(path):
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT crawl, body FROM call WHERE body IS NOT NULL").fetchall()
    return [(crawl, zlib.decompress(content)) for crawl, content in rows]


def test_responses_of_earlier_crawls_are_dropped_when_one_finishes(here):
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


def test_owners_texts_are_not_kept_for_the_next_crawl(here):
    with opened() as kept:
        kept.finish([row(1, title="Confession", owner_name="Jane Doe", url="http://secret/")])
    found = everything(journal_path("oslo"))
    assert b"00000001@N00" in found  # by which an owner is forgotten
    for text in (b"Confession", b"Jane Doe", b"http://secret/"):
        assert text not in found


# --- photos taken out


def everything(path):
    """Return all bytes of the file and of the files beside it."""
    beside = [one for one in Path(path).parent.iterdir() if one.name.startswith(path.name)]
    return b"".join(one.read_bytes() for one in sorted(beside))


def traces(path, content):
    """Return the number of windows of the stored data that remain in the file's bytes."""
    stored = zlib.compress(content, 3)
    windows = [stored[start : start + 24] for start in range(8, len(stored) - 24, 24)]
    assert len(windows) > 3
    found = everything(path)
    return sum(window in found for window in windows)


def scrub(ids=(), owners=()):
    return module.scrub("oslo", ids, owners)


def noisy(number, **changes):
    """Return an incompressible record, so that its bytes can be found again."""
    return record(number, title=os.urandom(600).hex(), **changes)


def filled(here, *bodies):
    with opened() as kept:
        for number, content in enumerate(bodies):
            kept.record(f"q{number}", attempt(content), PAGE)
        kept.finish([row(record(n)["id"], owner=record(n)["owner"]) for n in range(20)])


@pytest.mark.parametrize("by", ["id", "owner"])
def test_a_removed_photo_leaves_no_trace(here, by):
    photos = [noisy(n) for n in range(20)]
    first, second = body(photos[:10]), body(photos[5:])
    filled(here, first, second, b'["no answer of the API"]', body([None, 7, "x", *photos[:2]]))
    chosen = {"ids": [photos[7]["id"]]} if by == "id" else {"owners": [photos[7]["owner"]]}
    gone = {p["id"] for p in photos if p[by] == photos[7][by]}
    assert module.find("oslo", chosen.get("ids", ()), chosen.get("owners", ())) == gone
    before = traces(journal_path("oslo"), first)
    assert before > 10
    assert scrub(**chosen) == len(gone)
    assert module.find("oslo", (), chosen.get("owners", ())) == set()
    stored = [content for _, content in blobs(journal_path("oslo"))]
    text = b" ".join(stored) + everything(journal_path("oslo"))
    for photo in photos:
        is_there = photo["title"].encode() in text
        assert is_there == (photo["id"] not in gone)
    # The old compressed bytes are gone from free pages too; a common prefix may remain.
    assert traces(journal_path("oslo"), first) <= 0.6 * before
    assert not list(journal_path("oslo").parent.glob("*-wal"))
    with opened(snapshot="later") as kept:
        assert not gone & set(kept.before())
        assert len(kept.before()) == 20 - len(gone)


def test_a_first_photo_removed_leaves_none_of_the_bytes(here):
    photos = [noisy(n) for n in range(3)]
    content = json.dumps({"photos": {"photo": photos, "total": 3}, "stat": "ok"}).encode()
    filled(here, content)
    assert traces(journal_path("oslo"), content) > 10
    assert scrub([photo["id"] for photo in photos]) == 3
    assert traces(journal_path("oslo"), content) == 0


def test_a_killed_searchs_journal_is_scrubbed_with_its_side_files(here):
    """The log beside the file contains responses too, until the file is opened again."""
    secret = os.urandom(3_000)
    code = f"""
        import os
        from pathlib import Path
        from witw.flickr.api.client import Attempt
        from witw.flickr.crawl.journal import Journal
        import json
        kept = Journal(Path("journal/oslo.sqlite"), "http://x/", "s")
        raw = {{"id": "5", "owner": "o", "title": "{secret.hex()}", "dateupload": "9"}}
        text = json.dumps({{"photos": {{"photo": [raw]}}, "stat": "ok"}}).encode()
        kept.record("a", Attempt(True, "", 200, None, 1, 0.0, 0.0, text), None)
        os.kill(os.getpid(), 9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=here, check=False)
    path = journal_path("oslo")
    raw = {"id": "5", "owner": "o", "title": secret.hex(), "dateupload": "9"}
    content = json.dumps({"photos": {"photo": [raw]}, "stat": "ok"}).encode()
    assert path.with_name("oslo.sqlite-wal").stat().st_size > 0
    assert traces(path, content) > 10
    assert scrub((), ["o"]) == 1
    assert traces(path, content) == 0
    assert not path.with_name("oslo.sqlite-wal").exists()


def test_nothing_to_remove_changes_nothing(here):
    assert module.find("oslo", ["1"], ()) == set()
    assert scrub(["1"]) == 0
    assert not journal_path("oslo").exists()
    filled(here, body([record(1)]))
    content = journal_path("oslo").read_bytes()
    assert scrub(["1"], ["2@N00"]) == 0
    assert journal_path("oslo").read_bytes() == content


def test_an_owners_record_without_a_valid_id_is_removed_too(here):
    owner = record(1)["owner"]
    bad = [record(1, id=None), record(1, id="../x"), record(1, id=["5"]), record(2, id="")]
    filled(here, body([*bad, record(3)]))
    scrub(owners=[owner])
    ((_, stored),) = blobs(journal_path("oslo"))
    assert owner.encode() not in stored
    assert record(3)["owner"].encode() in stored


def test_the_replay_after_a_removal_lists_all_the_others_without_a_call(here):
    photos = [record(n) for n in range(20)]
    queries = [ROOT._replace(take=take) for take in range(6)]
    with Canned(lambda _: body(photos)) as server:
        with journal(here, server.api_url) as kept:
            made = service(server.api_url, kept)
            pages = [made.ask(query) for query in queries]
        spent = len(server.asked)
        assert scrub([photos[3]["id"]], [photos[5]["owner"]]) > 1
        lost = {photos[3]["id"], *(p["id"] for p in photos if p["owner"] == photos[5]["owner"])}
        found = listing()
        with journal(here, server.api_url) as kept:
            made = service(server.api_url, kept, found)
            again = [made.ask(query) for query in queries]
        assert len(server.asked) == spent
    assert set(found.photos) == {p["id"] for p in photos} - lost
    for old, new in zip(pages, again, strict=True):
        assert (new.total, new.pages, new.uploads) == (old.total, old.pages, old.uploads)
        pairs = list(zip(old.entries, new.entries, strict=True))
        assert {one.id for one, other in pairs if other.flaw} == lost
        assert all(one == other for one, other in pairs if one.id not in lost)
        # Each is still a distinct photo, so that the ledger balances as before.
        assert len(set(new.ids)) == len(set(old.ids))
    assert again[0].ids == again[1].ids
    assert not any(photo_id in str(found.left_out) for photo_id in lost)
    assert module.find("oslo", lost, ()) == set()


@pytest.mark.parametrize("title", [float("nan"), 10**400, "\ud83d", {"_content": "x"}, [None]])
def test_other_records_survive_a_removal_as_they_were(here, title):
    whole = answer([record(1), record(2, title=title), record(3, latitude=float("inf"))])
    filled(here, json.dumps(whole).encode())
    scrub([record(1)["id"]])
    ((_, stored),) = blobs(journal_path("oslo"))
    rest = json.loads(stored)["photos"]["photo"][1:]
    assert json.dumps(rest) == json.dumps(whole["photos"]["photo"][1:])
