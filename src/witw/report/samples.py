"""Sample pairs for the report: a few of every area, with owner, licence and link."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from witw.dataset.credit import clean
from witw.images.photo import open_photo
from witw.status import Status
from witw.tables import MADE

log = logging.getLogger(__name__)

# Flickr's API terms allow at most 30 photos of its members on a page.
MAX_PHOTOS = 30
THUMB_PX = 300


@dataclass(frozen=True)
class Sample:
    """One pair for the page; the pictures are ``data:`` addresses."""

    photo: str
    chip: str
    title: str
    owner: str
    license: str
    license_url: str
    page: str
    city: str
    scene: str


def choose(pairs: pd.DataFrame, count: int) -> pd.DataFrame:
    """Choose up to ``count`` paired photos, evenly over the AOIs, by a hash of their id.

    The hash makes the choice independent of upload date and place, and equal in every run.
    """
    paired = pairs[pairs["status"] == Status.PAIRED]
    key = [hashlib.sha1(str(i).encode(), usedforsecurity=False).hexdigest() for i in paired["id"]]
    order = paired.assign(_key=key).sort_values(["_key", "aoi"])
    turn = order.groupby("aoi").cumcount()
    chosen = order.assign(_turn=turn).sort_values(["_turn", "aoi"]).head(max(0, count))
    return chosen.sort_values(["aoi", "_turn"]).drop(columns=["_key", "_turn"])


def samples(pairs: pd.DataFrame, count: int) -> list[Sample]:
    """Choose pairs and read their pictures, without pairs whose files no longer exist."""
    shown = (sample(row) for row in choose(pairs, count).to_dict("records"))
    return [one for one in shown if one]


def sample(row: dict[Any, Any], chip: bool = True) -> Sample | None:
    """Return a row of ``pairs`` with its pictures; None if a file no longer exists.

    Args:
        row: row of table ``pairs``.
        chip: whether to include the chip.
    """
    try:
        photo, overhead = _thumb(open_photo(Path(row["photo_path"]))), ""
        if chip:
            with Image.open(row["chip_path"]) as picture:
                overhead = _thumb(picture.convert("RGB"))
    except (OSError, ValueError, TypeError) as error:
        log.warning("photo %s is not shown: %s", row["id"], error)
        return None
    return _sample(row, photo, overhead)


def _sample(row: dict[Any, Any], photo: str, chip: str) -> Sample:
    def text(key: str) -> str:
        value = row[key]
        return "" if pd.isna(value) else clean(str(value))

    return Sample(
        photo=photo,
        chip=chip,
        title=text("title") or "Untitled",
        owner=text("owner_name") or text("owner"),
        license=text("license"),
        license_url=web_address(text("license_url")),
        # A synthetic photo has no real page, and the address may belong to somebody.
        page="" if text("satellite") == MADE else web_address(text("url")),
        city=text("city"),
        scene=text("scene_top1").replace("_", " "),
    )


def web_address(text: str) -> str:
    """Return the text if it is an http(s) address, otherwise '': no `javascript:` links."""
    return text if text.lower().startswith(("https://", "http://")) else ""


def _thumb(picture: Image.Image) -> str:
    picture.thumbnail((THUMB_PX, THUMB_PX), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")
