"""Catalog of photos as arrays, newest upload first, and the filter behind a query."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from threading import Lock
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from witw.demo.fake_flickr.catalog.draws import hex_text, mixed, uniform
from witw.demo.fake_flickr.catalog.records import CatalogPhoto

Positions = NDArray[np.int32]
CACHE_POSITIONS = 32 * 2**20  # size of the cache of found positions, at 4 bytes each

# Defaults of columns that are not given; see CatalogPhoto for all columns.
_DEFAULTS: dict[str, Any] = {
    "owner": "00000001@N00",
    "owner_name": "",
    "title": "",
    "accuracy": 16,
    "license_id": 0,
    "server": "65535",
} | {f.name: f.default for f in fields(CatalogPhoto) if f.default is not MISSING}
_TYPES: dict[str, Any] = {
    "id": np.int64,
    "lat": np.float64,
    "lon": np.float64,
    "date_upload": np.int64,
    "accuracy": np.int8,
    "license_id": np.int8,
    "context": np.int8,
    "content_type": np.int8,
    "safety": np.int8,
    "has_geo": np.bool_,
    "has_url": np.bool_,
    "width": np.int16,
    "height": np.int16,
}


class Hidden(NamedTuple):
    """A share of the photos, drawn by id, that a query neither shows nor counts.

    Attributes:
        purpose: Name of the draw.
        share: Share of the photos.
        license_id: The only affected licence; None: all.
    """

    purpose: str
    share: float
    license_id: int | None = None


@dataclass(frozen=True)
class Wanted:
    """The part of a query that stays fixed while its dates vary: the box and all filters, resolved.

    Attributes:
        box: West, south, east, north, EPSG:4326 [degrees]; None: anywhere.
        is_half_open: Whether the eastern and northern edges are excluded.
        has_geo: With (True) or without geotag; None: either.
        licenses: Ids; None: any. The other tuples likewise.
        taken: First and last ``date_taken``, as text; "": open.
        hidden: Photos excluded from everything.
        seed: Seed of the draws of ``hidden``.
    """

    box: tuple[float, float, float, float] | None = None
    is_half_open: bool = False
    has_geo: bool | None = None
    licenses: tuple[int, ...] | None = None
    accuracies: tuple[int, ...] | None = None
    contexts: tuple[int, ...] | None = None
    contents: tuple[int, ...] | None = None
    safeties: tuple[int, ...] | None = None
    media: str = ""
    taken: tuple[str, str] = ("", "")
    hidden: tuple[Hidden, ...] = ()
    seed: int = 0


class Columns:
    """Photos as arrays of one length, ordered as ``date-posted-desc`` (ties by id).

    Args:
        given: Arrays, or one value for all, by the names of :class:`CatalogPhoto`'s fields. ``id``,
            ``lat``, ``lon`` and ``date_upload`` are required, the others have defaults.

    Raises:
        ValueError: A column is missing, or an id occurs twice.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        lacking = [name for name in ("id", "lat", "lon", "date_upload") if name not in given]
        if lacking:
            raise ValueError(f"the catalog lacks the column {lacking[0]!r}")
        ids = np.asarray(given["id"]).astype(np.int64)
        upload = np.asarray(given["date_upload"]).astype(np.int64)
        order = np.lexsort((-ids, -upload))
        names = {f.name for f in fields(CatalogPhoto)} - {"secret", "date_taken"}
        self.by_name: dict[str, NDArray[Any]] = {
            name: _column(name, given.get(name, _DEFAULTS.get(name)), order) for name in names
        }
        self.by_name["secret"] = (
            _column("secret", given["secret"], order)
            if "secret" in given
            else hex_text(mixed(ids[order], 0, "secret"), 10)
        )
        taken = given.get("date_taken", upload.astype("datetime64[s]"))
        self.by_name["date_taken"] = _times(taken, len(ids))[order]
        self.id, self.upload = self.by_name["id"], self.by_name["date_upload"]
        # Rounded to the six digits of responses, so that no returned photo lies outside its box.
        self.lat = self.by_name["lat"] = np.round(self.by_name["lat"], 6)
        self.lon = self.by_name["lon"] = np.round(self.by_name["lon"], 6)
        self._age = -self.upload  # ascending
        self._by_lat = np.argsort(self.lat, kind="stable").astype(np.int32)
        self._sorted_lat = self.lat[self._by_lat]
        self._by_id = np.argsort(self.id)
        self._sorted_id = self.id[self._by_id]
        if np.any(self._sorted_id[1:] == self._sorted_id[:-1]):
            raise ValueError("an id occurs twice in the catalog")
        self._cache: OrderedDict[Wanted, Positions] = OrderedDict()
        self._cached = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.id)

    def rows(self, name: str, positions: Positions) -> list[Any]:
        """Return values of a column as Python objects."""
        values: list[Any] = self.by_name[name][positions].tolist()
        return values

    def find(self, photo_id: str) -> int | None:
        """Return the position of a photo, None if the id is unknown."""
        if not (photo_id.isascii() and photo_id.isdigit() and len(photo_id) < 19):
            return None
        spot = int(np.searchsorted(self._sorted_id, int(photo_id)))
        if spot == len(self) or str(self._sorted_id[spot]) != photo_id:
            return None
        return int(self._by_id[spot])

    def window(self, low: int | None, high: int | None) -> tuple[int, int]:
        """Return the slice of positions uploaded from ``low`` to ``high``, inclusive [s]."""
        start = 0 if high is None else int(np.searchsorted(self._age, -high, side="left"))
        stop = len(self) if low is None else int(np.searchsorted(self._age, -low, side="right"))
        return start, max(start, stop)

    def positions(self, wanted: Wanted) -> Positions:
        """Return the ascending positions of all wanted photos, cached for the next call."""
        with self._lock:
            found = self._cache.get(wanted)
            if found is not None:
                self._cache.move_to_end(wanted)
                return found
        found = self._filter(self._inside(wanted), wanted)
        found.flags.writeable = False
        with self._lock:
            self._cache[wanted] = found
            self._cached += len(found)
            while self._cached > CACHE_POSITIONS and len(self._cache) > 1:
                self._cached -= len(self._cache.popitem(last=False)[1])
        return found

    def _inside(self, wanted: Wanted) -> Positions:
        if wanted.box is None:
            return np.arange(len(self), dtype=np.int32)
        if wanted.has_geo is False:
            return np.zeros(0, np.int32)
        west, south, east, north = wanted.box
        side: Literal["left", "right"] = "left" if wanted.is_half_open else "right"
        low = int(np.searchsorted(self._sorted_lat, south, side="left"))
        high = max(low, int(np.searchsorted(self._sorted_lat, north, side=side)))
        band = self._by_lat[low:high]
        lon = self.lon[band]
        keep = (lon >= west) & ((lon < east) if wanted.is_half_open else (lon <= east))
        return np.sort(band[keep])

    def _filter(self, found: Positions, wanted: Wanted) -> Positions:
        for name, allowed in (
            ("license_id", wanted.licenses),
            ("accuracy", wanted.accuracies),
            ("context", wanted.contexts),
            ("content_type", wanted.contents),
            ("safety", wanted.safeties),
        ):
            if allowed is not None:
                table = np.zeros(256, np.bool_)
                table[[value for value in allowed if 0 <= value < 256]] = True
                found = found[table[self.by_name[name][found]]]
        if wanted.has_geo is not None:
            found = found[self.by_name["has_geo"][found] == wanted.has_geo]
        if wanted.media:
            found = found[self.by_name["media"][found] == wanted.media]
        first, last = wanted.taken
        if first:
            found = found[self.by_name["date_taken"][found] >= first]
        if last:
            found = found[self.by_name["date_taken"][found] <= last]
        for purpose, share, license_id in wanted.hidden:
            keep = uniform(self.id[found], wanted.seed, purpose) >= share
            if license_id is not None:
                keep |= self.by_name["license_id"][found] != license_id
            found = found[keep]
        return found


