"""Compare a search with an earlier one: which photos are missed, which are gone.

A full sweep asks for 250 photos a call, so it is itself the cheapest check of what is gone; only
the photos it lacks are looked for once more, together with their neighbours in upload date. One
search is not enough: a missed photo stays in the list. It is gone only if the next search misses it
too and the service does not show it by its id. If many photos are missed at once, the service's
index probably lacks them, so a person has to confirm that they are gone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from witw.flickr.api.records import UnusableError, parse
from witw.flickr.crawl.boxes import Box
from witw.flickr.crawl.pages import Ask, Query
from witw.ground.shapes import Ground

TAKE = 10_000  # marks these questions as their own
LOOKS = 2
FEW = 5  # photos that may be missed at once in any area
SHARE = 0.05  # of the photos listed before that may be missed at once
SAMPLE = 10  # photos asked for by id where there are more

# What a tombstone keeps: not what the owner wrote, and no address of the file.
KEPT = ("id", "license_id", "license", "license_url", "date_upload", "lat", "lon", "accuracy")


def candidates(
    before: Mapping[str, Mapping[str, Any]],
    listed: Collection[str],
    ground: Ground,
    license_ids: Collection[int],
) -> list[Mapping[str, Any]]:
    """Photos of an earlier search that this one should have listed, newest upload first."""
    return sorted(
        (
            row
            for photo_id, row in before.items()
            if photo_id not in listed
            and row["license_id"] in license_ids
            and ground.holds(row["lon"], row["lat"])
        ),
        key=lambda row: (-row["date_upload"], row["id"]),
    )


def missed(ask: Ask, root: Query, lacking: Sequence[Mapping[str, Any]]) -> set[str]:
    """Ask for photos twice more; each call settles all whose upload date its page covers.

    Twice, as servers that lag behind each other answer in turn, and one answer may be wrong.

    Args:
        ask: the service.
        root: the question for the whole area, up to the snapshot.
        lacking: of :func:`candidates`, those not known to be gone already.

    Returns:
        Ids of those that are still there.
    """
    found: set[str] = set()
    for look in range(LOOKS):
        left = [row for row in lacking if row["id"] not in found]
        found |= _looked_for(ask, root, left, TAKE * (look + 1))
    return found


def _looked_for(ask: Ask, root: Query, lacking: Sequence[Mapping[str, Any]], take: int) -> set[str]:
    waiting = list(lacking)
    found: set[str] = set()
    while waiting:
        first = waiting[0]
        page = ask(root._replace(high=first["date_upload"], take=take))
        oldest = 0 if page.is_last() else min(page.uploads, default=0)
        # Of the second in which a page ends it may show a part only.
        settled = [row for row in waiting if row["date_upload"] > oldest]
        if not settled:
            spot = Box.around((first["lon"], first["lat"], first["lon"], first["lat"]))
            moment = first["date_upload"]
            page = ask(root._replace(box=spot, high=moment, low=moment, take=take))
            settled = [first]
        shown = {entry.id for entry in page.entries if not entry.flaw}
        found |= {row["id"] for row in settled if row["id"] in shown}
        waiting = waiting[len(settled) :]
        take += 1
    return found


def most(count: int) -> int:
    """How many of ``count`` photos listed before may be missed at once."""
    return max(FEW, math.floor(SHARE * count))


def sample(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Some of the rows, from all dates."""
    return list(rows[:: math.ceil(len(rows) / SAMPLE)]) if rows else []


def too_many(missing: int, count: int, there: int, asked: int, snapshot: str) -> str:
    """Why a search stops that misses too many photos, and what to do.

    Args:
        missing: photos missed now,
        count: of so many listed before.
        there: photos still shown when asked for by their ids,
        asked: of so many.
        snapshot: of this search, as text.
    """
    likely = (
        "so Flickr's index lacks photos that it has"
        if there
        else "so they may be gone, or Flickr does not answer as usual"
    )
    return (
        f"{missing} of the {count} photos that the search before listed are missing; asked for by "
        f"id, {there} of {asked} are still shown, {likely}. Nothing was changed and every file is "
        "kept: run again later to search anew, or, if they are really gone, set "
        f"`search.confirm_gone: {snapshot}` for this area and run again."
    )


def restored(row: Mapping[str, Any], known: Mapping[str, Any], host: str) -> dict[str, Any]:
    """The whole row of a photo that is missed, so that it stays in the list as it was.

    Args:
        row: what the search before kept of it.
        known: its whole row or its record in an answer, see ``Journal.recall``; {}: neither.
        host: where photos lie whose answer has no address.
    """
    names = ("owner", "owner_name", "title", "date_taken", "url", "photo_page")
    told = dict.fromkeys(names, "") | {"owner": row["owner"]}
    if "photo_page" in known:
        told = {name: known[name] for name in names}
    elif known:
        with suppress(UnusableError):
            photo = parse(known, host)
            told = {name: getattr(photo, name) for name in names[:-1]} | {"photo_page": photo.page}
    kept = {name: row[name] for name in (*KEPT, "first_seen", "last_seen")}
    return {**told, **kept, "cell": "missed", "is_gone": False}


def tombstone(row: Mapping[str, Any], last_seen: str) -> dict[str, Any]:
    """The row of a photo that is gone."""
    kept = {name: row[name] for name in KEPT}
    blank = dict.fromkeys(("owner", "owner_name", "title", "date_taken", "url", "photo_page"), "")
    return {
        **blank,
        **kept,
        "cell": "",
        "first_seen": row["first_seen"],
        "last_seen": last_seen,
        "is_gone": True,
    }
