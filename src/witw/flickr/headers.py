"""HTTP headers of the API and the photo host: User-Agent and Retry-After."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from witw import __version__
from witw.environment import CONTACT


def user_agent() -> str:
    """Return the User-Agent: name, version and, if ``WITW_CONTACT`` is set, a contact."""
    words = os.environ.get(CONTACT, "").encode("ascii", "ignore").decode().split()
    contact = "".join(c for c in " ".join(words) if c.isprintable() and c not in "()")
    return f"witw/{__version__}" + (f" ({contact})" if contact else "")


def retry_after_s(header: str | None, date: str | None = None) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3); None if it is not valid.

    Args:
        header: Header Retry-After: a number of seconds or a date.
        date: Header Date, the clock that a date in Retry-After refers to; default: the local clock.
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
