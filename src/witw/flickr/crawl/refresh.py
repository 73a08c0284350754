"""Compare a search with an earlier one: which photos are missed, which are gone.

A full sweep asks for 250 photos a call, so it is itself the cheapest check of what is gone; only
the photos it lacks are looked for once more, together with their neighbours in upload date.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from witw.flickr.crawl.boxes import Box
from witw.flickr.crawl.pages import Ask, Query

TAKE = 10_000  # marks these questions as their own
LOOKS = 2

# What a tombstone keeps: not what the owner wrote, and no address of the file.
KEPT = ("id", "license_id", "license", "license_url", "date_upload", "lat", "lon", "accuracy")


def candidates(
    before: Mapping[str, Mapping[str, Any]],
    listed: Collection[str],
    bbox_deg: tuple[float, float, float, float],
    license_ids: Collection[int],
) -> list[Mapping[str, Any]]:
    """Photos of an earlier search that this one should have listed, newest upload first."""
    west, south, east, north = bbox_deg
    return sorted(
        (
            row
            for photo_id, row in before.items()
            if photo_id not in listed
            and west <= row["lon"] <= east
            and south <= row["lat"] <= north
            and row["license_id"] in license_ids
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
