"""Connection faults shared by the stand-in's API and photo host."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate

from aiohttp import web

from witw.demo.fake_flickr.behaviour import Behaviour
from witw.demo.fake_flickr.faults import Faults
from witw.demo.fake_flickr.log import Clock, Log

HTML = "<!DOCTYPE html><html><body><h1>Bad, bad panda!</h1></body></html>"


def page(status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return an HTML page, as sent by servers in front of the service."""
    return web.Response(status=status, text=HTML, content_type="text/html", headers=headers)


class Bucket:
    """A token bucket: a rate of requests per second, and a burst.

    Args:
        rate_per_s: Tokens per second; 0: unlimited requests.
        burst: Capacity of the bucket, which starts full.
        clock: Clock of the service [s].
    """

    def __init__(self, rate_per_s: float, burst: float, clock: Clock) -> None:
        self._rate_per_s, self._burst, self._clock = rate_per_s, burst, clock
        self._tokens, self._at = burst, clock()

    def take(self) -> float:
        """Grant a request and return 0, or return the time until one would be granted [s]."""
        if self._rate_per_s <= 0:
            return 0.0
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate_per_s)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate_per_s
        self._tokens -= 1
        return 0.0


@dataclass
class Wire:
    """Injects faults into responses, independent of their content.

    Attributes:
        behaviour: Behaviour of the service.
        faults: Faults that are drawn.
        log: Log of all requests.
        stop: Set when the server ends, so that nothing delays it.
    """

    behaviour: Behaviour
    faults: Faults
    log: Log
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        faults = self.faults
        self._photos = Bucket(faults.photo_rate_per_s, faults.photo_burst, self.log.clock)

    def too_fast(self, key: str) -> web.Response | None:
        """Return HTTP 429 for a photo beyond the host's rate."""
        wait_s = self._photos.take()
        if not wait_s:
            return None
        form = self.faults.retry_after
        said = None if form in ("none", "mixed") else float(math.ceil(wait_s))
        return self.too_many("photo", key, said, form)

    async def wait(self, seconds: float) -> None:
        """Wait, unless the server ends."""
        if seconds > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), seconds)

    def refusal(self, kind: str, key: str, attempt: int) -> web.Response:
        """Return HTTP 429 and log the pause it asks for."""
        form = self.faults.retry_after
        if form == "mixed":
            form = self.faults.choose(("seconds", "date", "none"), key, attempt)
        return self.too_many(kind, key, None if form == "none" else self.faults.retry_after_s, form)

    def too_many(
        self, kind: str, key: str, wait_s: float | None, form: str = "seconds"
    ) -> web.Response:
        """Return HTTP 429 with ``Retry-After`` as seconds or a date, or without it."""
        if wait_s is None:
            return page(429)
        text = f"{wait_s:g}"
        if form == "date":
            # Whole seconds only (RFC 9110, 5.6.7), rounded up.
            moment = math.ceil(time.time() + wait_s)
            text, wait_s = formatdate(moment, usegmt=True), moment - time.time()
        self.log.close(kind, key, wait_s)
        return page(429, {"Retry-After": text})

    def closed(self, kind: str, key: str) -> web.Response | None:
        """Return HTTP 429 while a host is closed."""
        left_s = self.log.closed_s(kind) if self.behaviour.gate else 0.0
        return self.too_many(kind, key, math.ceil(left_s)) if left_s else None

    def server_error(self, key: str, attempt: int) -> web.Response:
        """Return HTTP 500, 502 or 504."""
        return page(self.faults.choose((500, 502, 504), key, attempt))

    async def stall(self, request: web.Request) -> web.Response:
        """Stay silent for a long time, then close the connection."""
        await self.wait(self.behaviour.stall_s)
        return reset(request)


def reset(request: web.Request) -> web.Response:
    """Reset the connection; the library's response is returned but never received."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        if connection is not None:
            # Lingering for zero time sends RST instead of FIN.
            zero = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, zero)
        request.transport.abort()
    return web.Response()
