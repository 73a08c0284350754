"""What a data set says of the places its photos come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from witw.store import FLICKR_ID

FLICKR_NOTICE = "This product uses the Flickr API but is not endorsed or certified by SmugMug, Inc."
_MAPILLARY = "https://www.mapillary.com/"


def is_of_flickr(pairs: pd.DataFrame) -> pd.Series[bool]:
    """Which photos are Flickr's, whichever source has listed them."""
    return pairs["id"].str.fullmatch(FLICKR_ID.pattern).fillna(False)


def noun(pairs: pd.DataFrame) -> str:
    """What the photos are, at the beginning of a sentence."""
    of_flickr = "Flickr " if is_of_flickr(pairs).all() else ""
    is_open = (pairs["license"].fillna("") != "").all()
    return f"{'Openly licensed, geotagged' if is_open else 'Geotagged'} {of_flickr}photos"


def notices(pairs: pd.DataFrame) -> list[str]:
    """Sentences that sources ask for, and what a user has to know of licences."""
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
    """Up to when photos were listed, of the areas that a search has listed."""
    searched = set(pairs.loc[pairs["source"] == "flickr", "aoi"])
    known = searched or (set(areas) if not len(pairs) else set())
    return sorted({str(areas[name]["snapshot"]) for name in known if name in areas})


def joined(sentences: Sequence[str]) -> str:
    """Sentences as a paragraph."""
    return " ".join(sentences)
