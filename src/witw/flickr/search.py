"""List every openly licensed, geotagged photo of an AOI once."""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

from witw import environment, files, forgotten, stage, tables
from witw.flickr.api import licenses
from witw.flickr.api.client import Client, unwatched
from witw.flickr.api.records import Photo, address
from witw.flickr.crawl import refresh
from witw.flickr.crawl.audit import Audit, audit
from witw.flickr.crawl.boxes import Box
from witw.flickr.crawl.journal import Journal
from witw.flickr.crawl.ledger import summed
from witw.flickr.crawl.listing import Listing
from witw.flickr.crawl.pages import PER_PAGE, Page, Query
from witw.flickr.crawl.quadtree import Cell, Tree, WalkRules, walk
from witw.flickr.crawl.service import Service, params
from witw.flickr.crawl.verdict import verdict
from witw.settings.search import Search
from witw.store import journal_path

VERSION = 2
READS = ("bbox_deg", "search", "flickr.api_url", "flickr.photo_hosts", "forgotten")

# Questions under way: an answer takes Flickr 0.6 to 7 s, and the quota is one a second.
WORKERS = 4
CUTS = (8, 6, 10, 7)  # where each sweep cuts its boxes
PROBES = (1, 16)  # accuracies asked for once, beside none

log = logging.getLogger("witw")

Rows = list[dict[str, Any]]


class SearchResult(NamedTuple):
    """Rows of the tables ``photos`` and ``cells``, and the search's judgement of itself."""

    photos: Rows
    cells: Rows
    summary: dict[str, Any]


def run(
    spec: Mapping[str, Any], client: Client, journal: Journal, workers: int = WORKERS
) -> SearchResult:
    """Search one AOI.

    Args:
        spec: the stage's spec.
        client: of the service.
        journal: of this AOI, service and snapshot.
        workers: questions under way.

    Raises:
        UserError: the service does not know a licence, refuses or does not answer.
    """
    return _Run(spec, client, journal, workers).all()


def total_of(spec: Mapping[str, Any], client: Client) -> int:
    """Photos the service counts in an AOI; one call.

    Raises:
        UserError: the service refuses or does not answer.
    """
    settings = Search.model_validate(spec["search"])
    root = _root(spec, settings)._replace(take=-1)
    listing = Listing(tuple(spec["bbox_deg"]), root.high, settings.licenses, "")
    page = client.call(
        "flickr.photos.search", lambda answer: listing.read(answer, root), unwatched, **params(root)
    )
    return max(page.total, len(page.entries))


def _root(spec: Mapping[str, Any], settings: Search) -> Query:
    box = Box.around(tuple(spec["bbox_deg"]))
    return Query(box, _seconds(settings.snapshot), tuple(settings.licenses))


def _accuracy(totals: Mapping[int, int]) -> int:
    """Which accuracy to ask with: none (0), unless one clearly brings more photos."""
    most = max(totals, key=lambda accuracy: (totals[accuracy], -accuracy))
    # Totals waver by a few percent.
    return 0 if totals[0] >= 0.9 * totals[most] else most


def _seconds(moment: datetime) -> int:
    return math.floor(moment.timestamp())


