"""How hard a photo host is asked: slots that grow while it answers, and a gate it can close."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Limits:
    """Patience and eagerness.

    Attributes:
        slots: requests under way at the start.
        most_slots: requests under way at most.
        tries: requests spent on one photo.
        base_s: the first pause before another try is up to this long; each next up to twice that.
        cap_s: no such pause is longer.
        connect_s: a connection not made by then is a failure.
        read_s: so is a silence of this length,
        total_s: and an answer not complete by then.
        patience_s: the longest wait a host may ask for, and the longest time without one useful
            answer, before it counts as down.
    """

    slots: int = 8
    most_slots: int = 32
    tries: int = 10
    base_s: float = 1.0
    cap_s: float = 60.0
    connect_s: float = 15.0
    read_s: float = 30.0
    total_s: float = 120.0
    patience_s: float = 900.0

    def pause_s(self, attempt: int) -> float:
        """Backoff with full jitter (Brooker, AWS Architecture Blog, 2015) after attempt >= 1."""
        return random.uniform(0, min(self.cap_s, self.base_s * 2 ** (attempt - 1)))  # noqa: S311


class Throttle:
    """Additive increase, multiplicative decrease of the requests under way at one host.

    All requests wait while the host's gate is closed: a 429 answers one of them but means all.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._slots = float(limits.slots)
        self._active = 0
        self._refusals = 0
        self._freed = asyncio.Condition()
        self._now = asyncio.get_running_loop().time
        self._opens = self._halved = self._useful = self._now()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One request's place: waits for a free slot, then for the gate."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._active < int(self._slots))
            self._active += 1
        try:
            while (wait := self._opens - self._now()) > 0:
                await asyncio.sleep(wait)
            yield
        finally:
            async with self._freed:
                self._active -= 1
                self._freed.notify(2)  # the slots may have grown by one meanwhile

    @property
    def silent_s(self) -> float:
        """How long the host, its gate open, has given no useful answer [s]."""
        return self._now() - max(self._useful, self._opens)

    def useful(self) -> None:
        """The host answered: ask it a little harder."""
        self._useful = self._now()
        self._refusals = 0
        self._slots = min(self._limits.most_slots, self._slots + 1 / self._slots)

    def slower(self, asked_at: float) -> None:
        """A request failed: halve the slots, once for all those asked before that was done."""
        if asked_at >= self._halved:
            self._slots = max(1.0, self._slots / 2)
            self._halved = self._now()

    def close(self, pause_s: float | None, asked_at: float) -> None:
        """The host asked to be left alone, for ``pause_s`` or (None) without saying how long."""
        if pause_s is None:
            if asked_at >= self._halved:
                self._refusals += 1
            pause_s = self._limits.pause_s(max(1, self._refusals))
        self._opens = max(self._opens, self._now() + pause_s)
        self.slower(asked_at)


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
