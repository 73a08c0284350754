"""Paths of the photo store and the search journals, which Snakemake never deletes.

The paths are ``photos/{aoi}/{last two characters of id}/{id}.jpg`` and ``journal/{aoi}.sqlite``,
relative to the run folder. Photos are plain files, so an interrupted download loses nothing, and an
owner's photos can be deleted within a day.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

# Flickr's ids are digits. Other ids begin with the name of their source and have lower-case letters
# and digits. No other text of an answer may become part of a path.
FLICKR_ID = re.compile(r"[0-9]{1,20}")
PHOTO_ID = re.compile(r"[0-9]{1,20}|[a-z0-9_]{1,40}(?:-[a-z0-9_]{1,40}){1,3}")
ROOT = Path("photos")
JOURNALS = Path("journal")


def photo_path(aoi: str, photo_id: str) -> Path:
    """Return the path of a photo, relative to the run folder.

    Raises:
        ValueError: the id is invalid.
    """
    if not PHOTO_ID.fullmatch(photo_id):
        raise ValueError(f"{photo_id!r} is not a photo's id")
    # One string: joining with `/` takes five times as long, and there are millions of photos.
    return Path(f"{ROOT}/{aoi}/{photo_id[-2:].zfill(2)}/{photo_id}.jpg")


def photo_id(path: Path) -> str:
    """Return the id of the photo in a file or temporary file of the store."""
    return path.name.lstrip(".").split(".")[0]


def find(aoi: str, photo_ids: Collection[str]) -> list[Path]:
    """Return the files of photos in an AOI's part of the store, including partial downloads.

    Raises:
        ValueError: an id is invalid.
    """
    paths = [photo_path(aoi, photo_id) for photo_id in sorted(photo_ids)]
    names = [name for path in paths for name in (path, path.with_name(f".{path.name}.part"))]
    return [name for name in names if name.is_file()]


class Usage(NamedTuple):
    """Number of files in a folder, and their total size [bytes]."""

    files: int
    bytes: int


def usage(folder: Path) -> Usage:
    """Count the complete JPEG files below a folder; 0 without the folder."""
    files = size = 0
    for entry in os.scandir(folder) if folder.is_dir() else ():
        if entry.is_dir(follow_symlinks=False):
            below = usage(Path(entry.path))
            files, size = files + below.files, size + below.bytes
        elif entry.name.endswith(".jpg") and not entry.name.startswith("."):
            files, size = files + 1, size + entry.stat().st_size
    return Usage(files, size)


def journal_path(aoi: str) -> Path:
    """Return the path of the journal of an AOI's searches, relative to the run folder."""
    return JOURNALS / f"{aoi}.sqlite"
