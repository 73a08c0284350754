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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
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
CREATE TABLE IF NOT EXISTS note (
    crawl INTEGER, name TEXT, text TEXT, PRIMARY KEY (crawl, name)
) WITHOUT ROWID;
"""

# What of a listed photo the next search needs; nothing that its owner wrote, unless the photo was
# missed: it stays in the list for now, and no later answer may show it again.
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

    def answers(self, query: str, refusals: Collection[int] = (PAST_END,)) -> list[bytes]:
        """Bodies that answered a question in this crawl, oldest first.

        Args:
            query: key of the question.
            refusals: codes that are answers too, as an empty body.
        """
        marks = ", ".join("?" * len(refusals))
        select = (
            "SELECT body FROM call WHERE crawl = ? AND query = ? "  # noqa: S608
            f"AND (body IS NOT NULL OR api_code IN ({marks})) ORDER BY id"
        )
        with self._held() as database:
            rows = database.execute(select, (self._crawl, query, *refusals)).fetchall()
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

    def note(self, name: str) -> str:
        """What was noted in this crawl under a name; '' if nothing."""
        select = "SELECT text FROM note WHERE crawl = ? AND name = ?"
        with self._held() as database:
            row = database.execute(select, (self._crawl, name)).fetchone()
        return str(row[0]) if row else ""

    def set_note(self, name: str, text: str) -> None:
        """Note something for later runs of this crawl."""
        with self._held() as database:
            database.execute(
                "INSERT OR REPLACE INTO note VALUES (?, ?, ?)", (*self._key(name), text)
            )

    def settled(self, name: str, make: Callable[[], str]) -> str:
        """What was noted under a name; made and noted if nothing was.

        For choices that follow from listed photos: when a photo is forgotten, the choice stays.
        """
        text = self.note(name)
        if not text:
            text = make()
            self.set_note(name, text)
        return text

    def _key(self, name: str) -> tuple[int, str]:
        return self._crawl, name

    def restart(self) -> None:
        """Drop the answers and notes of this crawl, so that its questions are asked again."""
        with self._held() as database:
            database.execute("DELETE FROM call WHERE crawl = ?", (self._crawl,))
            database.execute("DELETE FROM note WHERE crawl = ?", (self._crawl,))

    def recall(self, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """What is known of photos of the crawl before: whole rows, or records as answered.

        This crawl's own list comes first: answers of the crawl before go when this one is finished.
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
                for raw in _photos(answer) if isinstance(answer, dict) else ():
                    if text(raw.get("id")) in ids:
                        found.setdefault(text(raw.get("id")), dict(raw))
        return found

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

    def finish(self, photos: Iterable[Mapping[str, Any]], asked: str = "") -> None:
        """Keep what this crawl listed; the answers of earlier ones are no longer needed.

        Photos that were removed or made private since must not live on in them.

        Args:
            photos: rows of table ``photos``.
            asked: digest of all that the questions follow from, see :func:`questions`.
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
        """Take what owners wrote out of earlier lists, of photos that are gone now."""
        select = "SELECT crawl, photo FROM listed WHERE id = ? AND crawl < ?"
        update = "UPDATE listed SET photo = ? WHERE crawl = ? AND id = ?"
        for photo_id in gone:
            for crawl, photo in database.execute(select, (photo_id, self._crawl)).fetchall():
                row = json.loads(photo)
                names = [name for name in (*_LISTED, "is_missed") if name in row]
                slim = json.dumps({name: row[name] for name in names})
                database.execute(update, (slim, crawl, photo_id))


def questions(spec: Mapping[str, Any]) -> str:
    """Digest of what a search's questions follow from, the service and the snapshot aside."""
    parts = [spec.get("version"), list(spec["bbox_deg"]), spec["search"]]
    parts += [spec["shape"]] if spec.get("shape") else []
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def needs_service(spec: Mapping[str, Any]) -> bool:
    """Whether a search has to ask the service, as its journal does not hold all the answers.

    Args:
        spec: of stage ``search``.
    """
    select = (
        "SELECT text FROM note JOIN crawl ON note.crawl = crawl.id "
        "WHERE name = 'asked' AND finished AND api_url = ? AND snapshot = ? "
        # Answers of earlier crawls are not kept.
        "AND crawl.id = (SELECT max(id) FROM crawl WHERE finished)"
    )
    keys = spec["flickr"]["api_url"], spec["search"]["snapshot"]
    try:
        with _existing(spec["aoi"]) as database:
            found = database.execute(select, keys).fetchone() if database else None
    except UserError:  # the search itself says what is wrong with its journal
        return True
    return found is None or found[0] != questions(spec)


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
        if isinstance(row, dict) and removed.covers(text(row.get("id")), _owner(row)):
            kept = {name: row.get(name) for name in ("dateupload", "license")}
            kept["id"] = alias(text(row.get("id")))
            row.clear()
            row.update(kept)
            is_changed = True
    return is_changed


def _is_one(row: Mapping[str, Any], ids: Collection[str], owners: Collection[str]) -> bool:
    return text(row.get("id")) in ids or _owner(row) in owners


def _owner(row: Mapping[str, Any]) -> str:
    """NSID of a record; flickr.photos.getInfo gives it in an object."""
    owner = row.get("owner")
    return text(owner.get("nsid")) if isinstance(owner, Mapping) else text(owner)


def _photos(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Records of an answer of flickr.photos.search or flickr.photos.getInfo."""
    group, one = answer.get("photos"), answer.get("photo")
    if isinstance(one, Mapping):
        return [one]
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
