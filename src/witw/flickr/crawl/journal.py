"""Journal of every API call of a search, so that an interrupted search resumes.

Each area has an append-only SQLite file, ``journal/{aoi}.sqlite``, outside the outputs that
Snakemake may delete. A search looks up each query in the journal first. A query that was answered
in the same crawl (service and snapshot) is not sent again, so a repeated search makes no calls, and
an interrupted one loses only the calls in flight. The list of a finished crawl is kept too, so that
the next crawl can find removed photos.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from witw.errors import UserError
from witw.flickr.api.client import Attempt
from witw.flickr.api.records import photos_of, text
from witw.flickr.api.refusals import PAST_END
from witw.flickr.crawl.journal_file import existing, explained, opened
from witw.flickr.crawl.pages import Page
from witw.flickr.crawl.refresh import KEPT

# Fields of a listed photo that the next search needs. Nothing that the owner wrote is kept, except
# for a missed photo: it stays listed for now, and no later response may show it again.
_LISTED = (*KEPT, "owner", "first_seen", "last_seen", "is_gone")
_LARGEST = 2**63 - 1  # largest integer in SQLite


class Journal:
    """The journal of one area for one crawl; use it as a context manager.

    Args:
        path: SQLite file, created if absent.
        api_url: URL of the service.
        snapshot: Latest upload date that counts, as text.

    Raises:
        UserError: Another search holds the file, or it is not a journal.
    """

    def __init__(self, path: Path, api_url: str, snapshot: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = opened(path)
        add = "INSERT OR IGNORE INTO crawl (api_url, snapshot, finished) VALUES (?, ?, 0)"
        find = "SELECT id FROM crawl WHERE api_url = ? AND snapshot = ?"
        with self._held() as database:
            database.execute(add, (api_url, snapshot))
            (self._crawl,) = database.execute(find, (api_url, snapshot)).fetchone()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # After an error, other threads of the search may still be running.
        with self._lock:
            self._database.close()

    @contextmanager
    def _held(self) -> Iterator[sqlite3.Connection]:
        """Lock the file for one thread, as one transaction."""
        with explained(self._path), self._lock, self._database as database:
            yield database

    def record(self, query: str, attempt: Attempt, page: Page | None, flaw: str = "") -> None:
        """Append one call; the call is on disk when this returns.

        Args:
            query: Key of the query.
            attempt: The request.
            page: Page parsed from its response.
            flaw: A possible fault of the page, in a word.

        Raises:
            UserError: The file cannot be written.
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

    def answers(self, query: str, refusals: Collection[int] = (PAST_END,)) -> list[bytes]:
        """Return the response bodies for a query in this crawl, oldest first.

        Args:
            query: Key of the query.
            refusals: Error codes that also count as answers, with an empty body.
        """
        marks = ", ".join("?" * len(refusals))
        select = (
            "SELECT body FROM call WHERE crawl = ? AND query = ? "  # noqa: S608
            f"AND (body IS NOT NULL OR api_code IN ({marks})) ORDER BY id"
        )
        with self._held() as database:
            rows = database.execute(select, (self._crawl, query, *refusals)).fetchall()
        with explained(self._path):
            return [zlib.decompress(body) if body else b"" for (body,) in rows]

    def fruitless(self) -> Counter[str]:
        """Count the queries answered twice in this crawl with the same flaw, by flaw."""
        select = (
            "SELECT why, count(*) FROM (SELECT why FROM call WHERE crawl = ? AND why != '' "
            "AND body IS NOT NULL GROUP BY query, why HAVING count(*) > 1) GROUP BY why"
        )
        with self._held() as database:
            return Counter(dict(database.execute(select, (self._crawl,)).fetchall()))

    def note(self, name: str) -> str:
        """Return the text noted in this crawl under ``name``; '' if there is none."""
        select = "SELECT text FROM note WHERE crawl = ? AND name = ?"
        with self._held() as database:
            row = database.execute(select, (self._crawl, name)).fetchone()
        return str(row[0]) if row else ""

    def set_note(self, name: str, text: str) -> None:
        """Note a text for later runs of this crawl."""
        with self._held() as database:
            database.execute(
                "INSERT OR REPLACE INTO note VALUES (?, ?, ?)", (*self._key(name), text)
            )

    def settled(self, name: str, make: Callable[[], str]) -> str:
        """Return the text noted under ``name``; call ``make`` and note its result the first time.

        This keeps choices that follow from listed photos unchanged after a photo is forgotten.
        """
        text = self.note(name)
        if not text:
            text = make()
            self.set_note(name, text)
        return text

    def _key(self, name: str) -> tuple[int, str]:
        return self._crawl, name

    def restart(self) -> None:
        """Drop the responses and notes of this crawl, so that its queries are sent again."""
        with self._held() as database:
            database.execute("DELETE FROM call WHERE crawl = ?", (self._crawl,))
            database.execute("DELETE FROM note WHERE crawl = ?", (self._crawl,))

    def recall(self, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return stored photos of the previous crawl: whole rows, or records as received.

        This crawl's own list comes first, because finishing it drops the previous crawl's
        responses.
        """
        found: dict[str, dict[str, Any]] = {}
        listed = (
            "SELECT id, photo FROM listed WHERE crawl = ? OR crawl = "
            "(SELECT max(id) FROM crawl WHERE finished AND id < ?) ORDER BY crawl DESC"
        )
        bodies = (
            "SELECT body FROM call WHERE body IS NOT NULL AND crawl = "
            "(SELECT max(id) FROM crawl WHERE finished AND id < ?) ORDER BY id"
        )
        with self._held() as database:
            for photo_id, text_ in database.execute(listed, (self._crawl, self._crawl)):
                row = json.loads(text_) if photo_id in ids and photo_id not in found else {}
                if "title" in row:
                    found[photo_id] = row
            if set(ids) <= set(found):
                return found
            for (body,) in database.execute(bodies, (self._crawl,)):
                answer = json.loads(zlib.decompress(body))
                for raw in photos_of(answer) if isinstance(answer, dict) else ():
                    if text(raw.get("id")) in ids:
                        found.setdefault(text(raw.get("id")), dict(raw))
        return found

    def before(self) -> dict[str, dict[str, Any]]:
        """Return the list of the last finished crawl before this one, by photo id."""
        select = (
            "SELECT id, photo FROM listed WHERE crawl = "
            "(SELECT max(id) FROM crawl WHERE finished AND id < ?) ORDER BY id"
        )
        with self._held() as database:
            rows = database.execute(select, (self._crawl,)).fetchall()
        with explained(self._path):
            return {photo_id: json.loads(photo) for photo_id, photo in rows}

    def finish(self, photos: Iterable[Mapping[str, Any]], asked: str = "") -> None:
        """Store this crawl's list and drop the responses of earlier crawls.

        They may contain photos that have since been removed or made private.

        Args:
            photos: Rows of table ``photos``.
            asked: Digest of all inputs of the queries, see :func:`questions`.
        """
        kept = [self._kept(row) for row in photos]
        rows = [(self._crawl, row["id"], json.dumps(row)) for row in kept]
        with self._held() as database:
            database.execute("DELETE FROM listed WHERE crawl = ?", (self._crawl,))
            database.executemany("INSERT INTO listed VALUES (?, ?, ?)", rows)
            database.execute("UPDATE crawl SET finished = 1 WHERE id = ?", (self._crawl,))
            note = (*self._key("asked"), asked)
            database.execute("INSERT OR REPLACE INTO note VALUES (?, ?, ?)", note)
            database.execute("UPDATE call SET body = NULL WHERE crawl < ?", (self._crawl,))
            older = "SELECT max(id) FROM crawl WHERE finished AND id < ?"
            database.execute(
                f"DELETE FROM listed WHERE crawl < ({older})",  # noqa: S608
                (self._crawl,),
            )
            self._strip(database, [row["id"] for row in kept if row["is_gone"]])

    @staticmethod
    def _kept(row: Mapping[str, Any]) -> dict[str, Any]:
        if row["cell"] == "missed":
            return {**row, "is_missed": True}
        return {name: row[name] for name in _LISTED}

    def _strip(self, database: sqlite3.Connection, gone: Iterable[str]) -> None:
        """Remove text written by owners from earlier lists, for photos that are gone now."""
        select = "SELECT crawl, photo FROM listed WHERE id = ? AND crawl < ?"
        update = "UPDATE listed SET photo = ? WHERE crawl = ? AND id = ?"
        for photo_id in gone:
            for crawl, photo in database.execute(select, (photo_id, self._crawl)).fetchall():
                row = json.loads(photo)
                names = [name for name in (*_LISTED, "is_missed") if name in row]
                slim = json.dumps({name: row[name] for name in names})
                database.execute(update, (slim, crawl, photo_id))


def questions(spec: Mapping[str, Any]) -> str:
    """Return a digest of the inputs of a search's queries, except the service and the snapshot."""
    parts = [spec.get("version"), list(spec["bbox_deg"]), spec["search"]]
    parts += [spec["shape"]] if spec.get("shape") else []
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def needs_service(spec: Mapping[str, Any]) -> bool:
    """Return whether a search must call the service because its journal is incomplete.

    Args:
        spec: Spec of stage ``search``.
    """
    select = (
        "SELECT text FROM note JOIN crawl ON note.crawl = crawl.id "
        "WHERE name = 'asked' AND finished AND api_url = ? AND snapshot = ? "
        # Responses of earlier crawls are not kept.
        "AND crawl.id = (SELECT max(id) FROM crawl WHERE finished)"
    )
    keys = spec["flickr"]["api_url"], spec["search"]["snapshot"]
    try:
        with existing(spec["aoi"]) as database:
            found = database.execute(select, keys).fetchone() if database else None
    except UserError:  # the search itself reports faults of its journal
        return True
    return found is None or found[0] != questions(spec)


def _whole(number: int | None) -> int | None:
    return number if number is not None and -_LARGEST <= number <= _LARGEST else None
