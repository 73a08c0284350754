"""The SQLite file of a journal: its tables, its lock, and its faults in one sentence."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from witw.errors import UserError
from witw.store import journal_path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS crawl (
    id INTEGER PRIMARY KEY, api_url TEXT, snapshot TEXT, finished INTEGER,
    UNIQUE (api_url, snapshot)
);
CREATE TABLE IF NOT EXISTS call (
    id INTEGER PRIMARY KEY, crawl INTEGER, query TEXT, try INTEGER, started REAL, ms REAL,
    http_status INTEGER, api_code INTEGER, why TEXT,
    total INTEGER, pages INTEGER, photos INTEGER, sha256 TEXT, body BLOB
);
CREATE INDEX IF NOT EXISTS call_query ON call (crawl, query);
CREATE TABLE IF NOT EXISTS listed (
    crawl INTEGER, id TEXT, photo TEXT, PRIMARY KEY (crawl, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS note (
    crawl INTEGER, name TEXT, text TEXT, PRIMARY KEY (crawl, name)
) WITHOUT ROWID;
"""


@contextmanager
def existing(aoi: str) -> Iterator[sqlite3.Connection | None]:
    """Open an area's journal for one block; None if the area has none.

    Raises:
        UserError: A search holds the file, or it is not a journal.
    """
    path = journal_path(aoi)
    if not path.is_file():
        yield None
        return
    with explained(path), closing(opened(path)) as database:
        yield database


def opened(path: Path) -> sqlite3.Connection:
    """Open a journal, created if absent, and hold it until it is closed."""
    database = sqlite3.connect(path, timeout=1, check_same_thread=False)
    # The lock lasts until the file is closed: two searches of one area would answer each other's
    # queries. Exclusive mode also avoids shared memory, which network file systems lack.
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA secure_delete = ON")
    database.executescript(_SCHEMA)
    return database


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the system in this block into one sentence about the file.

    Raises:
        UserError: The file is in use, cannot be used, or is not a journal.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise UserError(
                f"{path} is in use by another search of this area; wait until that search ends."
            ) from None
        raise UserError(f"{path} cannot be used ({error}); fix that and run again.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be used ({error}); fix that and run again.") from None
    except (sqlite3.DatabaseError, zlib.error, json.JSONDecodeError) as error:
        raise UserError(
            f"{path} is not a search journal ({error}); delete it to search the area again."
        ) from None
