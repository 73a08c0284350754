"""How the stand-in for Flickr picks and describes photos: ``flickr.photos.search``.

Pure: no HTTP here. The rules follow the official page of flickr.photos.search
(https://www.flickr.com/services/api/flickr.photos.search.html) and, where it is silent, what users
of the API have reported and recorded.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from witw.demo.flickr_catalog import CatalogPhoto

REACHABLE = 4000  # "at most the first 4,000 results for any given search query"
PER_PAGE, PER_PAGE_MAX, PER_PAGE_MAX_GEO = 100, 500, 250
RECENT = timedelta(hours=12)  # what a geo query without a limiting agent is cut to

PastCap = Literal["repeat", "error20"]

# Filters of the real method that this one lacks: refused, for a filter ignored is a wrong answer.
UNKNOWN_FILTERS = frozenset(
    {
        "user_id",
        "tags",
        "tag_mode",
        "text",
        "contacts",
        "group_id",
        "machine_tags",
        "lat",
        "lon",
        "radius",
        "place_id",
        "woe_id",
        "geo_context",
        "is_commons",
        "in_gallery",
        "is_getty",
    }
)


class ApiError(Exception):
    """A ``stat: fail`` answer: Flickr's code and message, in HTTP 200."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class BadRequest(Exception):  # noqa: N818
    """A malformed parameter that the real service answers with HTTP 400 and an HTML body."""


