"""Recognise the columns of a table of photos by their names, and read their values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from witw.errors import UserError

# Column of table `photos` -> names it goes by; the first that a table has counts.
NAMES = {
    "lat": ("lat", "latitude", "gps_lat", "decimallatitude"),
    "lon": ("lon", "lng", "long", "longitude", "gps_lon", "decimallongitude"),
    "path": ("path", "file", "filename", "filepath", "file_path", "image_path", "photo_path"),
    "url": ("url", "image_url", "photo_url", "thumb_1024_url", "thumburl", "download_url"),
    "id": ("id", "photo_id", "image_id", "key", "pageid", "uuid"),
    "license": ("license", "licence", "license_name", "licensename"),
    "license_url": ("license_url", "licenseurl", "licence_url"),
    "owner": ("owner", "credit", "author", "artist", "creator", "creator_username", "username"),
    "owner_name": ("owner_name",),
    "title": ("title", "caption"),
    "photo_page": ("page", "photo_page", "page_url", "pageurl", "descriptionurl"),
    "date_taken": ("time", "date_taken", "taken", "datetime", "captured_at", "timestamp"),
    "heading_deg": ("heading", "heading_deg", "compass_angle", "bearing"),
    "sha256": ("sha256",),
    # Of the scale 1 to 16 only where the config says so: elsewhere accuracy is in metres.
    "accuracy": (),
}
# Names for people -> columns.
ALIASES = {"time": "date_taken", "heading": "heading_deg", "page": "photo_page"}
_MOMENT = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)(?:[T ]+(\d\d):(\d\d)(?::(\d\d))?)?")


def found(
    have: Sequence[str], told: Mapping[str, str], where: str, geometry: bool
) -> dict[str, str]:
    """Which of a table's columns holds what.

    Args:
        have: the table's columns.
        told: those that the config names, by what they hold.
        where: area and file, for error texts.
        geometry: whether the table has point geometries.

    Returns:
        Column of table ``photos``, or ``path``, to the table's column.

    Raises:
        UserError: positions or files are missing, or the config names what is not there.
    """
    by_name = {name.lower(): name for name in reversed(have)}
    chosen: dict[str, str] = {}
    for key, name in told.items():
        if ALIASES.get(key, key) not in NAMES:
            keys = ", ".join(key for key in NAMES if key not in ALIASES.values())
            raise UserError(f"{where}: `columns` has {key!r}, which is none of {keys}.")
        if name not in have:
            raise UserError(f"{where}: it has no column {name!r}; it has {shown(have)}.")
        chosen[ALIASES.get(key, key)] = name
    for key, names in NAMES.items():
        match = next((by_name[name] for name in names if name in by_name), None)
        if match is not None:
            chosen.setdefault(key, match)
    if not geometry and not {"lat", "lon"} <= chosen.keys():
        raise UserError(
            f"{where}: it has no columns `lat` and `lon`; say which they are with "
            f"`columns: {{lat: ..., lon: ...}}`. It has {shown(have)}."
        )
    if not {"path", "url"} & chosen.keys():
        raise UserError(
            f"{where}: it has neither `path` nor `url`, so no photo's file is known; say which "
            f"column it is with `columns: {{url: ...}}`. It has {shown(have)}."
        )
    return chosen


def shown(names: Sequence[str]) -> str:
    """The first columns of a table, for a sentence."""
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def moment(text: str) -> str:
    """``YYYY-MM-DD hh:mm:ss`` of a date as tables and EXIF have it; '' if it is none.

    Whole numbers are seconds or milliseconds since 1970, and become UTC; all else keeps its clock.
    """
    text = text.strip()
    if re.fullmatch(r"\d{9,10}|\d{12,13}", text):
        seconds = int(text) / (1000 if len(text) > 10 else 1)
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    match = _MOMENT.match(text)
    if not match or match[1] == "0000" or not 1 <= int(match[2]) <= 12 or int(match[3]) < 1:
        return ""
    year, month, day, hour, minute, second = (part or "00" for part in match.groups())
    return f"{year}-{month}-{day} {hour}:{minute}:{second}"
