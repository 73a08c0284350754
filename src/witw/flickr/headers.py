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


def retry_after_s(header: str | None, date: str | None = None) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3): a number or a date; None: neither.

    Args:
        header: Retry-After.
        date: header Date, the clock by which a date of the first is meant; default: our clock.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    moment = _moment(header)
    if moment is None:
        return None
    now = datetime.now(UTC)
    theirs = _moment(date or "")
    return max(0.0, (moment - (theirs or now)).total_seconds())


def _moment(header: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
