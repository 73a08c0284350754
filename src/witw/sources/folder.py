"""Photos from a folder: positions, times and headings from their EXIF data."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from witw import stage
from witw.errors import UserError
from witw.images.query import formats
from witw.sources.base import Listed, Place, Source, chosen, complete, digest
from witw.sources.columns import moment
from witw.status import Status

KINDS = (".jpg", ".jpeg", ".heic", ".heif", ".png", ".tif", ".tiff", ".webp")
READERS = 4
# EXIF 2.32: two sub-directories and their tags.
_EXIF, _GPS = 0x8769, 0x8825
_TAKEN, _DATED, _ARTIST = 0x9003, 0x0132, 0x013B
_LAT_REF, _LAT, _LON_REF, _LON, _HEADING = 1, 2, 3, 4, 17


def listed(source: Source, place: Place) -> Listed:
    """List the photos of a folder that lie in the area or have no valid position.

    Args:
        source: ``path``, ``name``, ``license`` and ``owner``.
        place: The area.

    Raises:
        UserError: The folder contains no photo.
    """
    folder = Path(source["path"])
    paths = list(photos(folder))
    if not paths:
        raise UserError(
            f"Area {place.aoi!r}: the folder {folder} contains no photo; supported endings are "
            f"{', '.join(KINDS)}."
        )
    formats()  # lets Pillow open HEIC
    with ThreadPoolExecutor(READERS) as pool:
        told = pool.map(read, paths)
        rows = pd.DataFrame(list(stage.progress(told, f"{place.aoi}: {folder}", len(paths))))
    lon, lat = rows["lon"].to_numpy(float), rows["lat"].to_numpy(float)
    wanted, bad = chosen(place, lon, lat)
    broken = (rows["unusable"] != "").to_numpy()
    rows = rows.assign(
        id=[identity(source["name"], path.relative_to(folder)) for path in paths],
        url=[str(path) for path in paths],
        title=[path.stem for path in paths],
    )[wanted | broken]
    found = Listed(complete(rows.reset_index(drop=True), source), read=len(paths))
    found.outside = int((~wanted & ~broken).sum())
    if without := int((bad & ~broken).sum()):
        found.notes.append(f"{without} photos in {folder} have no position in their EXIF data.")
    return found


def photos(folder: Path) -> Iterator[Path]:
    """Yield the visible files in and below a folder that have a photo's ending, sorted."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(KINDS) and not name.startswith("."):
                yield Path(root, name)


def identity(source: str, path: Path) -> str:
    """Return the id of a photo: its file name, and a hash of its path below the folder."""
    word = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")[:24].strip("_")
    return "-".join(filter(None, (source, word, digest(path.as_posix(), 12))))


def read(path: Path) -> dict[str, Any]:
    """Read a photo's EXIF data; a file that is not a photo gets ``unusable``."""
    row: dict[str, Any] = {"lat": np.nan, "lon": np.nan, "heading_deg": np.nan}
    row |= {"date_taken": "", "owner": "", "unusable": ""}
    try:
        with Image.open(path) as picture:
            exif = picture.getexif()
            gps, inner = exif.get_ifd(_GPS), exif.get_ifd(_EXIF)
    except OSError:
        return row | {"unusable": Status.CORRUPT.value}
    except Exception:  # broken EXIF data can raise anything; the picture may be intact
        return row
    return row | {
        "lat": _degrees(gps, _LAT, _LAT_REF, "S"),
        "lon": _degrees(gps, _LON, _LON_REF, "W"),
        "heading_deg": _number(gps.get(_HEADING)) % 360,
        "date_taken": moment(_text(inner.get(_TAKEN)) or _text(exif.get(_DATED))),
        "owner": _text(exif.get(_ARTIST)),
    }


def _degrees(gps: Mapping[int, Any], key: int, ref: int, negative: str) -> float:
    """Return degrees, minutes and seconds as one number; NaN if they are invalid."""
    try:
        parts = [_number(part) for part in gps[key]]
    except (KeyError, TypeError):
        return np.nan
    if not 1 <= len(parts) <= 3:
        return np.nan
    value = sum(part / 60**power for power, part in enumerate(parts))
    return -value if _text(gps.get(ref)).upper().startswith(negative) else float(value)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return np.nan


def _text(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return str(text).replace("\0", "").strip() if text is not None else ""
