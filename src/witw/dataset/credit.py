"""Credits that open licences require, and the classes of licences."""

from __future__ import annotations

import re
import unicodedata

import pandas as pd

from witw.sources.terms import terms
from witw.status import Status

# Emoji are joined with these; every other format character (among them the ones that turn the
# direction of text) is dropped, as it would change how the rest of the line reads.
JOINERS = "\u200c\u200d"
LONGEST = 300  # characters shown; Flickr's own titles have up to 255


def clean(text: str) -> str:
    """Convert a text to one line: control characters and runs of whitespace become one space.

    Text beyond :data:`LONGEST` characters is cut off.
    """
    kept = []
    for char in text:
        kind = unicodedata.category(char)
        if kind in ("Cc", "Zl", "Zp"):
            kept.append(" ")
        elif kind not in ("Cf", "Cs") or char in JOINERS:
            kept.append(char)
    line = " ".join("".join(kept).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def shown(text: str) -> str:
    """Return a text for a CSV cell, with an apostrophe before one that spreadsheets would compute.

    Names such as ``@jane`` and ``- dusk -`` stay: without a call or a link they compute nothing.
    """
    is_formula = text.startswith("=") or (text[:1] in "+-@" and re.search(r"[(|!]", text))
    return f"'{text}" if is_formula else text


def credit(title: str, owner: str, license_name: str, page: str) -> str:
    """Return ``"Title" by Owner, LICENCE, page``, as Creative Commons recommends.

    Args:
        title: title by the owner; may be empty.
        owner: the owner's name.
        license_name: name of the licence.
        page: address of the photo's page.

    Returns:
        The line, without unknown parts.
    """
    name = clean(title).replace('"', "'")
    start = f'"{name}"' if name else "Untitled"
    by = f"{start} by {clean(owner)}" if clean(owner) else start
    return ", ".join(filter(None, (by, clean(license_name), clean(page))))


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
    """Return a licence's SPDX identifier (https://spdx.org/licenses), or ``LicenseRef-...``."""
    found = terms(name, url).name
    if found in _PLAIN:
        return _PLAIN[found]
    if re.fullmatch(r"CC BY(-NC)?(-ND|-SA)? \d\.\d", found):
        return found.replace(" ", "-")
    return "LicenseRef-" + (re.sub(r"[^A-Za-z0-9.]+", "-", found).strip("-") or "unknown")


def license_class(name: str, url: str) -> str:
    """Return the class of a licence: ``any use``, ``no commercial use``, ...; or ``?``.

    All licences except the public domain require attribution, which the class does not mention.
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
    """Return one row per pair, with author, title and licence.

    Args:
        pairs: table ``pairs``.

    Returns:
        Columns :data:`CREDITS`; ``license`` is an SPDX identifier. Authors and titles are as in
        :func:`shown`, because people open this table with spreadsheets.
    """
    paired = pairs[pairs["status"] == Status.PAIRED]
    names, urls = (paired[key].fillna("").astype(str) for key in ("license", "license_url"))
    author = paired["owner_name"].fillna(paired["owner"]).fillna("")
    out = pd.DataFrame(
        {
            "id": paired["id"],
            "aoi": paired["aoi"],
            "author": author.map(clean).map(shown),
            "title": paired["title"].fillna("").map(clean).map(shown),
            "license": [spdx(name, url) for name, url in zip(names, urls, strict=True)],
            "license_url": urls,
            "photo_page": paired["url"].fillna(""),
            "credit": paired["credit"].fillna(""),
        }
    )
    return out[CREDITS]
