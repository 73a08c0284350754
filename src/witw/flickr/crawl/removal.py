"""Remove forgotten photos from an area's journal and from new responses."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from witw.flickr.api.records import photos_of, text
from witw.flickr.crawl.journal_file import existing
from witw.forgotten import Forgotten, alias


def find(aoi: str, ids: Collection[str], owners: Collection[str]) -> set[str]:
    """Return the ids in an area's journal that are in ``ids`` or belong to ``owners``."""
    with existing(aoi) as database:
        rows = (row for _, answer in _bodies(database) for row in photos_of(answer))
        found = {text(row.get("id")) for row in rows if _is_one(row, ids, owners)}
        listed = database.execute("SELECT photo FROM listed").fetchall() if database else []
        kept = (json.loads(photo) for (photo,) in listed)
        return found | {row["id"] for row in kept if _is_one(row, ids, owners)}


def scrub(aoi: str, ids: Collection[str], owners: Collection[str]) -> int:
    """Remove photos from an area's journal, see :func:`redact`.

    Returns:
        Number of removed photos.
    """
    gone = find(aoi, ids, owners)
    with existing(aoi) as database:
        if database is None or not gone:
            return len(gone)
        removed = Forgotten(frozenset(gone), frozenset(owners))
        for number, answer in list(_bodies(database)):
            if redact(answer, removed):
                body = zlib.compress(json.dumps(answer).encode(), 3)
                database.execute("UPDATE call SET body = ? WHERE id = ?", (body, number))
        database.executemany("DELETE FROM listed WHERE id = ?", [(one,) for one in gone])
        database.commit()
        # Deleted data must not remain in free pages of the file.
        database.execute("VACUUM")
    return len(gone)


def redact(answer: Mapping[str, Any], removed: Forgotten) -> bool:
    """Remove forgotten photos from a response in place; return whether there were any.

    Each keeps an alias, its upload date and its licence. The next query follows from these, so a
    repeated search sends the same queries.
    """
    is_changed = False
    for row in photos_of(answer):
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
    """Return the NSID of a record's owner; flickr.photos.getInfo wraps it in an object."""
    owner = row.get("owner")
    return text(owner.get("nsid")) if isinstance(owner, Mapping) else text(owner)


def _bodies(database: sqlite3.Connection | None) -> Iterator[tuple[int, dict[str, Any]]]:
    if database is not None:
        for number, body in database.execute("SELECT id, body FROM call WHERE body IS NOT NULL"):
            answer = json.loads(zlib.decompress(body))
            if isinstance(answer, dict):
                yield number, answer
