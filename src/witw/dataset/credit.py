"""Attribution line that open licences require."""

from __future__ import annotations

import unicodedata

# Emoji are joined with these; every other format character (among them the ones that turn the
# direction of text) is dropped, as it would change how the rest of the line reads.
JOINERS = "\u200c\u200d"
LONGEST = 300  # characters shown; Flickr's own titles have up to 255


def clean(text: str) -> str:
    """One line of the text: control characters and line breaks are blanks, runs of blanks one.

    What is longer than :data:`LONGEST` is cut off there.
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


def credit(title: str, owner: str, license_name: str, page: str) -> str:
    """``"Title" by Owner, LICENCE, page``, as Creative Commons recommends (title, author, ...).

    Args:
        title: as given by the owner; may be empty.
        owner: the owner's name.
        license_name: name of the licence.
        page: address of the photo's page.

    Returns:
        The line, without the parts that are not known.
    """
    name = clean(title).replace('"', "'")
    start = f'"{name}"' if name else "Untitled"
    by = f"{start} by {clean(owner)}" if clean(owner) else start
    return ", ".join(filter(None, (by, clean(license_name), clean(page))))
