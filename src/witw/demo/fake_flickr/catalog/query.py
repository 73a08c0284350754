"""The stand-in's flickr.photos.search without HTTP: ``Catalog.search(params, photo_host)``."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from witw.demo.fake_flickr.behaviour import Behaviour, PastCap
from witw.demo.fake_flickr.catalog.columns import Columns, Photos, Positions, from_photos
from witw.demo.fake_flickr.catalog.draws import mixed, uniform
from witw.demo.fake_flickr.catalog.entries import entries, info
from witw.demo.fake_flickr.catalog.params import (
    ORDERS,
    PER_PAGE,
    PER_PAGE_MAX,
    PER_PAGE_MAX_GEO,
    REACHABLE,
    ApiError,
    BadRequest,
    check,
    integer,
    uploaded,
    wanted,
)
from witw.demo.fake_flickr.catalog.records import CatalogPhoto
from witw.demo.fake_flickr.catalog.replicas import Noise

__all__ = ["ApiError", "BadRequest", "Catalog"]


class Catalog:
    """Photos, and the search over them.

    Args:
        photos: Photos in any order.
        past_cap: Shorthand for that of ``behaviour``.
        behaviour: Behaviour of the search; default: frozen and well-behaved.

    Attributes:
        columns: The photos as arrays.
        behaviour: As given.
        searches: Number of searches so far; noise depends on this number, from 1.
    """

    def __init__(
        self,
        photos: Sequence[CatalogPhoto],
        past_cap: PastCap | None = None,
        behaviour: Behaviour | None = None,
    ) -> None:
        chosen = behaviour or Behaviour()
        self._begin(from_photos(photos), replace(chosen, past_cap=past_cap) if past_cap else chosen)

    def _begin(self, columns: Columns, behaviour: Behaviour) -> None:
        self.columns, self.behaviour = columns, behaviour
        self.searches = 0
        self._numbers = itertools.count(1)
        self._noise = Noise(columns, behaviour)
        self._rank: NDArray[np.uint64] | None = None
        if behaviour.sort == "ignored":
            self._rank = mixed(columns.id, behaviour.seed, "rank")
        newest = int(columns.upload[0]) if len(columns) else 0
        self._now = newest if behaviour.now is None else behaviour.now

    @classmethod
    def from_columns(
        cls, columns: Columns | Mapping[str, Any], behaviour: Behaviour | None = None
    ) -> Self:
        """Make a catalog from arrays or a table; see ``columns.Columns``."""
        made = cls.__new__(cls)
        ready = columns if isinstance(columns, Columns) else Columns(columns)
        made._begin(ready, behaviour or Behaviour())
        return made

    def behaving(self, behaviour: Behaviour) -> Self:
        """Return a new search with the given behaviour over the same photos, uncopied."""
        return self.from_columns(self.columns, behaviour)

    @property
    def photos(self) -> Photos:
        """The photos, newest upload first."""
        return Photos(self.columns)

    def search(self, params: Mapping[str, str], photo_host: str) -> dict[str, Any]:
        """Perform flickr.photos.search and return the ``photos`` object of its JSON.

        Args:
            params: The method's parameters, as text.
            photo_host: Scheme, host and port of the photo addresses.

        Raises:
            ApiError: There is no filter, an unknown filter, an unknown order, or an offset past the
                cap where that is an error.
            BadRequest: A number or the box is malformed.
        """
        check(params)
        window = self.columns.window(*uploaded(params, self._now))
        call = self.searches = next(self._numbers)
        found = self._noise.found(wanted(params, self.behaviour), self._noise.replica(call))
        moving = self._noise.there(_part(found.moving, window), call)
        counted = _part(found.counted, window)
        total = self._noise.total(len(counted) + len(moving), call)
        most = PER_PAGE_MAX_GEO if "bbox" in params else PER_PAGE_MAX
        size = integer(params.get("per_page", PER_PAGE))
        size = min(size, most) if size > 0 else PER_PAGE
        page = max(1, integer(params.get("page", 1)))
        last = -(-REACHABLE // size)
        if page > last and self.behaviour.past_cap == "error20" and total > REACHABLE:
            raise ApiError(20, "Excessive photo offset in search")
        start = (min(page, last) - 1) * size
        shown = _part(found.shown, window)
        rows = self._cut(shown, moving, params, start, min(start + size, REACHABLE))
        if self.behaviour.phantoms:
            rows = rows[~self._noise.phantom[rows]]
        extras = {name.strip() for name in params.get("extras", "").split(",")}
        photo = entries(self.columns, rows, extras, photo_host, self.behaviour)
        return {"page": page, **self._totals(total, size, params), "photo": photo}

    def info(self, params: Mapping[str, str], photo_host: str) -> dict[str, Any]:
        """Perform flickr.photos.getInfo and return the ``photo`` object of its JSON.

        Raises:
            ApiError: The photo does not exist (yet, or any more).
        """
        spot = self.columns.find(params.get("photo_id", ""))
        there = None if spot is None else np.array([spot], np.int32)
        if there is None or not len(self._noise.always(there, self.searches, self.searches, True)):
            raise ApiError(1, "Photo not found")
        return info(self.columns, there, photo_host, self.behaviour)

    def _cut(
        self,
        shown: Positions,
        moving: Positions,
        params: Mapping[str, str],
        start: int,
        stop: int,
    ) -> Positions:
        """Return the ``start``-th to ``stop``-th of two ascending lists merged in order."""
        if self._rank is not None:
            together = np.concatenate([shown, moving]) if len(moving) else shown
            return together[np.argsort(self._rank[together], kind="stable")][start:stop]
        if params.get("sort", ORDERS[0]) == "date-posted-asc":
            shown, moving = shown[::-1], moving[::-1]
        if not len(moving):
            return shown[start:stop]
        # Only the first ``stop`` of each list can be among the first ``stop`` of both.
        first = np.sort(np.concatenate([shown[:stop], moving[:stop]]))
        if params.get("sort", ORDERS[0]) == "date-posted-asc":
            first = first[::-1]
        return first[start:stop]

    def _totals(self, total: int, size: int, params: Mapping[str, str]) -> dict[str, Any]:
        """Return totals as in recordings: numbers, text or, for an empty result, empty text."""
        pages = -(-total // size)
        style = zlib.crc32(repr(sorted(params.items())).encode()) % 3
        style = {"number": 0, "text": 2}.get(self.behaviour.totals, style)
        text = "" if total == 0 and style == 2 else str(total)
        return {
            "pages": str(pages) if style == 2 else pages,
            "perpage": size,
            "total": text if style else total,
        }

    def reachable(
        self, params: Mapping[str, str], first: int = 1, last: int | None = None
    ) -> list[str]:
        """Return the ids that a perfect client lists: matches that were visible all the time.

        Args:
            params: Parameters of a search; pages, order and extras do not matter.
            first: Number of the client's first search.
            last: Number of its last search; default: the latest.

        Returns:
            The ids, newest upload first. Photos that appeared or vanished meanwhile, photos that no
            replica has, and phantoms are excluded.
        """
        check(params)
        window = self.columns.window(*uploaded(params, self._now))
        part = _part(self.columns.positions(wanted(params, self.behaviour)), window)
        seen = self._noise.always(part, first, self.searches if last is None else last)
        return [str(number) for number in self.columns.rows("id", seen)]

    def malformed(self) -> list[str]:
        """Return the ids with a broken record."""
        share = uniform(self.columns.id, self.behaviour.seed, "malformed")
        return [str(n) for n in self.columns.id[share < self.behaviour.malformed].tolist()]


def _part(positions: Positions, window: tuple[int, int]) -> Positions:
    """Return the ascending positions inside a slice of the catalog."""
    low, high = np.searchsorted(positions, window)
    return positions[low:high]
