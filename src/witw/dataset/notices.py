"""Notices about the sources of a data set's photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from witw.store import FLICKR_ID

FLICKR_NOTICE = "This product uses the Flickr API but is not endorsed or certified by SmugMug, Inc."
_MAPILLARY = "https://www.mapillary.com/"


def is_of_flickr(pairs: pd.DataFrame) -> pd.Series[bool]:
    """Mark the photos from Flickr, listed by any source."""
    return pairs["id"].str.fullmatch(FLICKR_ID.pattern).fillna(False)


def noun(pairs: pd.DataFrame) -> str:
    """Return a noun for the photos, for the beginning of a sentence."""
    of_flickr = "Flickr " if is_of_flickr(pairs).all() else ""
    is_open = (pairs["license"].fillna("") != "").all()
    return f"{'Openly licensed, geotagged' if is_open else 'Geotagged'} {of_flickr}photos"


def notices(pairs: pd.DataFrame) -> list[str]:
    """Return the sentences that sources require, and a warning about unknown licences."""
    names, out = set(pairs["source"].dropna()), []
    # An empty data set of the default config is Flickr's.
    if "flickr" in names or not names:
        out.append(FLICKR_NOTICE)
    if "yfcc100m" in names:
        out.append(
            "Photos are listed by YFCC100M (B. Thomee and others, Communications of the ACM 59 "
            "(2), 2016)."
        )
    if pairs["photo_page" if "photo_page" in pairs else "url"].str.startswith(_MAPILLARY).any():
        out.append("Images by contributors to Mapillary, CC BY-SA 4.0.")
    if unnamed := int((pairs["license"].fillna("") == "").sum()):
        out.append(
            f"{unnamed:,} photos name no licence: pass them on only with their owners' consent."
        )
    return out


def snapshots(areas: Mapping[str, Mapping[str, Any]], pairs: pd.DataFrame) -> list[str]:
    """Return the search snapshots of the areas with photos from Flickr."""
    searched = set(pairs.loc[pairs["source"] == "flickr", "aoi"])
    known = searched or (set(areas) if not len(pairs) else set())
    return sorted({str(areas[name]["snapshot"]) for name in known if name in areas})


def joined(sentences: Sequence[str]) -> str:
    """Join sentences to a paragraph."""
    return " ".join(sentences)
