"""List every openly licensed, geotagged photo that Flickr has of an AOI once."""

from __future__ import annotations

import json
import logging
import math
import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from witw import environment, forgotten, stage
from witw.environment import CONFIRMED
from witw.errors import UserError
from witw.flickr.api.client import Client, unwatched
from witw.flickr.api.on_demand import Caller, OnDemand
from witw.flickr.api.records import Photo, address
from witw.flickr.crawl import probes, refresh
from witw.flickr.crawl.audit import Audit, audit
from witw.flickr.crawl.cover import Cover
from witw.flickr.crawl.journal import Journal, needs_service, questions
from witw.flickr.crawl.ledger import Ledger, summed
from witw.flickr.crawl.listing import OUTSIDE, Listing
from witw.flickr.crawl.pages import PER_PAGE, Page, Query, query_of
from witw.flickr.crawl.quadtree import Cell, Tree, WalkRules, walk
from witw.flickr.crawl.service import Service, params
from witw.flickr.crawl.verdict import verdict
from witw.ground import shapes
from witw.settings.search import Search
from witw.store import journal_path

# Questions under way: an answer takes Flickr 0.6 to 7 s, and the quota is one a second.
WORKERS = 4
CUTS = (8, 6, 10, 7)  # where each sweep cuts its boxes
PROBES = (1, 16)  # accuracies asked for once, beside none

log = logging.getLogger("witw")

Rows = list[dict[str, Any]]
Known = Sequence[Mapping[str, Any]]  # what the search before kept of photos


class SearchResult(NamedTuple):
    """Rows of the tables ``photos`` and ``cells``, and the search's judgement of itself."""

    photos: Rows
    cells: Rows
    summary: dict[str, Any]


def searched(spec: Mapping[str, Any]) -> SearchResult:
    """Search one AOI with the key of the environment and the AOI's journal.

    Raises:
        UserError: there is no key although one is needed; see :func:`run`.
    """
    environment.load()
    url, snapshot = spec["flickr"]["api_url"], spec["search"]["snapshot"]
    client = OnDemand(lambda: Client.from_environment(url))
    if needs_service(spec):
        client.made()  # a missing key is told before anything else
    with Journal(journal_path(spec["aoi"]), url, snapshot) as journal:
        return run(spec, client, journal)


