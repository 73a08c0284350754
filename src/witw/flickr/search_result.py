"""The tables and the summary of a search, from what its crawl found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from witw.flickr.api.licenses import License
from witw.flickr.api.records import Photo
from witw.flickr.completeness.audit import Audit
from witw.flickr.completeness.probes import Probed
from witw.flickr.completeness.verdict import verdict
from witw.flickr.crawl.ledger import Ledger, summed
from witw.flickr.crawl.pages import PER_PAGE
from witw.flickr.crawl.quadtree import Cell, Tree

Rows = list[dict[str, Any]]


class SearchResult(NamedTuple):
    """Rows of the tables ``photos`` and ``cells``, and a summary with the search's verdict."""

    photos: Rows
    cells: Rows
    summary: dict[str, Any]


def photo_row(
    photo: Photo, license_: License, cell: str, first_seen: str, last_seen: str
) -> dict[str, Any]:
    """Return a listed photo as a row of table ``photos``."""
    return {name: getattr(photo, name) for name in Photo.__slots__} | {
        "license": license_.name,
        "license_url": license_.url,
        "photo_page": photo.page,
        "cell": cell,
        "first_seen": first_seen,
        "last_seen": last_seen,
        "is_gone": False,
    }


def cell_rows(tree: Tree, rows: Rows) -> Rows:
    """Return the tree's cells as rows of table ``cells``, with the listed photos of each."""
    listed = Counter(row["cell"] for row in rows)
    return [_cell_row(cell, listed[cell.cell]) for cell in tree.cells]


def _cell_row(cell: Cell, listed: int) -> dict[str, Any]:
    sides = dict(zip(("west", "south", "east", "north"), cell.box.degrees, strict=True))
    account = {name: getattr(cell.ledger, name) for name in ("steps", "over", "under", "worst")}
    names = ("cell", "total", "calls", "is_leaf", "is_ordered", "unreachable")
    return sides | account | {name: getattr(cell, name) for name in names} | {"listed": listed}


class Found(NamedTuple):
    """What a crawl found.

    Attributes:
        tree: All sweeps.
        probed: Comparison with other queries.
        audited: Comparison with random boxes and dates.
        rows: Rows of table ``photos``.
        by_id: Number of photos that no query shows but a lookup by id does.
        strayed: Number of queries whose responses contained photos that do not match them.
        left_out: Reason by id, for photos in responses that cannot be listed.
    """

    tree: Tree
    probed: Probed
    audited: Audit
    rows: Rows
    by_id: int
    strayed: int
    left_out: Mapping[str, str]


def summary(found: Found) -> dict[str, Any]:
    """Return the search's verdict with its reasons, and the numbers behind them."""
    tree, probed, audited, rows = found.tree, found.probed, found.audited, found.rows
    missed = sum(row["cell"] == "missed" for row in rows)
    gone = sum(row["is_gone"] for row in rows)
    listed = len(rows) - gone - missed
    ledger = summed(cell.ledger for cell in tree.cells)
    unreachable = sum(cell.unreachable for cell in tree.cells)
    word, reasons = verdict(
        listed, ledger, audited, unreachable, probed, found.strayed, _missing(tree)
    )
    if found.by_id:
        word = "nearly complete" if word == "complete" else word
        reasons.append(f"{found.by_id} photos that no search shows still exist under their ids.")
    if missed:
        reasons.append(
            f"{missed} photos of the previous search were missed; they stay listed until the "
            "next search misses them too and Flickr does not return them by their ids."
        )
    ids = {row["id"] for row in rows}
    left_out = {i: why for i, why in sorted(found.left_out.items()) if i not in ids}
    names = ("steps", "over", "under", "worst", "over_sum", "under_sum")
    return {
        "verdict": word,
        "reasons": reasons,
        "photos": listed,
        "missed": missed,
        "gone": gone,
        "calls": tree.calls,
        "calls_least": max(1, math.ceil(listed / PER_PAGE)),
        "unreachable": unreachable,
        "strayed": found.strayed,
        "ledger": {name: getattr(ledger, name) for name in names},
        "audit": asdict(audited) | {"unknown": len(audited.unknown)},
        "probes": asdict(probed) | {"unknown": len(probed.unknown)},
        "left_out": dict(sorted(Counter(left_out.values()).items())),
        "left_out_ids": left_out,
    }


def _missing(tree: Tree) -> int:
    """Return the photos counted but never shown, in the sweep with the most of them."""
    sweeps: dict[str, list[Ledger]] = {}
    for cell in tree.cells:
        sweep, colon, _ = cell.cell.partition(":")
        sweeps.setdefault(sweep if colon else "", []).append(cell.ledger)
    return max(summed(ledgers).missing for ledgers in sweeps.values())
