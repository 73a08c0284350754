"""Decide about photos of the previous search that this one lacks: found, missed or gone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from witw.environment import CONFIRMED
from witw.errors import UserError
from witw.flickr.crawl import refresh
from witw.flickr.crawl.journal import Journal
from witw.flickr.crawl.pages import Page, Query, query_of
from witw.flickr.crawl.service import Service
from witw.ground.shapes import Ground
from witw.settings.search import Search

Known = Sequence[Mapping[str, Any]]  # photos as kept from the previous search


class Settled(NamedTuple):
    """The decision about all photos.

    Attributes:
        cells: Cell by id of the photos that exist, including those found by the second look.
        rows: Rows of table ``photos`` for the missed and the gone photos.
        by_id: Number of photos that no query shows but a lookup by id does.
    """

    cells: dict[str, str]
    rows: list[dict[str, Any]]
    by_id: int


def confirmed(aoi: str) -> datetime | None:
    """Return the snapshot whose missed photos the user has confirmed to be gone.

    Raises:
        UserError: The environment variable contains no valid date.
    """
    told = os.environ.get(CONFIRMED) or "{}"
    try:
        return Search(confirm_gone=json.loads(told).get(aoi)).confirm_gone
    except (ValueError, AttributeError):
        raise UserError(
            f"{CONFIRMED} is {told!r}, which gives no date for {aoi!r}; correct or unset it."
        ) from None


@dataclass(frozen=True)
class SecondLook:
    """Looks again for photos that a search lacks.

    Attributes:
        aoi: Area, for error messages.
        ground: Shape of the area.
        licenses: Accepted licences.
        roots: Queries for the whole area, one per box.
        snapshot: Snapshot of the search, as text.
        questions: Digest of the search's queries, see ``journal.questions``.
        host: Photo host for records without an address.
        is_confirmed: Whether the user has confirmed that the missed photos are gone.
        service: Answers the queries.
        journal: Journal of the crawl.
    """

    aoi: str
    ground: Ground
    licenses: Sequence[int]
    roots: Sequence[Query]
    snapshot: str
    questions: str
    host: str
    is_confirmed: bool
    service: Service
    journal: Journal

    def settle(
        self, before: Mapping[str, Mapping[str, Any]], cells: Mapping[str, str], proved: int
    ) -> Settled:
        """Decide about the photos of ``before`` that ``cells`` lacks.

        Args:
            before: Rows of the previous search by id, without forgotten photos.
            cells: Cell by id of the photos that this search found.
            proved: Number of photos listed, if the list is proved to be whole; otherwise 0.

        Raises:
            UserError: Too many photos are missed, and the user has not confirmed it.
        """
        cells = dict(cells)
        lacking = refresh.candidates(before, cells, self.ground, self.licenses)
        doubted = [row for row in lacking if not row["is_gone"]]
        there = self._looked_for(doubted, proved)
        cells |= dict.fromkeys(sorted(there), "check")
        missed = [row for row in doubted if row["id"] not in there]
        all_before = refresh.candidates(before, (), self.ground, self.licenses)
        count = sum(not row["is_gone"] for row in all_before)
        self._stop_if_many([row for row in missed if not row.get("is_missed")], count)
        # Photos missed before already, or confirmed by the user after a search had stopped.
        is_due = self.is_confirmed and bool(self.journal.note("stopped"))
        due = [row for row in missed if is_due or row.get("is_missed")]
        by_id = sorted(row["id"] for row in due if self.service.by_id(row["id"]))
        cells |= dict.fromkeys(by_id, "check")
        if is_due:
            self.journal.set_note("confirmed", "yes")
        ends = {row["id"] for row in due} - set(by_id)
        dead = [row for row in lacking if row["is_gone"] or row["id"] in ends]
        gone = [refresh.tombstone(row, row["last_seen"]) for row in dead]
        waiting = [row for row in missed if row["id"] not in ends and row["id"] not in cells]
        return Settled(cells, self._restored(waiting) + gone, len(by_id))

    def _looked_for(self, doubted: Known, proved: int) -> set[str]:
        """Return the ids of the doubted photos that a second look finds."""
        if proved and len(doubted) <= refresh.most(proved):
            return set()
        keys: list[str] = []

        def ask(query: Query) -> Page:
            keys.append(query.key)
            return self.service.ask(query)

        def looked() -> str:
            for root in self.roots:
                here = [row for row in doubted if root.box.holds(row["lon"], row["lat"])]
                refresh.missed(ask, root, here)
            return json.dumps(keys)

        # Sends the same queries even after photos have been forgotten.
        asked = json.loads(self.journal.settled("second look " + self.questions, looked))
        pages = (self.service.ask(query_of(key)) for key in asked)
        shown = {entry.id for page in pages for entry in page.entries if not entry.flaw}
        return shown & {row["id"] for row in doubted}

    def _stop_if_many(self, missed: Known, count: int) -> None:
        """Stop if too many photos are missed at once for all of them to be gone.

        Raises:
            UserError: Too many are missed, and the user has not confirmed it.
        """
        if len(missed) <= refresh.most(count) or self.is_confirmed:
            return
        asked = refresh.sample(missed)
        there = sum(self.service.by_id(row["id"]) is not None for row in asked)
        self.journal.set_note("stopped", str(len(missed)))
        said = refresh.too_many(len(missed), count, there, len(asked), self.snapshot)
        raise UserError(f"Area {self.aoi!r}: {said}")

    def _restored(self, waiting: Known) -> list[dict[str, Any]]:
        told = self.journal.recall({row["id"] for row in waiting}) if waiting else {}
        return [refresh.restored(row, told.get(row["id"], {}), self.host) for row in waiting]
