"""Forgotten photos leave no trace in a journal, and a repeated search sends no call."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from answers import ROOT, Canned, answer, body, journal, listing, record, row, service
from journals import PAGE, attempt, blobs, everything, opened, traces

from witw.flickr.crawl import removal
from witw.store import journal_path


def scrub(ids=(), owners=()):
    return removal.scrub("oslo", ids, owners)


def noisy(number, **changes):
    """Return an incompressible record, so that its bytes can be found again."""
    return record(number, title=os.urandom(600).hex(), **changes)


def filled(*bodies):
    with opened() as kept:
        for number, content in enumerate(bodies):
            kept.record(f"q{number}", attempt(content), PAGE)
        kept.finish([row(record(n)["id"], owner=record(n)["owner"]) for n in range(20)])


@pytest.mark.parametrize("by", ["id", "owner"])
def test_a_removed_photo_leaves_no_trace(run_folder, by):
    photos = [noisy(n) for n in range(20)]
    first, second = body(photos[:10]), body(photos[5:])
    filled(first, second, b'["no answer of the API"]', body([None, 7, "x", *photos[:2]]))
    chosen = {"ids": [photos[7]["id"]]} if by == "id" else {"owners": [photos[7]["owner"]]}
    gone = {p["id"] for p in photos if p[by] == photos[7][by]}
    assert removal.find("oslo", chosen.get("ids", ()), chosen.get("owners", ())) == gone
    before = traces(journal_path("oslo"), first)
    assert before > 10
    assert scrub(**chosen) == len(gone)
    assert removal.find("oslo", (), chosen.get("owners", ())) == set()
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


def test_a_first_photo_removed_leaves_none_of_the_bytes(run_folder):
    photos = [noisy(n) for n in range(3)]
    content = json.dumps({"photos": {"photo": photos, "total": 3}, "stat": "ok"}).encode()
    filled(content)
    assert traces(journal_path("oslo"), content) > 10
    assert scrub([photo["id"] for photo in photos]) == 3
    assert traces(journal_path("oslo"), content) == 0


def test_a_killed_searchs_journal_is_scrubbed_with_its_side_files(run_folder):
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
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=run_folder, check=False)
    path = journal_path("oslo")
    raw = {"id": "5", "owner": "o", "title": secret.hex(), "dateupload": "9"}
    content = json.dumps({"photos": {"photo": [raw]}, "stat": "ok"}).encode()
    assert path.with_name("oslo.sqlite-wal").stat().st_size > 0
    assert traces(path, content) > 10
    assert scrub((), ["o"]) == 1
    assert traces(path, content) == 0
    assert not path.with_name("oslo.sqlite-wal").exists()


def test_nothing_to_remove_changes_nothing(run_folder):
    assert removal.find("oslo", ["1"], ()) == set()
    assert scrub(["1"]) == 0
    assert not journal_path("oslo").exists()
    filled(body([record(1)]))
    content = journal_path("oslo").read_bytes()
    assert scrub(["1"], ["2@N00"]) == 0
    assert journal_path("oslo").read_bytes() == content


def test_an_owners_record_without_a_valid_id_is_removed_too(run_folder):
    owner = record(1)["owner"]
    bad = [record(1, id=None), record(1, id="../x"), record(1, id=["5"]), record(2, id="")]
    filled(body([*bad, record(3)]))
    scrub(owners=[owner])
    ((_, stored),) = blobs(journal_path("oslo"))
    assert owner.encode() not in stored
    assert record(3)["owner"].encode() in stored


def test_the_replay_after_a_removal_lists_all_the_others_without_a_call(run_folder):
    photos = [record(n) for n in range(20)]
    queries = [ROOT._replace(take=take) for take in range(6)]
    with Canned(lambda _: body(photos)) as server:
        with journal(run_folder, server.api_url) as kept:
            made = service(server.api_url, kept)
            pages = [made.ask(query) for query in queries]
        spent = len(server.asked)
        assert scrub([photos[3]["id"]], [photos[5]["owner"]]) > 1
        lost = {photos[3]["id"], *(p["id"] for p in photos if p["owner"] == photos[5]["owner"])}
        found = listing()
        with journal(run_folder, server.api_url) as kept:
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
    assert removal.find("oslo", lost, ()) == set()


@pytest.mark.parametrize("title", [float("nan"), 10**400, "\ud83d", {"_content": "x"}, [None]])
def test_other_records_survive_a_removal_as_they_were(run_folder, title):
    whole = answer([record(1), record(2, title=title), record(3, latitude=float("inf"))])
    filled(json.dumps(whole).encode())
    scrub([record(1)["id"]])
    ((_, stored),) = blobs(journal_path("oslo"))
    rest = json.loads(stored)["photos"]["photo"][1:]
    assert json.dumps(rest) == json.dumps(whole["photos"]["photo"][1:])
