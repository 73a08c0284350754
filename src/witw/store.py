"""The photo store: plain files outside the outputs that Snakemake may delete.

``photos/{aoi}/{last two digits of id}/{id}.jpg``, relative to the run folder. Files, so that an
interrupted download loses nothing and one owner's photos can be removed within a day.
"""

from __future__ import annotations

import re
from pathlib import Path

# Flickr's ids are digits; anything else from an answer must never become part of a path.
PHOTO_ID = re.compile(r"[0-9]{1,20}")
ROOT = Path("photos")


def photo_path(aoi: str, photo_id: str) -> Path:
    """Path of a photo, relative to the run folder.

    Raises:
        ValueError: the id is not digits.
    """
    if not PHOTO_ID.fullmatch(photo_id):
        raise ValueError(f"photo id {photo_id!r} is not a number")
    return ROOT / aoi / photo_id[-2:].zfill(2) / f"{photo_id}.jpg"