def run(
    spec: Mapping[str, Any], client: Caller, journal: Journal, workers: int = WORKERS
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
    """Photos the service counts in an AOI; one call, two if it is across the 180th meridian.

    Raises:
        UserError: the service refuses or does not answer.
    """
    settings, ground = Search.model_validate(spec["search"]), shapes.ground(spec)
    total = 0.0
    for root in _roots(Cover(ground), settings):
        asked = root._replace(take=-1)
        listing = Listing(ground, root.high, settings.licenses, "")
        read = partial(listing.read, query=asked)
        page = client.call("flickr.photos.search", read, unwatched, **params(asked))
        found = max(page.total, len(page.entries))
        # Of a box around a shape, the newest photos tell which share lies in the area.
        share = sum(entry.flaw != OUTSIDE for entry in page.entries) / max(1, len(page.entries))
        total += found * (share if ground.geometry is not None else 1)
    return round(total)


def _roots(cover: Cover, settings: Search) -> list[Query]:
    licenses = tuple(settings.licenses)
    return [Query(box, _seconds(settings.snapshot), licenses) for box in cover.roots]


def _accuracy(totals: Mapping[int, int]) -> int:
    """Which accuracy to ask with: none (0), unless one brings more photos."""
    return max(totals, key=lambda accuracy: (totals[accuracy], -accuracy))


def _confirmed(aoi: str) -> datetime | None:
    """The snapshot of which a person says that the photos it misses are gone.

    Raises:
        UserError: the environment names no date.
    """
    told = os.environ.get(CONFIRMED) or "{}"
    try:
        return Search(confirm_gone=json.loads(told).get(aoi)).confirm_gone
    except (ValueError, AttributeError):
        raise UserError(f"{CONFIRMED} is {told!r}, which gives no date for {aoi!r}.") from None


def _seconds(moment: datetime) -> int:
    return math.floor(moment.timestamp())


class _Run:
    """One search: sweeps, probes, audit, what is gone."""

    def __init__(
        self, spec: Mapping[str, Any], client: Caller, journal: Journal, workers: int
    ) -> None:
        self.aoi: str = spec["aoi"]
        self.settings = Search.model_validate(spec["search"])
        self.ground = shapes.ground(spec)
        self.cover = Cover(self.ground)
        # The first is the one that probes and the audit vary: the widest.
        roots = _roots(self.cover, self.settings)
        self.roots = sorted(roots, key=lambda one: one.box.west - one.box.east)
        self.client, self.journal, self.workers = client, journal, workers
        self.questions = questions(spec)
        self.host = address(spec["flickr"]["photo_hosts"])
        self.listing = Listing(self.ground, self.root.high, self.settings.licenses, self.host)
        self.removed = forgotten.load()
        self.snapshot = self.settings.model_dump(mode="json")["snapshot"]
        is_confirmed = _confirmed(self.aoi) == self.settings.snapshot
        self.is_confirmed = is_confirmed or bool(journal.note("confirmed"))
        if journal.note("stopped") and not self.is_confirmed:
            journal.restart()

    @property
    def root(self) -> Query:
        """The question for the area, for the wider part of one across the 180th meridian."""
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
            accuracy = _accuracy(accuracies)
            self.roots = [root._replace(accuracy=accuracy) for root in self.roots]
            tree, probed = self._probed(self._sweeps())
            audited = self._audit(tree, probed)
            rows, gone, by_id = self._rows(tree, audited, probed)
        self.journal.finish(rows, self.questions)
        summary = self._summary(tree, audited, probed, rows, by_id) | {
            "forgotten": len(self.listing.hidden),
            "gone": gone,
            "accuracy_totals": {str(a or "unset"): n for a, n in accuracies.items()},
        }
        # What Flickr does not tell, or what only tables of several sources need.
        same = {"source": "flickr", "heading_deg": None, "unusable": ""}
        return SearchResult([same | row for row in rows], _cells(tree, rows), summary)

    def _accuracies(self) -> dict[int, int]:
        """Totals by accuracy: whether unset means all of them is documented nowhere."""
        asked = (0, *PROBES) if self.settings.audit > 0 else (0,)
        self.by_accuracy = {a: self.root._replace(accuracy=a) for a in asked}
        self.pages = {a: self.ask(query) for a, query in self.by_accuracy.items()}
        return {a: page.total for a, page in self.pages.items()}

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
        """All boxes that the area begins with; the second, if there is one, is `r~`."""
        tree = Tree({}, [])
        for number, root in enumerate(self.roots):
            tree += walk(self.ask, root.box, licenses, rules, (name or "r") + "~" * number)
        return tree

    def _probed(self, tree: Tree) -> tuple[Tree, probes.Probed]:
        """Ask otherwise; what single licences show, where lists hide it, is searched by licence."""
        self.alone: list[int] = []
        if self.settings.audit == 0 and (tree.listed or len(self.settings.licenses) == 1):
            return tree, probes.Probed()
        answers = self._answers(tree)
        hidden = sorted(
            {
                answer.probe.query.licenses[0]
                for answer in answers
                if answer.hides and len(answer.probe.query.licenses) == 1
            }
        )
        was_empty = not tree.listed
        # Forgetting a photo must not change what is searched.
        noted = self.journal.settled("alone " + self.questions, lambda: json.dumps(hidden))
        self.alone = json.loads(noted)
        if len(self.settings.licenses) > 1:
            for number in self.alone:
                tree += self._walked((number,), self.rules, f"{number}:r")
        if self.alone and was_empty:
            answers += self._answers(tree)
        known = probes.Known(self.listing.photos, tree.listed, self.cover.is_inside)
        answers = [probes.judge(one.probe, self.pages_of[one.probe], known) for one in answers]
        return tree, probes.summed(answers, self._slack())

    def _answers(self, tree: Tree) -> list[probes.Answer]:
        """Answers of the probes chosen for what is listed so far, and of the named accuracies."""
        listed = [self.listing.photos[photo_id] for photo_id in sorted(tree.listed)]
        listed = [photo for photo in listed if self.root.box.holds(photo.lon, photo.lat)]

        def chosen() -> str:
            made = probes.plan(self.root, listed)
            return json.dumps([(kind, query.key) for kind, query in made])

        name = f"probes {bool(tree.listed or self.listing.hidden)} {self.questions}"
        noted = json.loads(self.journal.settled(name, chosen))
        asked = [probes.Probe(kind, query_of(key)) for kind, key in noted]
        pages = {probe: self.service.probe(probe.query) for probe in asked}
        named = {
            probes.Probe("accuracy", query): self.pages[accuracy]
            for accuracy, query in self.by_accuracy.items()
            if accuracy != self.root.accuracy
        }
        self.pages_of = getattr(self, "pages_of", {}) | pages | named
        known = probes.Known(self.listing.photos, tree.listed, self.cover.is_inside)
        return [probes.judge(one, page, known) for one, page in (pages | named).items()]

    def _slack(self) -> int:
        """Photos that are counted but not listed, for reasons that are known."""
        return len(self.listing.hidden) + len(self.listing.left_out)

    def _audit(self, tree: Tree, probed: probes.Probed) -> Audit:
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

    def _rows(self, tree: Tree, audited: Audit, probed: probes.Probed) -> tuple[Rows, int, int]:
        """Rows of all photos, missed and gone ones included; how many are gone, found by id."""
        cells = dict.fromkeys((*audited.unknown, *probed.unknown), "audit") | tree.listed
        before = {
            photo_id: row
            for photo_id, row in self.journal.before().items()
            if not self.removed.covers(photo_id, row["owner"])
        }
        ours = self.ground, self.settings.licenses
        lacking = refresh.candidates(before, cells, *ours)
        doubted = [row for row in lacking if not row["is_gone"]]
        there = self._second_look(tree, audited, doubted)
        cells |= dict.fromkeys(sorted(there), "check")
        missed = [row for row in doubted if row["id"] not in there]
        count = sum(not row["is_gone"] for row in refresh.candidates(before, (), *ours))
        self._stop_if_many([row for row in missed if not row.get("is_missed")], count)
        # Missed before already, or confirmed by a person after a search had stopped.
        is_due = self.is_confirmed and bool(self.journal.note("stopped"))
        due = [row for row in missed if is_due or row.get("is_missed")]
        by_id = sorted(row["id"] for row in due if self.service.by_id(row["id"]))
        cells |= dict.fromkeys(by_id, "check")
        if is_due:
            self.journal.set_note("confirmed", "yes")
        rows = []
        for photo_id, cell in cells.items():
            first = before.get(photo_id, {}).get("first_seen", self.snapshot)
            rows.append(self._row(self.listing.photos[photo_id], cell, first, self.snapshot))
        ends = {row["id"] for row in due} - set(by_id)
        waiting = [row for row in missed if row["id"] not in ends and row["id"] not in cells]
        told = self.journal.recall({row["id"] for row in waiting}) if waiting else {}
        rows += [refresh.restored(r, told.get(r["id"], {}), self.host) for r in waiting]
        dead = [row for row in lacking if row["is_gone"] or row["id"] in ends]
        gone = [refresh.tombstone(row, row["last_seen"]) for row in dead]
        return sorted(rows + gone, key=lambda row: str(row["id"])), len(gone), len(by_id)

    def _second_look(self, tree: Tree, audited: Audit, doubted: Known) -> set[str]:
        """Of the photos that are doubted, those that a second look finds."""
        is_proved = tree.listed and tree.is_proved and not audited.unknown
        if is_proved and len(doubted) <= refresh.most(len(tree.listed)):
            return set()
        keys: list[str] = []

        def ask(query: Query) -> Page:
            keys.append(query.key)
            return self.ask(query)

        def looked() -> str:
            for root in self.roots:
                here = [row for row in doubted if root.box.holds(row["lon"], row["lat"])]
                refresh.missed(ask, root, here)
            return json.dumps(keys)

        # The same questions when photos have been forgotten since.
        asked = json.loads(self.journal.settled("second look " + self.questions, looked))
        entries = (e for key in asked for e in self.ask(query_of(key)).entries if not e.flaw)
        return {entry.id for entry in entries} & {row["id"] for row in doubted}

    def _stop_if_many(self, missed: Known, count: int) -> None:
        """Stop where too many photos are missed at once for each to be gone.

        Raises:
            UserError: there are, and nobody has confirmed it.
        """
        if len(missed) <= refresh.most(count) or self.is_confirmed:
            return
        asked = refresh.sample(missed)
        there = sum(self.service.by_id(row["id"]) is not None for row in asked)
        self.journal.set_note("stopped", str(len(missed)))
        said = refresh.too_many(len(missed), count, there, len(asked), self.snapshot)
        raise UserError(f"Area {self.aoi!r}: {said}")

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

    def _summary(
        self, tree: Tree, audited: Audit, probed: probes.Probed, rows: Rows, by_id: int
    ) -> dict[str, Any]:
        missed = sum(row["cell"] == "missed" for row in rows)
        listed = sum(not row["is_gone"] for row in rows) - missed
        ledger = summed(cell.ledger for cell in tree.cells)
        unreachable = sum(cell.unreachable for cell in tree.cells)
        strayed = len(self.service.strayed)
        word, reasons = verdict(
            listed, ledger, audited, unreachable, probed, strayed, _missing(tree)
        )
        if by_id:
            word = "nearly complete" if word == "complete" else word
            reasons.append(f"{by_id} photos that no search shows are there by their ids.")
        if missed:
            reasons.append(
                f"{missed} photos of the search before were missed; they stay listed until the "
                "next search misses them too and Flickr does not show them by their ids."
            )
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
            audited.calls + probed.calls,
            self.client.requests,
            " ".join(reasons),
        )
        names = ("steps", "over", "under", "worst", "over_sum", "under_sum")
        return {
            "verdict": word,
            "reasons": reasons,
            "photos": listed,
            "missed": missed,
            "calls": tree.calls,
            "calls_least": least,
            "unreachable": unreachable,
            "strayed": strayed,
            "ledger": {name: getattr(ledger, name) for name in names},
            "audit": asdict(audited) | {"unknown": len(audited.unknown)},
            "probes": asdict(probed) | {"unknown": len(probed.unknown)},
            "licenses_alone": self.alone,
            "left_out": dict(sorted(Counter(left_out.values()).items())),
            "left_out_ids": left_out,
        }


def _missing(tree: Tree) -> int:
    """Photos counted but shown to nobody, as the sweep has it that lacks most."""
    sweeps: dict[str, list[Ledger]] = {}
    for cell in tree.cells:
        sweep, colon, _ = cell.cell.partition(":")
        sweeps.setdefault(sweep if colon else "", []).append(cell.ledger)
    return max(summed(ledgers).missing for ledgers in sweeps.values())


def _cells(tree: Tree, rows: Rows) -> Rows:
    listed = Counter(row["cell"] for row in rows)
    return [_cell_row(cell, listed[cell.cell]) for cell in tree.cells]


def _cell_row(cell: Cell, listed: int) -> dict[str, Any]:
    sides = dict(zip(("west", "south", "east", "north"), cell.box.degrees, strict=True))
    account = {name: getattr(cell.ledger, name) for name in ("steps", "over", "under", "worst")}
    names = ("cell", "total", "calls", "is_leaf", "is_ordered", "unreachable")
    return sides | account | {name: getattr(cell, name) for name in names} | {"listed": listed}
