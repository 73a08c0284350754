"""Journals of searches in the current folder, and what their files still contain."""

import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

from witw.flickr.api.client import Attempt
from witw.flickr.crawl.journal import Journal
from witw.flickr.crawl.pages import Entry, Page
from witw.store import journal_path

PAGE = Page(2, 1, 250, [Entry("1", 5), Entry("2", 4)])
URL, SNAPSHOT = "http://x/", "2025-06-15T15:06:40Z"

# A process that records calls until it is killed.
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


def attempt(content=b"{}", ok=True, code=None, number=1):
    why = "" if ok else "HTTP 503"
    return Attempt(ok, why, 200 if ok else 503, code, number, 1.5, 0.25, content if ok else b"")


def opened(aoi="oslo", url=URL, snapshot=SNAPSHOT):
    return Journal(journal_path(aoi), url, snapshot)


def blobs(path):
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT crawl, body FROM call WHERE body IS NOT NULL").fetchall()
    return [(crawl, zlib.decompress(content)) for crawl, content in rows]


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
