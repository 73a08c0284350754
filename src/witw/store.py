"""Paths of the photo store and the search journals, which Snakemake never deletes.

``photos/{aoi}/{last two characters of id}/{id}.jpg`` and ``journal/{aoi}.sqlite``, relative to
the run folder. Photos are plain files, so that an interrupted download loses nothing and one
owner's photos can be removed within a day.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

# Flickr's ids are digits, others begin with the name of their source and have lower-case letters
# and digits; anything else from an answer must never become part of a path.
FLICKR_ID = re.compile(r"[0-9]{1,20}")
PHOTO_ID = re.compile(r"[0-9]{1,20}|[a-z0-9_]{1,40}(?:-[a-z0-9_]{1,40}){1,3}")
ROOT = Path("photos")
JOURNALS = Path("journal")


def photo_path(aoi: str, photo_id: str) -> Path:
    """Path of a photo, relative to the run folder.

    Raises:
        ValueError: it is no id.
    """
    if not PHOTO_ID.fullmatch(photo_id):
        raise ValueError(f"{photo_id!r} is not a photo's id")
    # In one piece: joined with `/` it takes five times as long, and there are millions.
    return Path(f"{ROOT}/{aoi}/{photo_id[-2:].zfill(2)}/{photo_id}.jpg")


def photo_id(path: Path) -> str:
    """Id of the photo a file of the store is, or is becoming."""
    return path.name.lstrip(".").split(".")[0]


def find(aoi: str, photo_ids: Collection[str]) -> list[Path]:
    """Files of these photos in an AOI's part of the store, half-fetched ones included.

    Raises:
        ValueError: one is no id.
    """
    paths = [photo_path(aoi, photo_id) for photo_id in sorted(photo_ids)]
    names = [name for path in paths for name in (path, path.with_name(f".{path.name}.part"))]
    return [name for name in names if name.is_file()]


class Usage(NamedTuple):
    """Files in a folder, and their size [bytes]."""

    files: int
    bytes: int


def usage(folder: Path) -> Usage:
    """Count the JPEG files below a folder, whole ones only; 0 where there is no folder."""
    files = size = 0
    for entry in os.scandir(folder) if folder.is_dir() else ():
        if entry.is_dir(follow_symlinks=False):
            below = usage(Path(entry.path))
            files, size = files + below.files, size + below.bytes
        elif entry.name.endswith(".jpg") and not entry.name.startswith("."):
            files, size = files + 1, size + entry.stat().st_size
    return Usage(files, size)


def journal_path(aoi: str) -> Path:
    """Journal of an AOI's searches, relative to the run folder."""
    return JOURNALS / f"{aoi}.sqlite"
