"""Journal of every API call of a search, so that a killed search resumes.

An append-only SQLite file for each AOI, ``journal/{aoi}.sqlite``, outside the outputs that
Snakemake may delete. A search asks the journal first: the same question of the same crawl (service
and snapshot) was answered before, and is not asked again. So a search that is run once more costs
no call, and one that was killed loses the calls in flight. What a finished crawl listed is kept as
well, for the next one to find what is gone.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from witw.errors import UserError
from witw.flickr.api.client import PAST_END, Attempt
from witw.flickr.api.records import text
from witw.flickr.crawl.pages import Page
from witw.flickr.crawl.refresh import KEPT
from witw.forgotten import Forgotten, alias
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
"""

# What of a listed photo the next search needs; nothing that its owner wrote.
_LISTED = (*KEPT, "owner", "first_seen", "last_seen", "is_gone")
_LARGEST = 2**63 - 1  # whole number in SQLite


class Journal:
    """The journal of one AOI, for one crawl; use it as a context manager.

    Args:
        path: the file; made if absent.
        api_url: service.
        snapshot: latest upload date that counts, as text.

    Raises:
        UserError: another search holds the file, or it is none of these.
    """

    def __init__(self, path: Path, api_url: str, snapshot: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = _opened(path)
        add = "INSERT OR IGNORE INTO crawl (api_url, snapshot, finished) VALUES (?, ?, 0)"
        find = "SELECT id FROM crawl WHERE api_url = ? AND snapshot = ?"
        with self._held() as database:
            database.execute(add, (api_url, snapshot))
            (self._crawl,) = database.execute(find, (api_url, snapshot)).fetchone()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Other threads may still be at work when an error ends a search.
        with self._lock:
            self._database.close()

    @contextmanager
    def _held(self) -> Iterator[sqlite3.Connection]:
        """The file for one thread; what is done to it is done at the end, or not at all."""
        with _explained(self._path), self._lock, self._database as database:
            yield database

    def record(self, query: str, attempt: Attempt, page: Page | None, flaw: str = "") -> None:
        """Append one call; it is on disk when this returns.

        Args:
            query: key of the question.
            attempt: how it went.
            page: what was read from its answer.
            flaw: what might be wrong with that, in a word.

        Raises:
            UserError: the file cannot be written.
        """
        row = (
            self._crawl,
            query,
            attempt.number,
            attempt.started,
            round(attempt.seconds * 1000, 1),
            attempt.status,
            _whole(attempt.code),
            attempt.why or flaw,
            page and page.total,
            page and page.pages,
            page and len(page.entries),
            hashlib.sha256(attempt.body).hexdigest() if attempt.body else None,
            zlib.compress(attempt.body, 3) if attempt.body else None,
        )
        marks = ", ".join("?" * len(row))
        columns = "crawl, query, try, started, ms, http_status, api_code, why, total, pages, photos"
        insert = f"INSERT INTO call ({columns}, sha256, body) VALUES ({marks})"  # noqa: S608
        with self._held() as database:
            database.execute(insert, row)

    def answers(self, query: str) -> list[bytes]:
        """Bodies that answered a question in this crawl, oldest first; empty: past the end."""
        select = (
            "SELECT body FROM call WHERE crawl = ? AND query = ? "
            "AND (body IS NOT NULL OR api_code = ?) ORDER BY id"
        )
        with self._held() as database:
            rows = database.execute(select, (self._crawl, query, PAST_END)).fetchall()
        with _explained(self._path):
            return [zlib.decompress(body) if body else b"" for (body,) in rows]

    def fruitless(self) -> Counter[str]:
        """How many questions were answered twice in this crawl with the same flaw, by flaw."""
        select = (
            "SELECT why, count(*) FROM (SELECT why FROM call WHERE crawl = ? AND why != '' "
            "AND body IS NOT NULL GROUP BY query, why HAVING count(*) > 1) GROUP BY why"
        )
        with self._held() as database:
            return Counter(dict(database.execute(select, (self._crawl,)).fetchall()))

    def before(self) -> dict[str, dict[str, Any]]:
        """What the last finished crawl before this one listed, by id."""
        select = (
            "SELECT id, photo FROM listed WHERE crawl = "
            "(SELECT max(id) FROM crawl WHERE finished AND id < ?) ORDER BY id"
        )
        with self._held() as database:
            rows = database.execute(select, (self._crawl,)).fetchall()
        with _explained(self._path):
            return {photo_id: json.loads(photo) for photo_id, photo in rows}

    def finish(self, photos: Iterable[Mapping[str, Any]]) -> None:
        """Keep what this crawl listed; the answers of earlier ones are no longer needed.

        Photos that were removed or made private since must not live on in them.
        """
        kept = [{name: row[name] for name in _LISTED} for row in photos]
        rows = [(self._crawl, row["id"], json.dumps(row)) for row in kept]
        with self._held() as database:
            database.execute("DELETE FROM listed WHERE crawl = ?", (self._crawl,))
            database.executemany("INSERT INTO listed VALUES (?, ?, ?)", rows)
            database.execute("UPDATE crawl SET finished = 1 WHERE id = ?", (self._crawl,))
            database.execute("UPDATE call SET body = NULL WHERE crawl < ?", (self._crawl,))
            older = "SELECT max(id) FROM crawl WHERE finished AND id < ?"
            database.execute(
                f"DELETE FROM listed WHERE crawl < ({older})",  # noqa: S608
                (self._crawl,),
            )


def _whole(number: int | None) -> int | None:
    return number if number is not None and -_LARGEST <= number <= _LARGEST else None


def find(aoi: str, ids: Collection[str], owners: Collection[str]) -> set[str]:
    """Ids of an AOI's journal that are among ``ids`` or belong to ``owners``."""
    with _existing(aoi) as database:
        rows = (row for _, answer in _bodies(database) for row in _photos(answer))
        found = {text(row.get("id")) for row in rows if _is_one(row, ids, owners)}
        listed = database.execute("SELECT photo FROM listed").fetchall() if database else []
        kept = (json.loads(photo) for (photo,) in listed)
        return found | {row["id"] for row in kept if _is_one(row, ids, owners)}


def scrub(aoi: str, ids: Collection[str], owners: Collection[str]) -> int:
    """Take photos out of an AOI's journal, see :func:`redact`.

    Returns:
        How many photos were taken out.
    """
    gone = find(aoi, ids, owners)
    with _existing(aoi) as database:
        if database is None or not gone:
            return len(gone)
        removed = Forgotten(frozenset(gone), frozenset(owners))
        for number, answer in list(_bodies(database)):
            if redact(answer, removed):
                body = zlib.compress(json.dumps(answer).encode(), 3)
                database.execute("UPDATE call SET body = ? WHERE id = ?", (body, number))
        database.executemany("DELETE FROM listed WHERE id = ?", [(one,) for one in gone])
        database.commit()
        # What was deleted must not stay behind in free pages of the file.
        database.execute("VACUUM")
    return len(gone)


def redact(answer: Mapping[str, Any], removed: Forgotten) -> bool:
    """Take forgotten photos out of an answer, in place; whether there were any.

    Of each stay an alias, the upload date and the licence: what the next question follows from, so
    that a search that is run once more asks the same.
    """
    is_changed = False
    for row in _photos(answer):
        if isinstance(row, dict) and removed.covers(text(row.get("id")), text(row.get("owner"))):
            kept = {name: row.get(name) for name in ("dateupload", "license")}
            kept["id"] = alias(text(row.get("id")))
            row.clear()
            row.update(kept)
            is_changed = True
    return is_changed


def _is_one(row: Mapping[str, Any], ids: Collection[str], owners: Collection[str]) -> bool:
    return text(row.get("id")) in ids or text(row.get("owner")) in owners


def _photos(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    group = answer.get("photos")
    rows = group.get("photo") if isinstance(group, Mapping) else None
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _bodies(database: sqlite3.Connection | None) -> Iterator[tuple[int, dict[str, Any]]]:
    if database is not None:
        for number, body in database.execute("SELECT id, body FROM call WHERE body IS NOT NULL"):
            answer = json.loads(zlib.decompress(body))
            if isinstance(answer, dict):
                yield number, answer


@contextmanager
def _existing(aoi: str) -> Iterator[sqlite3.Connection | None]:
    path = journal_path(aoi)
    if not path.is_file():
        yield None
        return
    with _explained(path), closing(_opened(path)) as database:
        yield database


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=1, check_same_thread=False)
    # Held until it is closed: two searches of one AOI would answer each other's questions. It
    # also spares the shared memory beside the file, which network file systems lack.
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA secure_delete = ON")
    database.executescript(_SCHEMA)
    return database


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise UserError(
                f"{path} is in use: another search of this area is at work; wait for it to end."
            ) from None
        raise UserError(f"{path} cannot be used ({error}); put that right.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be used ({error}); put that right.") from None
    except (sqlite3.DatabaseError, zlib.error, json.JSONDecodeError) as error:
        raise UserError(
            f"{path} is not a search's journal ({error}); delete it, and the area is searched anew."
        ) from None
