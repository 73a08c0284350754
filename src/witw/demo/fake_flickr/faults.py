"""Faults that the stand-in injects."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# In the order they are drawn; a new one comes last, so that the draws of the others stay.
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
    """Shares of requests that go wrong on purpose, and of photos that are not as they should be.

    The draw of a fault depends on the request and how often it was made, that of a fate on the
    photo's id, never on the clock or on what else is going on; no request is made to fail more
    than ``most`` times, and a fate is for good.

    Attributes:
        seed: of all draws.
        api_503: HTTP 503.
        api_429: HTTP 429, an HTML body; ``retry_after`` says what comes with it.
        html_200: a page instead of JSON, in HTTP 200.
        api_busy: stat=fail, code 201, in HTTP 200; ``api_busy_0``, ``_10`` and ``_105`` likewise.
        api_5xx: HTTP 500, 502 or 504.
        api_busy_400: HTTP 400 with code 201's sentence in its body.
        api_comma: code 201 in broken JSON (a comma before the brace), whatever format was asked
            for, in HTTP 200.
        api_cut: half an answer, then the connection ends.
        api_reset: the connection is reset before an answer.
        api_stall: no answer, and after ``stall_s`` of the behaviour no connection either.
        photo_503: HTTP 503.
        photo_429: HTTP 429.
        photo_truncated: half a picture, then the connection ends.
        photo_reset: half a picture, then the connection is reset.
        photo_5xx: HTTP 500, 502 or 504.
        photo_403: HTTP 403 that passes, as gateways say it.
        photo_short: half a picture in an answer that is otherwise complete.
        photo_html: a page in HTTP 200, half of them called image/jpeg.
        photo_stall: half a picture and then nothing, or nothing at all.
        fate_404: gone, HTTP 404 and an empty body.
        fate_410: gone, HTTP 410.
        fate_placeholder: HTTP 302 to a PNG that says that the photo is unavailable.
        fate_placeholder_png: that PNG itself, in HTTP 200.
        fate_placeholder_jpeg: the same picture as a JPEG, in HTTP 200.
        fate_403: HTTP 403 for good.
        fate_html: always a page, in HTTP 200.
        fate_redirect: HTTP 302 to another path of the same host, where the photo is.
        fate_elsewhere: HTTP 302 to another host, where a photo is.
        fate_loop: HTTP 302 to itself.
        fate_oversize: a picture followed by far too many bytes.
        fate_451: HTTP 451, withheld for legal reasons.
        fate_damaged: a JPEG with a hole, its end marker in place.
        fate_gzip: the photo in ``Content-Encoding: gzip``, though nobody asked for it.
        photo_rate_per_s: Photos a second that the host allows (a token bucket); the others get
            HTTP 429, with ``retry_after`` until the next token. 0: any number.
        photo_burst: Tokens that its bucket holds.
        retry_after_s: what a 429 asks for [s].
        retry_after: in which form: seconds, a date, nothing, or each of them in turn.
        most: faults of one request.
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
        """Name of the fault that meets the ``attempt``-th request for ``key``, or ''."""
        if attempt > self.most:
            return ""
        return self._one(names, f"{key}|{attempt}")

    def fate(self, photo_id: str) -> str:
        """What is wrong with a photo for good, one of :data:`FATES`, or ''."""
        names = [f"fate_{name}" for name in FATES]
        return self._one(names, f"fate|{photo_id}").removeprefix("fate_")

    def choose[T](self, among: Sequence[T], key: str, attempt: int) -> T:
        """One of several, for the ``attempt``-th request for ``key``."""
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
        # The uppermost 53 bits, so that 1 cannot come out.
        return (int.from_bytes(digest[:8]) >> 11) / 2**53
