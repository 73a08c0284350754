"""Recognise the columns of a photo table by their names, and read their values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from witw.errors import UserError

# Column of table `photos` -> its usual names; the first one in the file is used.
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
    # Accuracies on Flickr's scale from 1 to 16 need a config entry: other tables use metres.
    "accuracy": (),
}
# Names in messages -> columns.
ALIASES = {"time": "date_taken", "heading": "heading_deg", "page": "photo_page"}
_MOMENT = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)(?:[T ]+(\d\d):(\d\d)(?::(\d\d))?)?")


def found(
    have: Sequence[str], told: Mapping[str, str], where: str, geometry: bool
) -> dict[str, str]:
    """Match a table's columns to the columns of table ``photos``.

    Args:
        have: The table's columns.
        told: Names given in the config, by column of table ``photos``.
        where: Area and file, for error messages.
        geometry: Whether the table has point geometries.

    Returns:
        Maps a column of table ``photos``, or ``path``, to the table's column.

    Raises:
        UserError: Positions or files are missing, or the config names a missing column.
    """
    by_name = {name.lower(): name for name in reversed(have)}
    chosen: dict[str, str] = {}
    for key, name in told.items():
        if ALIASES.get(key, key) not in NAMES:
            keys = ", ".join(key for key in NAMES if key not in ALIASES.values())
            raise UserError(f"{where}: `columns` has the unknown key {key!r}; use {keys}.")
        if name not in have:
            raise UserError(f"{where}: it has no column {name!r}; its columns are {shown(have)}.")
        chosen[ALIASES.get(key, key)] = name
    for key, names in NAMES.items():
        match = next((by_name[name] for name in names if name in by_name), None)
        if match is not None:
            chosen.setdefault(key, match)
    if not geometry and not {"lat", "lon"} <= chosen.keys():
        raise UserError(
            f"{where}: it has no columns `lat` and `lon`; name them with `columns: "
            f"{{lat: ..., lon: ...}}`. Its columns are {shown(have)}."
        )
    if not {"path", "url"} & chosen.keys():
        raise UserError(
            f"{where}: it has neither `path` nor `url`, so photos have no file; name the column "
            f"with `columns: {{url: ...}}`. Its columns are {shown(have)}."
        )
    return chosen


def shown(names: Sequence[str]) -> str:
    """Return the first columns of a table, for a message."""
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def moment(text: str) -> str:
    """Return a date from a table or EXIF as ``YYYY-MM-DD hh:mm:ss``; '' if it is invalid.

    Integers are seconds or milliseconds since 1970 and are converted to UTC; other dates keep their
    clock.
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
