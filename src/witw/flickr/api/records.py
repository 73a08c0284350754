"""Parse Flickr's responses into typed rows; no I/O.

Flickr is loose with types: a field may be a number, a text, empty or missing. This module handles
all of these cases.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from witw.flickr.hosts import is_loopback
from witw.store import FLICKR_ID


class UnusableError(ValueError):
    """A photo in a response that cannot become a row; the error text is a short reason."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A listed photo; its fields are columns of the table ``photos``, see :mod:`witw.tables`."""

    id: str
    owner: str
    owner_name: str
    title: str
    license_id: int
    date_taken: str
    date_upload: int
    lat: float
    lon: float
    accuracy: int | None
    url: str

    @property
    def page(self) -> str:
        """URL of the photo's page, which the API's terms require as a link."""
        return f"https://www.flickr.com/photos/{quote(self.owner, safe='@')}/{self.id}"


def text(value: object) -> str:
    """Return the text of a field that may be missing, a number, or wrapped in ``_content``."""
    if not isinstance(value, str) and isinstance(value, Mapping):
        value = value.get("_content")
    # Half a surrogate pair is legal in JSON, but not in UTF-8, so it cannot go into a table.
    return "" if value is None else str(value).encode("utf-8", "replace").decode("utf-8")


def integer(value: object) -> int | None:
    """Return an integer from a number or its text, otherwise None."""
    number = real(value)
    return int(number) if number is not None and number == int(number) else None


def real(value: object) -> float | None:
    """Return a finite float from a number or its text, otherwise None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def rows_of(
    answer: Mapping[str, Any], group: str, item: str
) -> tuple[Mapping[str, Any], list[Any]]:
    """Return the object ``group`` of a response and its list ``item``.

    Raises:
        ValueError: Either is missing, so the response is not the API's.
    """
    found = answer.get(group)
    if not isinstance(found, Mapping) or not isinstance(found.get(item, []), list):
        raise ValueError(f"no {group}.{item} in the response")
    return found, list(found.get(item, []))


def photos_of(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the photo records of a response to flickr.photos.search or flickr.photos.getInfo."""
    group, one = answer.get("photos"), answer.get("photo")
    if isinstance(one, Mapping):
        return [one]
    rows = group.get("photo") if isinstance(group, Mapping) else None
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def parse(raw: object, host: str) -> Photo:
    """Parse one photo of flickr.photos.search.

    Args:
        raw: The photo's object, with the extras requested by :mod:`witw.flickr.search`.
        host: Scheme and name of the photo host, see :func:`address`.

    Raises:
        UnusableError: The photo has no valid id, no geotag (coordinates 0, 0 or accuracy 0), no
            upload date or no licence.
    """
    if not isinstance(raw, Mapping):
        raise UnusableError("not an object")
    photo_id = text(raw.get("id"))
    if not FLICKR_ID.fullmatch(photo_id):
        raise UnusableError("an id that is not a number")
    lat, lon = real(raw.get("latitude")), real(raw.get("longitude"))
    accuracy = integer(raw.get("accuracy"))
    if lat is None or lon is None or (lat == 0 and lon == 0) or accuracy == 0:
        raise UnusableError("no geotag")
    date_upload, license_id = integer(raw.get("dateupload")), integer(raw.get("license"))
    if date_upload is None or date_upload < 1:
        raise UnusableError("no upload date")
    if license_id is None:
        raise UnusableError("no licence")
    return Photo(
        id=photo_id,
        owner=text(raw.get("owner")),
        owner_name=text(raw.get("ownername")),
        title=text(raw.get("title")),
        license_id=license_id,
        date_taken=text(raw.get("datetaken")),
        date_upload=date_upload,
        lat=lat,
        lon=lon,
        accuracy=accuracy if accuracy in range(1, 17) else None,
        url=_url(raw, photo_id, host),
    )


def _url(raw: Mapping[str, Any], photo_id: str, host: str) -> str:
    """Return the URL of the 500 px file: as received, else by the documented rule, else ''.

    The 500 px file has no suffix (https://www.flickr.com/services/api/misc.urls.html); ``_m``,
    which the name ``url_m`` suggests, is 240 px. Some records have server 0, which does not exist.
    """
    given = text(raw.get("url_m"))
    if re.fullmatch(r"https?://[^/\s]+/\S+", given):
        return given
    server, secret = text(raw.get("server")), text(raw.get("secret"))
    if not re.fullmatch(r"[1-9][0-9]*", server) or not re.fullmatch(r"[0-9a-zA-Z]+", secret):
        return ""
    return f"{host}/{server}/{photo_id}_{secret}.jpg"


def address(photo_hosts: Sequence[str]) -> str:
    """Return scheme and name of the first photo host; https by default, http for this machine."""
    first = photo_hosts[0].rstrip("/")
    if "://" in first:
        return first
    return f"{'http' if is_loopback(urlsplit(f'//{first}').hostname or '') else 'https'}://{first}"
