"""Queries to flickr.photos.search and their pages, as the tree walk sees them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from witw.flickr.crawl.boxes import Box

REACH = 4000  # results of one query that can be seen, by the page of flickr.photos.search
PER_PAGE = 250  # "geo (or bounding box) queries will only return 250 results per page"
FULL = 0.8  # a page fuller than this may be followed by another, unless the total agrees with it


class Query(NamedTuple):
    """One question: a box, a window of upload dates, licences, a page.

    Attributes:
        box: where.
        high: latest upload, inclusive [s].
        licenses: any of these.
        page: from 1.
        low: earliest upload, inclusive [s].
        accuracy: 0: not sent, so the service's default.
        take: another number asks the same again, where one answer would not do.
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
        """The question as text; equal questions have equal keys."""
        return json.dumps(
            [self.box.text, self.low, self.high, self.licenses, self.accuracy, self.page, self.take]
        )


def query_of(key: str) -> Query:
    """The question whose :attr:`Query.key` this is."""
    box, low, high, licenses, accuracy, page, take = json.loads(key)
    return Query(Box.of(box), high, tuple(licenses), page, low, accuracy, take)


class Entry(NamedTuple):
    """A photo on a page.

    Attributes:
        id: the photo's, '' where unknown.
        upload: its date [s], 0 where unknown.
        flaw: why it is not to be listed; '' if it is.
        lon: its longitude, EPSG:4326, NaN where unknown [degrees].
        lat: its latitude [degrees].
    """

    id: str
    upload: int
    flaw: str = ""
    lon: float = math.nan
    lat: float = math.nan


@dataclass(frozen=True)
class Page:
    """One answer, in the order of the service.

    Attributes:
        total: photos that match, as the service counts them; steers, and proves nothing.
        pages: how many the service has.
        per_page: photos a full page holds.
        entries: the photos.
        strayed: of them, how many lie outside the question's box, dates or licences.
    """

    total: int
    pages: int
    per_page: int
    entries: list[Entry]
    strayed: int = 0

    @property
    def ids(self) -> list[str]:
        """Ids, in order."""
        return [entry.id for entry in self.entries]

    @property
    def uploads(self) -> list[int]:
        """Known upload dates, in order [s]."""
        return [entry.upload for entry in self.entries if entry.upload > 0]

    def is_last(self, number: int = 1) -> bool:
        """Whether nothing follows this page, the ``number``-th of its query."""
        count = len(self.entries)
        agrees = count < self.per_page and (number - 1) * self.per_page + count == self.total
        ends = self.pages <= number and (agrees or count <= FULL * self.per_page)
        return count == 0 or ends

    @property
    def unshown(self) -> float:
        """Share of the photos counted that a last page does not show."""
        return max(0, self.total - len(self.entries)) / max(self.total, 1) if self.is_last() else 0

    def is_in_order(self, high: int) -> bool:
        """Whether uploads are known, none after ``high``, newest first."""
        uploads = self.uploads
        if self.entries and not uploads:
            return False
        return all(new >= old for new, old in pairwise([high, *uploads]))


Ask = Callable[[Query], Page]
