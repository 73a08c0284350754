"""Queries to flickr.photos.search and their pages, as the quadtree sees them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from witw.flickr.crawl.boxes import Box

REACH = 4000  # results per query that can be seen, see the page of flickr.photos.search
PER_PAGE = 250  # "geo (or bounding box) queries will only return 250 results per page"
FULL = 0.8  # after a page fuller than this another may follow, unless the total says otherwise


class Query(NamedTuple):
    """A query: a box, a window of upload dates, licences and a page number.

    Attributes:
        box: Region to search.
        high: Latest upload date, inclusive [s].
        licenses: Accepted licences; a photo has any of them.
        page: Page number, from 1.
        low: Earliest upload date, inclusive [s].
        accuracy: Accuracy to send; 0 leaves it to the service's default.
        take: Distinguishes repetitions of the same query.
    """

    box: Box
    high: int
    licenses: tuple[int, ...]
    page: int = 1
    low: int = 1
    accuracy: int = 0
    take: int = 0

    @property
    def key(self) -> str:
        """The query as text; equal queries have equal keys."""
        return json.dumps(
            [self.box.text, self.low, self.high, self.licenses, self.accuracy, self.page, self.take]
        )


def query_of(key: str) -> Query:
    """Parse a query from its :attr:`Query.key`."""
    box, low, high, licenses, accuracy, page, take = json.loads(key)
    return Query(Box.of(box), high, tuple(licenses), page, low, accuracy, take)


def whole(boxes: Iterable[Box], snapshot: datetime, licenses: Sequence[int]) -> list[Query]:
    """Return the query for all photos of each box up to a snapshot."""
    high = math.floor(snapshot.timestamp())
    return [Query(box, high, tuple(licenses)) for box in boxes]


class Entry(NamedTuple):
    """A photo on a page.

    Attributes:
        id: Photo id; '' if unknown.
        upload: Upload date [s]; 0 if unknown.
        flaw: Reason why the photo cannot be listed; '' if it can.
        lon: Longitude, EPSG:4326 [degrees]; NaN if unknown.
        lat: Latitude [degrees]; NaN if unknown.
    """

    id: str
    upload: int
    flaw: str = ""
    lon: float = math.nan
    lat: float = math.nan


@dataclass(frozen=True)
class Page:
    """One response, in the order of the service.

    Attributes:
        total: Number of matches as counted by the service. It guides the search but proves nothing.
        pages: Number of pages as counted by the service.
        per_page: Number of photos on a full page.
        entries: The photos.
        strayed: Number of photos outside the query's box, dates or licences.
    """

    total: int
    pages: int
    per_page: int
    entries: list[Entry]
    strayed: int = 0

    @property
    def ids(self) -> list[str]:
        """Ids, in page order."""
        return [entry.id for entry in self.entries]

    @property
    def uploads(self) -> list[int]:
        """Known upload dates, in page order [s]."""
        return [entry.upload for entry in self.entries if entry.upload > 0]

    def is_last(self, number: int = 1) -> bool:
        """Return whether this page, number ``number`` of its query, is the last one."""
        count = len(self.entries)
        agrees = count < self.per_page and (number - 1) * self.per_page + count == self.total
        ends = self.pages <= number and (agrees or count <= FULL * self.per_page)
        return count == 0 or ends

    @property
    def unshown(self) -> float:
        """Share of the counted photos that a last page does not show."""
        return max(0, self.total - len(self.entries)) / max(self.total, 1) if self.is_last() else 0

    def is_in_order(self, high: int) -> bool:
        """Return whether uploads are known, none is after ``high``, and the newest is first."""
        uploads = self.uploads
        if self.entries and not uploads:
            return False
        return all(new >= old for new, old in pairwise([high, *uploads]))


Ask = Callable[[Query], Page]