class Catalog:
    """Photos as arrays, in the order of ``date-posted-desc`` (ties by id)."""

    def __init__(self, photos: Sequence[CatalogPhoto], past_cap: PastCap = "repeat") -> None:
        self.photos = sorted(photos, key=lambda p: (-p.date_upload, -int(p.id)))
        self.past_cap = past_cap
        # To the six digits of the answers, so that no photo is answered outside of its box.
        self.lat = np.array([round(p.lat, 6) for p in self.photos], dtype=np.float64)
        self.lon = np.array([round(p.lon, 6) for p in self.photos], dtype=np.float64)
        self.license = np.array([p.license_id for p in self.photos], dtype=np.int16)
        self.accuracy = np.array([p.accuracy for p in self.photos], dtype=np.int16)
        self.taken = np.array([p.date_taken for p in self.photos], dtype=np.str_)
        # Ascending, so that a window of upload dates is a slice found by bisection.
        self._age = np.array([-p.date_upload for p in self.photos], dtype=np.int64)

    def select(self, params: Mapping[str, str]) -> NDArray[np.intp]:
        """Positions in ``photos`` of everything a query matches, in the order it asks for.

        Raises:
            ApiError: no or an unknown filter, or an unknown order.
            BadRequest: a malformed number or box.
        """
        unknown = sorted(UNKNOWN_FILTERS & set(params))
        if unknown:
            raise ApiError(1, f"This stand-in for Flickr does not filter by {unknown[0]}")
        if not {"bbox", "license", *_DATES} & set(params):
            raise ApiError(
                3,
                "Parameterless searches have been disabled. "
                "Please use flickr.photos.getRecent instead.",
            )
        start, stop = self._uploaded(params)
        keep = self._matches(params, slice(start, stop))
        found = np.flatnonzero(keep) + start
        order = params.get("sort", "date-posted-desc")
        if order not in ("date-posted-desc", "date-posted-asc"):
            raise ApiError(1, f"This stand-in for Flickr does not sort by {order}")
        return found[::-1] if order == "date-posted-asc" else found

    def _uploaded(self, params: Mapping[str, str]) -> tuple[int, int]:
        """The slice of photos inside the (inclusive) upload dates."""
        limited = {"min_upload_date", "min_taken_date"} & set(params)
        low = _seconds(params["min_upload_date"]) if "min_upload_date" in params else None
        if "bbox" in params and not limited and self.photos:
            low = self.photos[0].date_upload - int(RECENT.total_seconds())
        high = _seconds(params["max_upload_date"]) if "max_upload_date" in params else None
        start = 0 if high is None else int(np.searchsorted(self._age, -high, side="left"))
        stop = (
            len(self.photos) if low is None else int(np.searchsorted(self._age, -low, side="right"))
        )
        return start, max(start, stop)

    def _matches(self, params: Mapping[str, str], part: slice) -> NDArray[np.bool_]:
        lat, lon = self.lat[part], self.lon[part]
        keep = np.ones(len(lat), dtype=np.bool_)
        if not _every_photo(params):
            keep[:] = False
        if "bbox" in params:
            west, south, east, north = parse_bbox(params["bbox"])
            keep &= (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
        if "license" in params:
            keep &= np.isin(self.license[part], _integers(params["license"]))
        if "accuracy" in params:
            keep &= self.accuracy[part] >= _integer(params["accuracy"])
        if "min_taken_date" in params:
            keep &= self.taken[part] >= _local_time(params["min_taken_date"])
        if "max_taken_date" in params:
            keep &= self.taken[part] <= _local_time(params["max_taken_date"])
        return keep

    def search(self, params: Mapping[str, str], photo_host: str) -> dict[str, Any]:
        """Answer flickr.photos.search: the ``photos`` object of its JSON.

        Args:
            params: the method's parameters, as text.
            photo_host: scheme, host and port of the photo addresses.

        Raises:
            ApiError: as :meth:`select`, or an offset past the cap where that is an error.
            BadRequest: as :meth:`select`.
        """
        found = self.select(params)
        most = PER_PAGE_MAX_GEO if "bbox" in params else PER_PAGE_MAX
        size = _integer(params.get("per_page", PER_PAGE))
        size = min(size, most) if size > 0 else PER_PAGE
        page = max(1, _integer(params.get("page", 1)))
        last = -(-REACHABLE // size)
        if page > last and self.past_cap == "error20" and len(found) > REACHABLE:
            raise ApiError(20, "Excessive photo offset in search")
        shown = min(page, last)
        rows = found[(shown - 1) * size : min(shown * size, REACHABLE)]
        extras = {name.strip() for name in params.get("extras", "").split(",")}
        total, pages = len(found), -(-len(found) // size)
        # Recorded answers give totals as numbers, as text and, of nothing, as empty text.
        style = zlib.crc32(repr(sorted(params.items())).encode()) % 3
        return {
            "page": page,
            "pages": str(pages) if style == 2 else pages,
            "perpage": size,
            "total": ("" if total == 0 and style == 2 else str(total)) if style else total,
            "photo": [_entry(self.photos[row], extras, photo_host) for row in rows],
        }


_DATES = ("min_upload_date", "max_upload_date", "min_taken_date", "max_taken_date")


def _every_photo(params: Mapping[str, str]) -> bool:
    """Whether the filters that are the same for all photos here let them pass.

    All are public, safe, geotagged still photographs.
    """
    return (
        params.get("has_geo", "1") != "0"
        and params.get("media", "all") in ("all", "photos")
        and "0" in params.get("content_types", "0").split(",")
        and params.get("content_type", "7") in ("1", "4", "6", "7")
    )


def parse_bbox(text: str) -> tuple[float, float, float, float]:
    """``min_lon,min_lat,max_lon,max_lat``, no spaces.

    Raises:
        BadRequest: anything else.
    """
    parts = text.split(",")
    if len(parts) != 4 or text != "".join(text.split()):
        raise BadRequest(f"bbox {text!r}")
    try:
        west, south, east, north = (float(part) for part in parts)
    except ValueError:
        raise BadRequest(f"bbox {text!r}") from None
    if not (west <= east and south <= north):
        raise BadRequest(f"bbox {text!r}")
    return west, south, east, north


def _integer(text: object) -> int:
    try:
        return int(str(text))
    except ValueError:
        raise BadRequest(f"{text!r} is not a whole number") from None


def _integers(text: str) -> list[int]:
    return [_integer(part) for part in text.split(",")]


def _seconds(text: str) -> int:
    """Unix seconds of a date given as those or as MySQL's datetime (taken as UTC)."""
    if text.isdigit():
        return int(text)
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise BadRequest(f"date {text!r}") from None


def _local_time(text: str) -> str:
    return f"{datetime.fromtimestamp(_seconds(text), UTC):%Y-%m-%d %H:%M:%S}"


def _entry(photo: CatalogPhoto, extras: set[str], photo_host: str) -> dict[str, Any]:
    """One photo of an answer; the mixture of numbers and text is that of recorded answers."""
    odd = int(photo.id) % 2 == 1
    entry: dict[str, Any] = {
        "id": photo.id,
        "owner": photo.owner,
        "secret": photo.secret,
        "server": photo.server,
        "farm": 66 if photo.server == "65535" else 1,
        "title": photo.title,
        "ispublic": "1" if odd else 1,
        "isfriend": 0,
        "isfamily": 0,
    }
    groups: dict[str, dict[str, Any]] = {
        "license": {"license": str(photo.license_id) if odd else photo.license_id},
        "description": {"description": {"_content": ""}},
        "date_upload": {"dateupload": str(photo.date_upload)},
        "last_update": {"lastupdate": str(photo.date_upload + 5)},
        "date_taken": {
            "datetaken": photo.date_taken,
            "datetakengranularity": "0" if odd else 0,
            "datetakenunknown": 0 if odd else "0",
        },
        "owner_name": {"ownername": photo.owner_name},
        "geo": {
            "latitude": f"{photo.lat:.6f}" if odd else round(photo.lat, 6),
            "longitude": round(photo.lon, 6) if odd else f"{photo.lon:.6f}",
            "accuracy": str(photo.accuracy) if odd else photo.accuracy,
            "context": 0,
            "place_id": "",
            "woeid": "0",
            "geo_is_public": 1,
            "geo_is_contact": 0,
            "geo_is_friend": 0,
            "geo_is_family": 0,
        },
        "tags": {"tags": ""},
        "media": {"media": "photo", "media_status": "ready"},
    }
    if photo.has_url:
        groups["url_m"] = {
            "url_m": f"{photo_host}/{photo.server}/{photo.id}_{photo.secret}.jpg",
            "height_m": str(photo.height) if odd else photo.height,
            "width_m": photo.width,
        }
    for name, values in groups.items():
        if name in extras:
            entry |= values
    return entry
