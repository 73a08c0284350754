"""A picture for the data card: one pair, side by side."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
from PIL import Image

from witw import files
from witw.dataset.credit import license_class
from witw.images.photo import open_photo
from witw.images.resize import fit
from witw.status import Status

SIDE = 384  # side of both squares [px]
GAP = 8  # between them [px]
TRIES = 100  # pairs that are looked at for one whose files can be read


def draw(path: Path, pairs: pd.DataFrame, folder: Path) -> pd.Series | None:
    """Write a pair's photo and chip side by side, or a white picture without a pair.

    The first by a hash of the id is taken, of licences that allow changed versions before others:
    equal pairs give equal bytes, and no area is preferred.

    Args:
        path: JPEG file to write.
        pairs: table ``pairs``, paths relative to ``folder``.
        folder: the data set's.

    Returns:
        The pair's row; None if there is none that can be read.
    """
    sheet, shown = Image.new("RGB", (2 * SIDE + GAP, SIDE), "white"), None
    for _, row in _ordered(pairs).head(TRIES).iterrows():
        try:
            squares = [open_photo(folder / row[f"{kind}_path"]) for kind in ("photo", "chip")]
        except (OSError, SyntaxError, ValueError):
            continue
        for place, square in enumerate(squares):
            small = Image.fromarray(fit(square, SIDE))
            left = place * (SIDE + GAP) + (SIDE - small.width) // 2
            sheet.paste(small, (left, (SIDE - small.height) // 2))
        shown = row
        break
    with files.atomic(path) as part:
        sheet.save(part, "JPEG", quality=90)
    return shown


def _ordered(pairs: pd.DataFrame) -> pd.DataFrame:
    rows = pairs[pairs["status"] == Status.PAIRED].dropna(subset=["photo_path", "chip_path"])
    terms = zip(rows["license"].fillna(""), rows["license_url"].fillna(""), strict=True)
    limited = ["no changed" in license_class(name, url) for name, url in terms]
    keys = [hashlib.sha256(str(photo).encode()).hexdigest() for photo in rows["id"]]
    rows = rows.assign(_limited=limited, _key=keys)
    return rows.sort_values(["_limited", "_key", "aoi"], ignore_index=True)
