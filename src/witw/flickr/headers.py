"""HTTP headers of the API and the photo host: User-Agent and Retry-After."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from witw import __version__
from witw.environment import CONTACT


def user_agent() -> str:
    """Who asks: name, version and, where ``WITW_CONTACT`` is set, how to reach its user."""
    words = os.environ.get(CONTACT, "").encode("ascii", "ignore").decode().split()
    contact = "".join(c for c in " ".join(words) if c.isprintable() and c not in "()")
    return f"witw/{__version__}" + (f" ({contact})" if contact else "")


def retry_after_s(header: str | None) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3): a number or a date; None: neither."""
    if header is None:
        return None
    try:
        seconds = float(header)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
