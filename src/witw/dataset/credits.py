"""Credits of the pairs and the classes of their licences."""

from __future__ import annotations

import re

import pandas as pd

from witw.dataset.credit import clean
from witw.sources.terms import terms
from witw.status import Status

CREDITS = [
    "id",
    "aoi",
    "author",
    "title",
    "license",
    "license_url",
    "photo_page",
    "credit",
]
_PLAIN = {"CC0 1.0": "CC0-1.0", "Public Domain Mark 1.0": "CC-PDM-1.0"}


def spdx(name: str, url: str) -> str:
    """SPDX identifier of a licence (https://spdx.org/licenses); ``LicenseRef-...`` for others."""
    found = terms(name, url).name
    if found in _PLAIN:
        return _PLAIN[found]
    if re.fullmatch(r"CC BY(-NC)?(-ND|-SA)? \d\.\d", found):
        return found.replace(" ", "-")
    return "LicenseRef-" + (re.sub(r"[^A-Za-z0-9.]+", "-", found).strip("-") or "unknown")


def license_class(name: str, url: str) -> str:
    """What users may do, in words that compare: ``any use``, ``no commercial use``, ...; or ``?``.

    ``attribution`` is asked for by all but the public domain and is not told here.
    """
    found = terms(name, url)
    if found.commercial is None:
        return "?"
    limits = [
        word
        for word, holds in (
            ("no commercial use", not found.commercial),
            ("no changed versions", not found.derivatives),
            ("changed versions under the same licence", found.share_alike),
        )
        if holds
    ]
    return ", ".join(limits) or "any use"


def credits_table(pairs: pd.DataFrame) -> pd.DataFrame:
    """One row a pair: whom to name, and under which licence.

    Args:
        pairs: table ``pairs``.

    Returns:
        Columns :data:`CREDITS`; ``license`` is an SPDX identifier.
    """
    paired = pairs[pairs["status"] == Status.PAIRED]
    names, urls = (paired[key].fillna("").astype(str) for key in ("license", "license_url"))
    author = paired["owner_name"].fillna(paired["owner"]).fillna("")
    out = pd.DataFrame(
        {
            "id": paired["id"],
            "aoi": paired["aoi"],
            "author": author.map(clean),
            "title": paired["title"].fillna("").map(clean),
            "license": [spdx(name, url) for name, url in zip(names, urls, strict=True)],
            "license_url": urls,
            "photo_page": paired["url"].fillna(""),
            "credit": paired["credit"].fillna(""),
        }
    )
    return out[CREDITS]
