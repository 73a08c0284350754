"""Faults that the stand-in injects."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# Faults in the order of their draws; a new one comes last, so that the others' draws stay.
API_FAULTS = (
    "api_503",
    "api_429",
    "html_200",
    "api_busy",
    "api_5xx",
    "api_busy_0",
    "api_busy_10",
    "api_busy_105",
    "api_busy_400",
    "api_comma",
    "api_cut",
    "api_reset",
    "api_stall",
)
PHOTO_FAULTS = (
    "photo_503",
    "photo_429",
    "photo_truncated",
    "photo_reset",
    "photo_5xx",
    "photo_403",
    "photo_short",
    "photo_html",
    "photo_stall",
)
FATES = (
    "404",
    "410",
    "placeholder",
    "placeholder_png",
    "placeholder_jpeg",
    "403",
    "html",
    "redirect",
    "elsewhere",
    "loop",
    "oversize",
    "451",
    "damaged",
    "gzip",
)


@dataclass(frozen=True)
class Faults:
    """Shares of requests that fail deliberately, and of photos with a permanent fault.

    The draw of a fault depends on the request and its repetition, the draw of a fate on the photo's
    id. Neither depends on the clock or on other requests. No request fails more than ``most``
    times, while a fate is permanent.

    Attributes:
        seed: Seed of all draws.
        api_503: HTTP 503.
        api_429: HTTP 429, an HTML body; ``retry_after`` gives its form.
        html_200: A page instead of JSON, in HTTP 200.
        api_busy: stat=fail, code 201, in HTTP 200; ``api_busy_0``, ``_10`` and ``_105`` likewise.
        api_5xx: HTTP 500, 502 or 504.
        api_busy_400: HTTP 400 with code 201's sentence in its body.
        api_comma: Code 201 in broken JSON (a comma before the brace), regardless of the requested
            format, in HTTP 200.
        api_cut: Half a response, then the connection ends.
        api_reset: The connection is reset before a response.
        api_stall: No response; the connection is closed after the behaviour's ``stall_s``.
        photo_503: HTTP 503.
        photo_429: HTTP 429.
        photo_truncated: Half a picture, then the connection ends.
        photo_reset: Half a picture, then the connection is reset.
        photo_5xx: HTTP 500, 502 or 504.
        photo_403: HTTP 403 that passes, as sent by gateways.
        photo_short: Half a picture in an otherwise complete response.
        photo_html: A page in HTTP 200, in half of the cases declared as image/jpeg.
        photo_stall: Half a picture and then silence, or silence from the start.
        fate_404: Gone, HTTP 404 and an empty body.
        fate_410: Gone, HTTP 410.
        fate_placeholder: HTTP 302 to a PNG that says that the photo is unavailable.
        fate_placeholder_png: That PNG itself, in HTTP 200.
        fate_placeholder_jpeg: The same picture as a JPEG, in HTTP 200.
        fate_403: Permanent HTTP 403.
        fate_html: Always a page, in HTTP 200.
        fate_redirect: HTTP 302 to another path of the same host, where the photo is.
        fate_elsewhere: HTTP 302 to another host, where a photo is.
        fate_loop: HTTP 302 to itself.
        fate_oversize: A picture followed by far too many bytes.
        fate_451: HTTP 451, withheld for legal reasons.
        fate_damaged: A JPEG with a hole, its end marker in place.
        fate_gzip: The photo with ``Content-Encoding: gzip``, although compression was not
            requested.
        photo_rate_per_s: Photos per second that the host allows (a token bucket). Further requests
            get HTTP 429, with ``retry_after`` until the next token. 0: unlimited.
        photo_burst: Capacity of its bucket, in tokens.
        retry_after_s: Pause that a 429 asks for [s].
        retry_after: Form of that pause: seconds, a date, nothing, or each of them in turn.
        most: Largest number of faults per request.
    """

    seed: int = 0
    api_503: float = 0.0
    api_429: float = 0.0
    html_200: float = 0.0
    api_busy: float = 0.0
    photo_503: float = 0.0
    photo_429: float = 0.0
    photo_truncated: float = 0.0
    photo_reset: float = 0.0
    retry_after_s: float = 1.0
    most: int = 2
    retry_after: Literal["seconds", "date", "none", "mixed"] = "seconds"
    api_5xx: float = 0.0
    api_busy_0: float = 0.0
    api_busy_10: float = 0.0
    api_busy_105: float = 0.0
    api_busy_400: float = 0.0
    api_comma: float = 0.0
    api_cut: float = 0.0
    api_reset: float = 0.0
    api_stall: float = 0.0
    photo_5xx: float = 0.0
    photo_403: float = 0.0
    photo_short: float = 0.0
    photo_html: float = 0.0
    photo_stall: float = 0.0
    fate_404: float = 0.0
    fate_410: float = 0.0
    fate_placeholder: float = 0.0
    fate_placeholder_png: float = 0.0
    fate_placeholder_jpeg: float = 0.0
    fate_403: float = 0.0
    fate_html: float = 0.0
    fate_redirect: float = 0.0
    fate_elsewhere: float = 0.0
    fate_loop: float = 0.0
    fate_oversize: float = 0.0
    fate_451: float = 0.0
    fate_damaged: float = 0.0
    fate_gzip: float = 0.0
    photo_rate_per_s: float = 0.0
    photo_burst: float = 1.0

    def draw(self, names: Sequence[str], key: str, attempt: int) -> str:
        """Return the fault of the ``attempt``-th request for ``key``, or ''."""
        if attempt > self.most:
            return ""
        return self._one(names, f"{key}|{attempt}")

    def fate(self, photo_id: str) -> str:
        """Return a photo's permanent fault, one of :data:`FATES`, or ''."""
        names = [f"fate_{name}" for name in FATES]
        return self._one(names, f"fate|{photo_id}").removeprefix("fate_")

    def choose[T](self, among: Sequence[T], key: str, attempt: int) -> T:
        """Choose one of several items for the ``attempt``-th request for ``key``."""
        return among[int(self._share(f"which|{key}|{attempt}") * len(among))]

    def _one(self, names: Sequence[str], what: str) -> str:
        left = self._share(what)
        for name in names:
            left -= getattr(self, name)
            if left < 0:
                return name
        return ""

    def _share(self, what: str) -> float:
        digest = hashlib.sha256(f"{self.seed}|{what}".encode()).digest()
        # The uppermost 53 bits, so that the result is below 1.
        return (int.from_bytes(digest[:8]) >> 11) / 2**53