def from_photos(photos: Sequence[CatalogPhoto]) -> Columns:
    """Return the columns of a list of photos."""
    names = [f.name for f in fields(CatalogPhoto)]
    return Columns({name: [getattr(photo, name) for photo in photos] for name in names})


class Photos(Sequence[CatalogPhoto]):
    """The photos of columns, newest upload first, created on access."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns)

    @overload
    def __getitem__(self, index: int) -> CatalogPhoto: ...
    @overload
    def __getitem__(self, index: slice) -> list[CatalogPhoto]: ...
    def __getitem__(self, index: int | slice) -> CatalogPhoto | list[CatalogPhoto]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        spot = np.array([index], np.int32)
        values = {f.name: self._columns.rows(f.name, spot)[0] for f in fields(CatalogPhoto)}
        return CatalogPhoto(**(values | {"id": str(values["id"])}))


def _column(name: str, values: Any, order: NDArray[np.intp]) -> NDArray[Any]:
    """Return one column in order; a value for all photos takes the space of one."""
    kind = _TYPES.get(name, np.object_)
    if isinstance(values, str) or np.ndim(values) == 0:
        return np.broadcast_to(np.array(values, kind), len(order))
    return np.asarray(values, kind)[order]


def _times(taken: Any, count: int) -> NDArray[np.str_]:
    """Return ``YYYY-MM-DD HH:MM:SS`` for texts or datetime64."""
    times = np.asarray(taken)
    if not np.issubdtype(times.dtype, np.datetime64):
        # Through pandas, because its own text type has no fixed-length numpy type.
        return np.broadcast_to(pd.Series(times.reshape(-1)).to_numpy(object).astype("<U19"), count)
    text = np.datetime_as_string(times.astype("datetime64[s]")).astype("<U19")
    codes = text.view(np.uint32).reshape(-1, 19).copy()
    codes[:, 10] = ord(" ")
    return np.broadcast_to(codes.view("<U19")[:, 0], count)