class _Run:
    """One search: sweeps, probes, audit, what is gone."""

    def __init__(
        self, spec: Mapping[str, Any], client: Client, journal: Journal, workers: int
    ) -> None:
        self.aoi: str = spec["aoi"]
        self.settings = Search.model_validate(spec["search"])
        self.bbox_deg = tuple(spec["bbox_deg"])
        self.root = _root(spec, self.settings)
        self.client, self.journal, self.workers = client, journal, workers
        host = address(spec["flickr"]["photo_hosts"])
        self.listing = Listing(self.bbox_deg, self.root.high, self.settings.licenses, host)
        self.removed = forgotten.load()
        self.known = licenses.table(client)
        licenses.check(self.settings.licenses, self.known, self.aoi)

    def all(self) -> SearchResult:
        with stage.bar(f"{self.aoi}: search", unit=" photos") as bar:
            lock = threading.Lock()

            def shown(page: Page) -> None:
                with lock:
                    bar.total = max(bar.total or 0, page.total)
                    bar.update(len(self.listing.photos) - bar.n)

            self.ask = Service(
                self.aoi, self.client, self.journal, self.listing, shown, self.removed
            ).ask
            accuracies = self._accuracies()
            tree = self._sweeps(_accuracy(accuracies))
            alone = self._licenses_alone(tree)
            tree = sum(alone.values(), tree)
            audited = self._audit(tree)
            rows, gone = self._rows(tree, audited)
        self.journal.finish(rows)
        summary = self._summary(tree, audited, rows) | {
            "forgotten": len(self.listing.hidden),
            "gone": gone,
            "accuracy_totals": {str(a or "unset"): n for a, n in accuracies.items()},
            "licenses_alone": sorted(alone),
        }
        return SearchResult(rows, _cells(tree, rows), summary)

    def _accuracies(self) -> dict[int, int]:
        """Totals by accuracy: whether unset means all of them is documented nowhere."""
        asked = (0, *PROBES) if self.settings.audit > 0 else (0,)
        return {a: self.ask(self.root._replace(accuracy=a)).total for a in asked}

    def _sweeps(self, accuracy: int) -> Tree:
        tree = Tree({}, [])
        for sweep in range(self.settings.sweeps):
            rules = WalkRules(
                snapshot=self.root.high,
                box_total=self.settings.box_total,
                accuracy=accuracy,
                take=sweep,
                cut=CUTS[sweep],
                workers=self.workers,
            )
            name = f"s{sweep + 1}:r" if sweep else "r"
            tree += walk(self.ask, self.root.box, self.settings.licenses, rules, name)
        self.rules = rules
        return tree

    def _licenses_alone(self, tree: Tree) -> dict[int, Tree]:
        """Search by single licence for those of which nothing was found.

        Seen: a list of licences that yields nothing where each of them alone yields photos.
        """
        wanted = self.settings.licenses
        if len(wanted) == 1 or (self.settings.audit == 0 and tree.listed):
            return {}
        have: set[int | None]
        have = {self.listing.photos[photo_id].license_id for photo_id in tree.listed}
        have |= {license_id for _, license_id in self.listing.hidden.values()}
        alone = {}
        for number in sorted(set(wanted) - have):
            page = self.ask(self.root._replace(licenses=(number,)))
            if any(not entry.flaw and entry.id not in tree.listed for entry in page.entries):
                alone[number] = walk(self.ask, self.root.box, (number,), self.rules, f"{number}:r")
        return alone

    def _audit(self, tree: Tree) -> Audit:
        uploads = [self.listing.photos[photo_id].date_upload for photo_id in tree.listed]
        # So that forgetting a photo changes no question: what was asked once is not asked again.
        uploads = sorted(uploads + [upload for upload, _ in self.listing.hidden.values()])
        return audit(self.ask, self.root, tree.listed, uploads, tree.calls, self.settings.audit)

    def _rows(self, tree: Tree, audited: Audit) -> tuple[Rows, int]:
        """Rows of all photos, those that are gone included, and how many these are."""
        cells = dict.fromkeys(audited.unknown, "audit") | tree.listed
        before = {
            photo_id: row
            for photo_id, row in self.journal.before().items()
            if not self.removed.covers(photo_id, row["owner"])
        }
        lacking = refresh.candidates(before, cells, self.bbox_deg, self.settings.licenses)
        doubted = [r for r in lacking if not r["is_gone"]]
        is_proved = tree.is_proved and not audited.unknown
        there = set() if is_proved else refresh.missed(self.ask, self.root, doubted)
        cells |= dict.fromkeys(sorted(there), "check")
        seen = self.settings.model_dump(mode="json")["snapshot"]
        rows = []
        for photo_id, cell in cells.items():
            first = before.get(photo_id, {}).get("first_seen", seen)
            rows.append(self._row(self.listing.photos[photo_id], cell, first, seen))
        gone = [refresh.tombstone(r, r["last_seen"]) for r in lacking if r["id"] not in there]
        return sorted(rows + gone, key=lambda row: str(row["id"])), len(gone)

    def _row(self, photo: Photo, cell: str, first: str, last: str) -> dict[str, Any]:
        found = self.known[photo.license_id]
        return {name: getattr(photo, name) for name in Photo.__slots__} | {
            "license": found.name,
            "license_url": found.url,
            "photo_page": photo.page,
            "cell": cell,
            "first_seen": first,
            "last_seen": last,
            "is_gone": False,
        }

    def _summary(self, tree: Tree, audited: Audit, rows: Rows) -> dict[str, Any]:
        listed = sum(not row["is_gone"] for row in rows)
        ledger = summed(cell.ledger for cell in tree.cells)
        unreachable = sum(cell.unreachable for cell in tree.cells)
        word, reasons = verdict(listed, ledger, audited, unreachable)
        ids = {row["id"] for row in rows}
        left_out = {i: why for i, why in sorted(self.listing.left_out.items()) if i not in ids}
        least = max(1, math.ceil(listed / PER_PAGE))
        log.info(
            "%s: %s. %d photos in %d calls, %.3f times the least possible, and %d to audit; %d "
            "requests made now. %s",
            self.aoi,
            word,
            listed,
            tree.calls,
            tree.calls / least,
            audited.calls,
            self.client.requests,
            " ".join(reasons),
        )
        return {
            "verdict": word,
            "reasons": reasons,
            "photos": listed,
            "calls": tree.calls,
            "calls_least": least,
            "unreachable": unreachable,
            "ledger": {
                "steps": ledger.steps,
                "over": ledger.over,
                "under": ledger.under,
                "worst": ledger.worst,
            },
            "audit": asdict(audited) | {"unknown": len(audited.unknown)},
            "left_out": dict(sorted(Counter(left_out.values()).items())),
            "left_out_ids": left_out,
        }


def _cells(tree: Tree, rows: Rows) -> Rows:
    listed = Counter(row["cell"] for row in rows)
    return [_cell_row(cell, listed[cell.cell]) for cell in tree.cells]


def _cell_row(cell: Cell, listed: int) -> dict[str, Any]:
    sides = dict(zip(("west", "south", "east", "north"), cell.box.degrees, strict=True))
    account = {name: getattr(cell.ledger, name) for name in ("steps", "over", "under", "worst")}
    names = ("cell", "total", "calls", "is_leaf", "is_ordered", "unreachable")
    return sides | account | {name: getattr(cell, name) for name in names} | {"listed": listed}


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    names = ["photos", "cells", "summary"]
    args = stage.arguments("search", __doc__, outputs=names, argv=argv)
    environment.load()
    url, snapshot = args.spec["flickr"]["api_url"], args.spec["search"]["snapshot"]
    client = Client.from_environment(url)
    with Journal(journal_path(args.spec["aoi"]), url, snapshot) as journal:
        found = run(args.spec, client, journal)
    tables.write(args.photos, "photos", found.photos)
    tables.write(args.cells, "cells", found.cells)
    files.write_json(args.summary, files.seal(found.summary))


if __name__ == "__main__":
    stage.execute(main)
