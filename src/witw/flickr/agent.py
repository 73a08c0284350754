"""How requests introduce themselves, to the API and to the photo host alike."""

from __future__ import annotations

import os
from importlib.metadata import version

from witw.preflight import CONTACT


def user_agent() -> str:
    """Who asks: name, version and, where ``WITW_CONTACT`` is set, how to reach its user."""
    words = os.environ.get(CONTACT, "").encode("ascii", "ignore").decode().split()
    contact = "".join(c for c in " ".join(words) if c.isprintable() and c not in "()")
    return f"witw/{version('witw')}" + (f" ({contact})" if contact else "")
