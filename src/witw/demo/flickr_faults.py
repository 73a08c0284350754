"""What goes wrong on purpose at the stand-in for Flickr."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

API_FAULTS = ("api_503", "api_429", "html_200", "api_busy")
PHOTO_FAULTS = ("photo_503", "photo_429", "photo_truncated", "photo_reset")


@dataclass(frozen=True)
class Faults:
    """Shares of requests that go wrong on purpose, drawn from a seed.

    The draw depends on the request and how often it was made, never on the
    clock or on what else is going on; no request is made to fail more than ``most`` times.
    """

    seed: int = 0
    api_503: float = 0.0
    api_429: float = 0.0
    html_200: float = 0.0  # a page instead of JSON, in HTTP 200
    api_busy: float = 0.0  # stat=fail, code 201, in HTTP 200
    photo_503: float = 0.0
    photo_429: float = 0.0
    photo_truncated: float = 0.0
    photo_reset: float = 0.0
    retry_after_s: float = 1.0
    most: int = 2

    def draw(self, names: Sequence[str], key: str, attempt: int) -> str:
        """Name of the fault that meets the ``attempt``-th request for ``key``, or ''."""
        if attempt > self.most:
            return ""
        digest = hashlib.sha256(f"{self.seed}|{key}|{attempt}".encode()).digest()
        left = int.from_bytes(digest[:8]) / 2**64
        for name in names:
            left -= getattr(self, name)
            if left < 0:
                return name
        return ""
