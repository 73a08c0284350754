"""List every photo of an area in its sources once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from witw import files, forgotten, stage, tables
from witw.errors import UserError
from witw.flickr import search as flickr
from witw.ground import shapes
from witw.sources import folder, ids, mapillary, table, yfcc100m
from witw.sources.base import Listed, Place, Source, check_ids
from witw.status import Status

VERSION = 4
# Each area reads a subset, by the kinds of its sources: see `SOURCE_READS` in witw.spec.
READS = (
    "bbox_deg",
    "shape",
    "search",
    "flickr.api_url",
    "flickr.photo_hosts",
    "forgotten",
    "sources",
)

FLICKR = "flickr"
LISTED_WORD = "as complete as its source"
_LISTED: dict[str, Callable[[Source, Place], Listed]] = {
    "table": table.listed,
    "folder": folder.listed,
    "yfcc100m": yfcc100m.listed,
    "ids": ids.listed,
    "mapillary": mapillary.listed,
}
# For these sources the user expects photos in the area, so an empty result is an error.
_OWN = ("table", "folder", "ids")

log = logging.getLogger("witw")


def run(spec: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """List an area's photos.

    Args:
        spec: ``aoi``, ``bbox_deg``, ``sources``, and the keys that the sources read.

    Returns:
        Tables ``photos`` and ``cells``, and the content of ``search.json``.

    Raises:
        UserError: A source cannot be read, or all of its photos lie elsewhere.
    """
    photos, cells, summaries = [], [], []
    for source in spec.get("sources", [{"kind": FLICKR, "name": FLICKR}]):
        if source["kind"] == FLICKR:
            rows, tree, said = _of_flickr(spec)
        else:
            rows, tree, said = _of_another(source, spec)
        photos.append(rows)
        cells.append(tree)
        summaries.append(said)
    found = pd.concat(photos, ignore_index=True)
    twice = found["id"].duplicated()
    if count := int(twice.sum()):
        log.info("%s: %d photos are in two sources; the first source is used", spec["aoi"], count)
    found = found[~twice].reset_index(drop=True)
    return found, pd.concat(cells, ignore_index=True), _together(summaries)


def _of_flickr(spec: Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    found = flickr.searched(spec)
    photos, cells = tables.frame("photos", found.photos), tables.frame("cells", found.cells)
    return photos, cells, found.summary


def _of_another(
    source: Source, spec: Mapping[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    place = Place(spec["aoi"], tuple(spec["bbox_deg"]), spec, shapes.ground(spec))
    found = read(source, place)
    removed = forgotten.load()
    hidden = [
        removed.covers(*pair) for pair in zip(found.rows["id"], found.rows["owner"], strict=True)
    ]
    rows = found.rows[~pd.Series(hidden, index=found.rows.index, dtype=bool)]
    check_ids(rows)
    usable = int((rows["unusable"] == "").sum())
    if not usable and found.outside and source["kind"] in _OWN:
        raise UserError(
            f"Area {place.aoi!r}: none of the {found.read:,} photos of {source['path']} lies in "
            f"`bbox_deg` {list(place.bbox_deg)} (west, south, east, north); correct the box, or "
            "leave it out to use the box of the imagery."
        )
    if not found.outside and source["kind"] in _OWN:
        _check_positions(found, source, place)
    log.info(
        "%s: %d of %d records of %s lie in the area", place.aoi, usable, found.read, source["name"]
    )
    return rows, _one_cell(source, place, found), _said(source, found, rows, sum(hidden))


def _check_positions(found: Listed, source: Source, place: Place) -> None:
    """Check that a source of the user's own photos has any, and a position for one of them."""
    where = f"Area {place.aoi!r}: {source['path']}"
    if not found.read:
        raise UserError(f"{where} lists no photo; it has no row below its header.")
    if len(found.rows) and (found.rows["unusable"] == Status.NO_POSITION).all():
        remedy = "`lat` and `lon` must be decimal degrees, such as 59.92"
        if source["kind"] == "folder":
            remedy = "their EXIF data must hold one, which many programs remove when they export"
        raise UserError(f"{where} has no position for any of its {found.read:,} photos; {remedy}.")


def read(source: Source, place: Place) -> Listed:
    """List the photos of a source other than Flickr."""
    return _LISTED[source["kind"]](source, place)


def _one_cell(source: Source, place: Place, found: Listed) -> pd.DataFrame:
    sides = dict(zip(("west", "south", "east", "north"), place.bbox_deg, strict=True))
    row = {"cell": source["name"], "total": len(found.rows), "listed": len(found.rows)}
    row |= {"calls": found.calls, "is_leaf": True, "is_ordered": False, "unreachable": 0}
    row |= dict.fromkeys(("steps", "over", "under", "worst"), 0)
    return tables.frame("cells", [row | sides])


def _said(source: Source, found: Listed, rows: pd.DataFrame, hidden: int) -> dict[str, Any]:
    where = source["path"] or source["kind"]
    reasons = [f"{found.read:,} records of {where} were read; {found.outside:,} lie elsewhere."]
    return {
        "verdict": LISTED_WORD,
        "reasons": reasons + found.notes,
        "photos": len(rows),
        "missed": 0,
        "calls": found.calls,
        "calls_least": found.calls,
        "unreachable": 0,
        "audit": {"calls": 0},
        "left_out": found.left_out,
        "gone": 0,
        "forgotten": hidden,
    }


def _together(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Combine several summaries: the first one, with all sums and sentences."""
    out = dict(summaries[0])
    for other in summaries[1:]:
        for key in ("photos", "missed", "calls", "calls_least", "unreachable", "gone", "forgotten"):
            out[key] = out.get(key, 0) + other.get(key, 0)
        out["reasons"] = [*out["reasons"], *other["reasons"]]
        left_out = dict(out["left_out"])
        for reason, count in other["left_out"].items():
            left_out[reason] = left_out.get(reason, 0) + count
        out["left_out"] = left_out
        if other["verdict"] != LISTED_WORD:
            out["verdict"] = other["verdict"]
        out["audit"] = {
            **out["audit"], **other["audit"],
            "calls": out["audit"]["calls"] + other["audit"]["calls"],
        }  # fmt: skip
    return out


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    names = ["photos", "cells", "summary"]
    args = stage.arguments("search", __doc__, outputs=names, argv=argv)
    photos, cells, summary = run(args.spec)
    tables.write(args.photos, "photos", photos)
    tables.write(args.cells, "cells", cells)
    files.write_json(args.summary, files.seal(summary))


if __name__ == "__main__":
    stage.execute(main)
