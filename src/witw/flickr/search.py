"""List every openly licensed, geotagged Flickr photo of an area exactly once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from witw import environment, forgotten, stage
from witw.flickr import search_result
from witw.flickr.api.client import Client
from witw.flickr.api.on_demand import Caller, OnDemand
from witw.flickr.api.records import address
from witw.flickr.completeness.audit import Audit, audit
from witw.flickr.completeness.probes import Probed
from witw.flickr.completeness.probing import Probing
from witw.flickr.crawl.cover import Cover
from witw.flickr.crawl.journal import Journal, needs_service, questions
from witw.flickr.crawl.listing import Listing
from witw.flickr.crawl.pages import Page, Query, whole
from witw.flickr.crawl.quadtree import Tree, WalkRules, walk
from witw.flickr.crawl.second_look import SecondLook, confirmed
from witw.flickr.crawl.service import Service
from witw.flickr.search_result import Found, Rows, SearchResult
from witw.ground import shapes
from witw.settings.search import Search
from witw.store import journal_path

# Parallel queries: Flickr answers in 0.6 to 7 s, and the quota is one call per second.
WORKERS = 4
CUTS = (8, 6, 10, 7)  # position of each sweep's cuts, see Box.quarters
PROBES = (1, 16)  # accuracies queried once, in addition to none

log = logging.getLogger("witw")


def searched(spec: Mapping[str, Any]) -> SearchResult:
    """Search one area with the key from the environment and the area's journal.

    Raises:
        UserError: A key is needed but missing; see also :func:`run`.
    """
    environment.load()
    url, snapshot = spec["flickr"]["api_url"], spec["search"]["snapshot"]
    client = OnDemand(lambda: Client.from_environment(url))
    if needs_service(spec):
        client.made()  # reports a missing key before anything else
    with Journal(journal_path(spec["aoi"]), url, snapshot) as journal:
        return run(spec, client, journal)


def run(
    spec: Mapping[str, Any], client: Caller, journal: Journal, workers: int = WORKERS
) -> SearchResult:
    """Search one area.

    Args:
        spec: Spec of the stage.
        client: Client of the service.
        journal: Journal of this area, service and snapshot.
        workers: Number of parallel queries.

    Raises:
        UserError: The service refuses, does not answer, or does not know a licence.
    """
    return _Run(spec, client, journal, workers).all()


class _Run:
    """One search: sweeps, probes, audit, and photos that are gone."""

    def __init__(
        self, spec: Mapping[str, Any], client: Caller, journal: Journal, workers: int
    ) -> None:
        self.aoi: str = spec["aoi"]
        self.settings = Search.model_validate(spec["search"])
        self.ground = shapes.ground(spec)
        self.cover = Cover(self.ground)
        # Probes and audit vary the first query, so the widest box comes first.
        roots = whole(self.cover.roots, self.settings.snapshot, self.settings.licenses)
        self.roots = sorted(roots, key=lambda one: one.box.west - one.box.east)
        self.client, self.journal, self.workers = client, journal, workers
        self.questions = questions(spec)
        self.host = address(spec["flickr"]["photo_hosts"])
        self.listing = Listing(self.ground, self.root.high, self.settings.licenses, self.host)
        self.removed = forgotten.load()
        self.snapshot = self.settings.model_dump(mode="json")["snapshot"]
        is_confirmed = confirmed(self.aoi) == self.settings.snapshot
        self.is_confirmed = is_confirmed or bool(journal.note("confirmed"))
        if journal.note("stopped") and not self.is_confirmed:
            journal.restart()

    @property
    def root(self) -> Query:
        """Query for the area; for the wider part of an area across the 180th meridian."""
        return self.roots[0]

    def all(self) -> SearchResult:
        with stage.bar(f"{self.aoi}: search", unit=" photos") as bar:
            lock = threading.Lock()

            def shown(page: Page) -> None:
                with lock:
                    bar.total = max(bar.total or 0, page.total)
                    bar.update(len(self.listing.photos) - bar.n)

            self.service = Service(
                self.aoi, self.client, self.journal, self.listing, shown, self.removed
            )
            self.ask = self.service.ask
            self.known = self.service.licenses(self.settings.licenses)
            accuracies = self._accuracies()
            tree, probed = self._probed(self._sweeps())
            audited = self._audit(tree, probed)
            rows, by_id = self._rows(tree, audited, probed)
        self.journal.finish(rows, self.questions)
        strayed, left_out = len(self.service.strayed), self.listing.left_out
        found = Found(tree, probed, audited, rows, by_id, strayed, left_out)
        summary = search_result.summary(found) | {
            "licenses_alone": self.alone,
            "forgotten": len(self.listing.hidden),
            "accuracy_totals": {str(a or "unset"): n for a, n in accuracies.items()},
        }
        self._log(summary)
        # Columns that Flickr does not provide, or that only tables of several sources need.
        same = {"source": "flickr", "heading_deg": None, "unusable": ""}
        photos = [same | row for row in rows]
        return SearchResult(photos, search_result.cell_rows(tree, rows), summary)

    def _log(self, summary: Mapping[str, Any]) -> None:
        log.info(
            "%s: %s. %d photos in %d calls (%.3f times the minimum), plus %d audit calls; %d "
            "requests in this run. %s",
            self.aoi,
            summary["verdict"],
            summary["photos"],
            summary["calls"],
            summary["calls"] / summary["calls_least"],
            summary["audit"]["calls"] + summary["probes"]["calls"],
            self.client.requests,
            " ".join(summary["reasons"]),
        )

    def _accuracies(self) -> dict[int, int]:
        """Return totals by accuracy, and query with the accuracy that yields the most photos.

        It is undocumented whether an unset accuracy (0) means all.
        """
        asked = (0, *PROBES) if self.settings.audit > 0 else (0,)
        queries = {accuracy: self.root._replace(accuracy=accuracy) for accuracy in asked}
        pages = {accuracy: self.ask(query) for accuracy, query in queries.items()}
        best = max(asked, key=lambda accuracy: (pages[accuracy].total, -accuracy))
        self.roots = [root._replace(accuracy=best) for root in self.roots]
        self.other_accuracies = {queries[a]: page for a, page in pages.items() if a != best}
        return {accuracy: page.total for accuracy, page in pages.items()}

    def _sweeps(self) -> Tree:
        tree = Tree({}, [])
        for sweep in range(self.settings.sweeps):
            rules = WalkRules(
                snapshot=self.root.high,
                box_total=self.settings.box_total,
                accuracy=self.root.accuracy,
                take=sweep,
                cut=CUTS[sweep],
                workers=self.workers,
                cover=self.cover if self.ground.geometry is not None else None,
            )
            tree += self._walked(self.settings.licenses, rules, f"s{sweep + 1}:r" * (sweep > 0))
        self.rules = rules
        return tree

    def _walked(self, licenses: Sequence[int], rules: WalkRules, name: str) -> Tree:
        """Walk all boxes of the area; the name of a second one ends in `~`."""
        tree = Tree({}, [])
        for number, root in enumerate(self.roots):
            tree += walk(self.ask, root.box, licenses, rules, (name or "r") + "~" * number)
        return tree

    def _probed(self, tree: Tree) -> tuple[Tree, Probed]:
        """Query differently; search by single licence where lists of licences hide photos."""
        self.alone: list[int] = []
        if self.settings.audit == 0 and (tree.listed or len(self.settings.licenses) == 1):
            return tree, Probed()
        probing = Probing(
            root=self.root,
            accuracies=self.other_accuracies,
            service=self.service,
            journal=self.journal,
            listing=self.listing,
            cover=self.cover,
            questions=self.questions,
        )
        probing.send(tree)
        self.alone = probing.hidden_licenses(tree)
        was_empty = not tree.listed
        if len(self.settings.licenses) > 1:
            for number in self.alone:
                tree += self._walked((number,), self.rules, f"{number}:r")
        if self.alone and was_empty:
            probing.send(tree)
        return tree, probing.summary(tree, len(self.listing.hidden) + len(self.listing.left_out))

    def _audit(self, tree: Tree, probed: Probed) -> Audit:
        photos = (self.listing.photos[photo_id] for photo_id in tree.listed)
        box = self.root.box
        uploads = sorted(one.date_upload for one in photos if box.holds(one.lon, one.lat))
        return audit(
            self.ask,
            self.root,
            tree.listed,
            uploads,
            tree.calls,
            self.settings.audit,
            probed.calls,
            lambda make: self.journal.settled(f"audit {self.questions}", make),
        )

    def _rows(self, tree: Tree, audited: Audit, probed: Probed) -> tuple[Rows, int]:
        """Return rows of all photos, also missed and gone ones, and the number found by id only."""
        cells = dict.fromkeys((*audited.unknown, *probed.unknown), "audit") | tree.listed
        before = {
            photo_id: row
            for photo_id, row in self.journal.before().items()
            if not self.removed.covers(photo_id, row["owner"])
        }
        look = SecondLook(
            aoi=self.aoi,
            ground=self.ground,
            licenses=self.settings.licenses,
            roots=self.roots,
            snapshot=self.snapshot,
            questions=self.questions,
            host=self.host,
            is_confirmed=self.is_confirmed,
            service=self.service,
            journal=self.journal,
        )
        is_proved = tree.is_proved and not audited.unknown
        settled = look.settle(before, cells, len(tree.listed) if is_proved else 0)
        rows = []
        for photo_id, cell in settled.cells.items():
            photo = self.listing.photos[photo_id]
            first = before.get(photo_id, {}).get("first_seen", self.snapshot)
            license_ = self.known[photo.license_id]
            rows.append(search_result.photo_row(photo, license_, cell, first, self.snapshot))
        return sorted(rows + settled.rows, key=lambda row: str(row["id"])), settled.by_id
