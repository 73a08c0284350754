"""Test the completeness of a list with queries that vary what the search held constant.

A search sends queries for large boxes, with one list of licences, one accuracy and dates without a
lower end. A service that answers such queries with only a part of its photos, totals included,
contradicts itself nowhere. The audit therefore also queries smaller boxes cut elsewhere, windows of
dates, single licences, and boxes across the area's edge. From the list follows how many photos each
of these queries must count and which photos it may show.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from witw.flickr.api.records import Photo
from witw.flickr.crawl.boxes import Box
from witw.flickr.crawl.pages import PER_PAGE, Page, Query

TAKE = 1_000_000  # marks these queries as the audit's own
# Sides of the smaller boxes, as a share of the area's: 1/16 and 1/256.
SIDES = (1 / 4, 1 / 16) * 4
WINDOWS = 2
LARGEST = 2  # smaller boxes that are always queried with all licences
# extent of a box on either side of the edge; some services truncate boxes to two decimals
EDGE_DEG = 0.02
# Some photos of a page may be unknown because replicas lag; a larger share counts as hidden.
MANY, MUCH = 3, 0.1
SOME = 20  # least photos on a page for a share of them to be meaningful
WORLD = Box.around((-180.0, -90.0, 180.0, 90.0))
WORDS = {
    "license": "single licences",
    "box": "smaller boxes",
    "dates": "windows of dates",
    "edge": "boxes across the area's edge",
    "accuracy": "named accuracies",
}


class Probe(NamedTuple):
    """A query; ``kind`` is a key of :data:`WORDS`, or ``world``."""

    kind: str
    query: Query


def plan(root: Query, photos: Sequence[Photo]) -> list[Probe]:
    """Choose the queries: 22 at most for 16 licences.

    Args:
        root: Query for the whole area.
        photos: Photos listed by the search, in a fixed order; the chosen boxes contain some of
            them.
    """
    singles = [Probe("license", root._replace(licenses=(n,))) for n in _by_count(root, photos)]
    if len(root.licenses) == 1:
        singles = []
    if photos:
        chance = random.Random(root.key)  # noqa: S311
        kinds = [*(("box", side) for side in SIDES), *[("dates", 0.0)] * WINDOWS]
        # Narrow queries use the most frequent licences only.
        shared = singles[: len(kinds)] if len(singles) > len(kinds) else []
        asked = [one.query for one in shared] or [root] * len(kinds)
        if shared:
            asked, kinds = [*[root] * LARGEST, *asked], [*kinds[:LARGEST], *kinds]
        narrow = [
            Probe(kind, _narrow(query, kind, side, photos, chance))
            for (kind, side), query in zip(kinds, asked, strict=True)
        ]
        probes = [*singles[len(shared) :], *narrow, *_edges(root)]
    else:
        probes = [*singles, *_edges(root), Probe("world", root._replace(box=WORLD))]
    return [Probe(kind, query._replace(take=TAKE + n)) for n, (kind, query) in enumerate(probes)]


def _by_count(root: Query, photos: Iterable[Photo]) -> list[int]:
    count = Counter(photo.license_id for photo in photos)
    return sorted(root.licenses, key=lambda number: (-count[number], number))


def _narrow(
    query: Query, kind: str, side: float, photos: Sequence[Photo], chance: random.Random
) -> Query:
    """Return a query for a part of the area, or of the dates, that contains photos."""
    among = [photo for photo in photos if photo.license_id in query.licenses] or photos
    one = among[chance.randrange(len(among))]
    if kind == "box":
        west, south, east, north = query.box.degrees
        wide, high = (east - west) * side, (north - south) * side
        left, low = one.lon - wide * chance.random(), one.lat - high * chance.random()
        box = Box.around((left, low, left + wide, low + high)).within(query.box)
        return query._replace(box=box)
    uploads = sorted(photo.date_upload for photo in among)
    span = min(PER_PAGE, max(1, len(uploads) // 2))
    first = chance.randrange(len(uploads) - span + 1)
    return query._replace(low=uploads[first], high=uploads[first + span - 1])


def _edges(root: Query) -> list[Probe]:
    west, south, east, north = root.box.degrees
    d = EDGE_DEG
    strips = [
        (west - d, south - d, west + d, north + d),
        (east - d, south - d, east + d, north + d),
        (west - d, south - d, east + d, south + d),
        (west - d, north - d, east + d, north + d),
    ]
    return [Probe("edge", root._replace(box=Box.around(strip))) for strip in strips]


class Known:
    """Listed photos, for counting those that match a query.

    Args:
        photos: Photos by id.
        ids: Ids of the listed ones.
        is_inside: Tells whether a box lies inside the area, so that its photos can be counted.
    """

    def __init__(
        self,
        photos: Mapping[str, Photo],
        ids: Iterable[str],
        is_inside: Callable[[Box], bool] = lambda _: True,
    ) -> None:
        self.is_inside = is_inside
        self.ids = frozenset(ids)
        listed = [photos[photo_id] for photo_id in self.ids]
        rows = [(one.lon, one.lat, one.date_upload, one.license_id) for one in listed]
        self._lon, self._lat, self._upload, self._license = np.array(rows, float).reshape(-1, 4).T

    def count(self, query: Query) -> int:
        """Return how many photos the query must count."""
        west, south, east, north = query.box.degrees
        inside = (self._lon >= west) & (self._lon <= east)
        inside &= (self._lat >= south) & (self._lat <= north)
        inside &= (self._upload >= query.low) & (self._upload <= query.high)
        return int((inside & np.isin(self._license, query.licenses)).sum())


class Answer(NamedTuple):
    """The result of a probe.

    Attributes:
        probe: The probe.
        shown: Ids of the listable photos on its page.
        unknown: Those of them that are not listed.
        over: Photos counted minus photos listed; None if they cannot be compared.
        total: Number of photos counted.
        is_ignored: Whether most photos on the page do not match the query.
    """

    probe: Probe
    shown: frozenset[str]
    unknown: frozenset[str]
    over: int | None
    total: int
    is_ignored: bool

    def agrees(self, slack: int) -> bool:
        """Return whether the answer is consistent with the list.

        Args:
            slack: Number of photos that are counted but cannot be listed, such as broken records.
        """
        if self.unknown or self.over is None:
            return not self.unknown
        # An accuracy is a filter, so the total may be lower.
        return self.over <= slack and (self.over >= 0 or self.probe.kind == "accuracy")

    @property
    def hides(self) -> bool:
        """Return whether too many photos are unknown for lagging replicas to be the cause."""
        if self.is_ignored or not self.unknown:
            return False
        few = len(self.unknown) < max(MANY, MUCH * len(self.shown))
        return not few or len(self.unknown) == len(self.shown)


def judge(probe: Probe, page: Page, known: Known) -> Answer:
    """Compare a page with the list."""
    shown = frozenset(entry.id for entry in page.entries if not entry.flaw)
    is_ignored = page.strayed * 2 > len(page.entries)
    is_counted = page.total >= len(page.entries) and not is_ignored
    over = page.total - known.count(probe.query) if is_counted else None
    # Outside the area, the list says nothing.
    if probe.kind in ("edge", "world") or not known.is_inside(probe.query.box):
        over = None
    total = max(page.total, len(page.entries))
    return Answer(probe, shown, shown - known.ids, over, total, is_ignored)


@dataclass(frozen=True)
class Probed:
    """Summary of all probes of a search.

    Attributes:
        calls: Number of calls they made.
        kinds: Kinds of the queries, see :data:`WORDS`.
        shown: Distinct photos on their pages.
        unknown: Those of them that the search had not listed.
        odd: Kinds whose answers disagree with the list.
        share: Share of all photos missing, according to the worst kind.
        ignored: Licences that the service does not filter by.
        is_alive: Whether the service has photos anywhere.
    """

    calls: int = 0
    kinds: list[str] = field(default_factory=list)
    shown: int = 0
    unknown: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    share: float = 0.0
    ignored: list[int] = field(default_factory=list)
    is_alive: bool = False


def summed(answers: Collection[Answer], slack: int) -> Probed:
    """Summarize all answers."""
    kinds = [kind for kind in WORDS if any(one.probe.kind == kind for one in answers)]
    by_kind = {kind: [one for one in answers if one.probe.kind == kind] for kind in kinds}
    return Probed(
        calls=len(answers),
        kinds=kinds,
        shown=len(frozenset().union(*(one.shown for one in answers))),
        unknown=sorted(frozenset().union(*(one.unknown for one in answers))),
        odd=[k for k, group in by_kind.items() if not all(one.agrees(slack) for one in group)],
        share=max(
            (_share(k, group, slack) for k, group in by_kind.items() if k != "edge"), default=0.0
        ),
        ignored=sorted({one.probe.query.licenses[0] for one in answers if one.is_ignored}),
        is_alive=any(one.total > 0 for one in answers),
    )


def _share(kind: str, group: Sequence[Answer], slack: int) -> float:
    """Return the share of photos that one kind of query reports as missing."""
    parts = [(len(one.unknown), len(one.shown)) for one in group]
    parts = [part for part in parts if part[1] >= SOME] + [_pooled(parts)]
    if kind != "box":  # the service may shift the edges of boxes and so count other photos
        counts = [(max(0, one.over - slack), one.total) for one in group if one.over is not None]
        parts.append(_pooled(counts))
    return max(few / max(many, 1) for few, many in parts)


def _pooled(parts: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(few for few, _ in parts), sum(many for _, many in parts)
