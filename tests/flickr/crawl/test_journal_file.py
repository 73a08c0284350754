"""A journal's file is held by one search, and a faulty one is explained."""

import os
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing

import pytest
from journals import PAGE, WRITER, attempt, opened

from witw.errors import UserError
from witw.flickr.crawl import removal
from witw.store import journal_path


def sentence(error):
    said = str(error.value)
    assert "\n" not in said
    assert said.endswith(".")
    assert "oslo.sqlite" in said
    return said


def test_a_second_search_of_an_area_is_refused(run_folder):
    with opened() as kept:
        for act in (
            opened,
            lambda: removal.find("oslo", ["1"], ()),
            lambda: removal.scrub("oslo", ["1"], ()),
        ):
            with pytest.raises(UserError) as error:
                act()
            assert "in use by another search of this area" in sentence(error)
        with opened("bergen"):
            pass
        kept.record("a", attempt(), PAGE)
    with opened() as kept:
        assert kept.answers("a") == [b"{}"]


def test_a_second_process_is_refused_and_a_dead_one_holds_nothing(run_folder):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), "0"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=run_folder,
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
def test_a_file_that_is_not_a_journal_is_reported_and_left_alone(run_folder, content):
    path = journal_path("oslo")
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        opened()
    assert "delete it" in sentence(error)
    assert path.read_bytes() == content


def test_another_database_is_reported(run_folder):
    path = journal_path("oslo")
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE call (at REAL)")
    with pytest.raises(UserError) as error:
        opened()
    sentence(error)


def test_an_impossible_folder_is_reported(run_folder):
    journal_path("oslo").parent.write_text("a file")
    with pytest.raises(UserError) as error:
        opened()
    sentence(error)


def test_a_full_disk_is_reported_and_recorded_calls_stay(run_folder):
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


def test_a_file_broken_in_the_middle_is_reported(run_folder):
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
