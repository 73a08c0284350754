"""Compare a search with an earlier one: find missed and removed photos.

A full sweep returns 250 photos per call, so it is the cheapest check for removed photos. Only
photos that it lacks are queried again, together with their neighbours in upload date. A single
search does not suffice: a missed photo stays listed. It counts as gone only if the next search
misses it too and the service does not return it by its id. If many photos are missed at once, the
service's index probably lacks them, so the user must confirm that they are gone.
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

TAKE = 10_000  # marks these queries as its own
LOOKS = 2
FEW = 5  # photos that any area may miss at once
SHARE = 0.05  # share of the previously listed photos that may be missed at once
SAMPLE = 10  # photos to look up by id, if more are missed

# Fields of a tombstone: nothing that the owner wrote, and no file address.
KEPT = ("id", "license_id", "license", "license_url", "date_upload", "lat", "lon", "accuracy")


def candidates(
    before: Mapping[str, Mapping[str, Any]],
    listed: Collection[str],
    ground: Ground,
    license_ids: Collection[int],
) -> list[Mapping[str, Any]]:
    """Return photos of an earlier search that this one should have listed, newest upload first."""
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
    """Query for photos twice more; each call settles all photos whose upload date its page covers.

    Two queries are needed because lagging replicas answer in turn, and one answer may be wrong.

    Args:
        ask: Sends a query to the service.
        root: Query for the whole area, up to the snapshot.
        lacking: Photos from :func:`candidates` that are not already known to be gone.

    Returns:
        Ids of the photos that still exist.
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
        # The second in which a page ends may be shown only in part.
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
    """Return how many of ``count`` previously listed photos may be missed at once."""
    return max(FEW, math.floor(SHARE * count))


def sample(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return a sample of the rows, spread over all dates."""
    return list(rows[:: math.ceil(len(rows) / SAMPLE)]) if rows else []


def too_many(missing: int, count: int, there: int, asked: int, snapshot: str) -> str:
    """Return the error message for a search that misses too many photos.

    Args:
        missing: Number of photos missed now.
        count: Number of photos listed before.
        there: Number of missed photos still returned by their ids.
        asked: Number of missed photos looked up by their ids.
        snapshot: Snapshot of this search, as text.
    """
    likely = (
        "so Flickr's index lacks photos that still exist"
        if there
        else "so they may be gone, or Flickr does not answer normally"
    )
    return (
        f"{missing} of the {count} photos listed by the previous search are missing. Looked up by "
        f"id, {there} of {asked} still exist, {likely}. Nothing was changed and no file was "
        "deleted. Run again later to search again or, if the photos are really gone, set "
        f"`search.confirm_gone: {snapshot}` for this area and run again."
    )


def restored(row: Mapping[str, Any], known: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Return the whole row of a missed photo, so that it stays listed unchanged.

    Args:
        row: Fields kept by the previous search.
        known: Its whole row, or its record in a response, see ``Journal.recall``; {} if neither is
            known.
        host: Photo host for records without an address.
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
    """Return the row of a photo that is gone."""
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
