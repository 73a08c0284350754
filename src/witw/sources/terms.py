"""Names, texts and permissions of licences. No I/O.

Sources write licences in many ways ("CC BY-SA 4.0", "Attribution-ShareAlike License", an address at
creativecommons.org). Creative Commons licences are normalised, so that tables can be counted and
filtered; other licences stay as given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

# Flickr's ids: flickr.photos.licenses.getInfo, June 2025.
_FLICKR = {
    ("by-nc-sa", "2.0"): 1,
    ("by-nc", "2.0"): 2,
    ("by-nc-nd", "2.0"): 3,
    ("by", "2.0"): 4,
    ("by-sa", "2.0"): 5,
    ("by-nd", "2.0"): 6,
    ("zero", "1.0"): 9,
    ("mark", "1.0"): 10,
    ("by", "4.0"): 11,
    ("by-sa", "4.0"): 12,
    ("by-nd", "4.0"): 13,
    ("by-nc", "4.0"): 14,
    ("by-nc-sa", "4.0"): 15,
    ("by-nc-nd", "4.0"): 16,
}
_ADDRESS = re.compile(r"creativecommons\.org/(licenses|publicdomain)/([a-z-]+)/(\d\.\d)")
_WORDS = {
    "noncommercial": "nc",
    "non-commercial": "nc",
    "noderivatives": "nd",
    "noderivs": "nd",
    "no-derivs": "nd",
    "sharealike": "sa",
    "share-alike": "sa",
    "attribution": "by",
}
_PUBLIC = re.compile(r"public domain|no known copyright|united states government|\bus gov", re.I)


@dataclass(frozen=True)
class Terms:
    """A licence.

    Attributes:
        id: Flickr's id, if Flickr has the licence.
        name: Name such as ``CC BY-SA 4.0``; as given if it is not Creative Commons.
        url: Address of its text; may be empty.
        commercial: Whether it allows commercial use; None if unknown.
        derivatives: Whether it allows changed versions; None if unknown.
        share_alike: Whether changed versions must carry the same licence; None if unknown.
    """

    id: int | None
    name: str
    url: str
    commercial: bool | None = None
    derivatives: bool | None = None
    share_alike: bool | None = None


@lru_cache(maxsize=4096)
def terms(name: str, url: str = "") -> Terms:
    """Parse a licence from its name, its address or both."""
    name, url = name.strip(), url.strip()
    found = _ADDRESS.search(url.lower()) or _ADDRESS.search(name.lower())
    if found:
        return _creative_commons(found[2], found[3])
    if code := _code(name.lower()):
        version = re.search(r"\b\d\.\d\b", name)
        return _creative_commons(code, version[0] if version else "")
    if _PUBLIC.search(name):
        return Terms(None, name, url, True, True, False)
    return Terms(None, name, url)


def _code(name: str) -> str:
    """Return the code in a licence's name, such as ``by-nc-sa``; '' if there is none."""
    if re.search(r"\bcc[ -]?0\b|\bcc[ -]zero\b|creative commons zero", name):
        return "zero"
    if "public domain mark" in name:
        return "mark"
    text = name
    for word, short in _WORDS.items():
        text = text.replace(word, f" {short} ")
    parts = [part for part in re.split(r"[^a-z0-9.]+", text) if part]
    is_meant = "attribution" in name or "cc" in parts or "creative" in parts or name[:3] == "by-"
    if not is_meant or "by" not in parts:
        return ""
    return "-".join(["by", *(part for part in ("nc", "nd", "sa") if part in parts)])


def _creative_commons(code: str, version: str) -> Terms:
    parts = code.split("-")
    if code in ("zero", "mark"):
        name = "CC0 1.0" if code == "zero" else "Public Domain Mark 1.0"
        url = f"https://creativecommons.org/publicdomain/{code}/1.0/"
        return Terms(_FLICKR[code, "1.0"], name, url, True, True, False)
    name = f"CC {code.upper()} {version}".rstrip()
    url = f"https://creativecommons.org/licenses/{code}/{version}/" if version else ""
    code = "by-nc-nd" if code == "by-nd-nc" else code
    return Terms(
        _FLICKR.get((code, version)), name, url, "nc" not in parts, "nd" not in parts, "sa" in parts
    )
