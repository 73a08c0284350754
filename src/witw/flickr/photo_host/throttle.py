"""Throttle requests to a photo host: slots, a learned pace, and a gate that the host can close.

Slots (requests under way) protect hosts, networks and proxies that slow down or fail under load.
The pace is for hosts that count requests (HTTP 429).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from witw.flickr.photo_host.pace import Pace

LATEST = 16  # requests whose times give the rate before the first refusal
TINY_S = 1e-6  # below any clock's resolution
NAP_S = 0.25  # shorter than the turn, because a refusal may bring the next turn forward
MADE_UP_S = 0.02  # timers fire late; up to this delay is made up for
# After this many halvings of the slots without a useful response, failures are blamed on the host
# instead of the photos.
ROUNDS = 3


@dataclass(frozen=True)
class Limits:
    """Parallelism, retries and timeouts.

    Attributes:
        slots: Number of parallel requests at the start.
        most_slots: Largest number of parallel requests.
        tries: Least number of requests for a photo before it fails. Refusals (HTTP 429) do not
            count, because they say nothing about the photo.
        refusals: Number of refusals after which a photo fails in any case.
        span_s: Least time for which a photo is tried.
        base_s: Longest first pause between tries. Each later one is up to twice as long.
        cap_s: Longest pause between tries.
        steady_s: Time after which an identical response is final.
        connect_s: Longest time to establish a connection.
        read_s: Longest silence within a response.
        total_s: Longest time to complete a response.
        patience_s: A host counts as down after this time without a useful response. A longer pause
            that it asks for is not waited for.
    """

    slots: int = 8
    most_slots: int = 32
    tries: int = 8
    refusals: int = 60
    span_s: float = 180.0
    base_s: float = 1.0
    cap_s: float = 60.0
    steady_s: float = 20.0
    connect_s: float = 15.0
    read_s: float = 30.0
    total_s: float = 120.0
    patience_s: float = 900.0

    def pause_s(self, attempt: int) -> float:
        """Return a backoff with full jitter (Brooker, AWS Architecture Blog, 2015)."""
        return random.uniform(0, self._longest_s(attempt))  # noqa: S311

    def gate_s(self, attempt: int) -> float:
        """Return a pause for a host that gave no duration, at least half the longest backoff."""
        longest_s = self._longest_s(attempt)
        return random.uniform(longest_s / 2, longest_s)  # noqa: S311

    def _longest_s(self, attempt: int) -> float:
        return min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 60))


class Throttle:
    """Additive increase, multiplicative decrease of the parallel requests to one host.

    All requests wait while the host's gate is closed: a 429 answers one request but applies to all.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._slots = float(min(limits.slots, limits.most_slots))
        self._active = 0
        self._refused = False
        self._rounds = self._refusals = 0
        self._asked_s = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._now = asyncio.get_running_loop().time
        self._opens = self._halved = self._useful = self._turn = self._now()
        self._pace = Pace()
        self._held = False
        self._sent: deque[float] = deque(maxlen=LATEST)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one request's place: wait for a free slot, then for the gate and for its turn."""
        await self._enter()
        try:
            held = False
            while (wait := max(self._opens, self._turn) - self._now()) > TINY_S:
                held = held or self._turn > self._opens
                await asyncio.sleep(min(wait, NAP_S))
            self._send(held)
            yield
        finally:
            self._active -= 1
            self._admit()

    def _send(self, held: bool) -> None:
        """Record a request; the next one's turn is one step of the pace later."""
        now, self._held = self._now(), held
        self._sent.append(now)
        self._turn = max(self._turn, now - MADE_UP_S) + 1 / self._pace.per_s

    @property
    def pace_per_s(self) -> float:
        """Requests per second that the host seems to allow; infinite before its first refusal."""
        return self._pace.per_s

    async def _enter(self) -> None:
        """Take a slot in order of arrival; :meth:`_admit` counts it as taken."""
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._admit()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._active -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._active < int(self._slots):
            place = self._waiting.popleft()
            if not place.done():
                self._active += 1
                place.set_result(None)

    @property
    def slots(self) -> int:
        """Largest number of parallel requests."""
        return int(self._slots)

    @property
    def shut_s(self) -> float:
        """Remaining time for which the gate is closed [s]."""
        return max(0.0, self._opens - self._now())

    @property
    def useful_at(self) -> float:
        """Time of the host's last useful response, on the loop's clock."""
        return self._useful

    @property
    def silent_s(self) -> float:
        """Time without a useful response, excluding the longest pause the host asked for [s]."""
        return self._now() - self._useful - self._asked_s

    def useful(self) -> None:
        """Record a useful response and raise the load slightly.

        Before the first refusal the slots double with every round of responses, then they grow by
        one per round (slow start and congestion avoidance, RFC 5681).
        """
        self._useful = self._now()
        self._asked_s = 0.0
        self._rounds = self._refusals = 0
        self._pace.useful(self._useful, self._held)
        step = 1 / self._slots if self._refused else 1
        self._slots = min(self._limits.most_slots, self._slots + step)

    def slower(self, asked_at: float, own: bool = False) -> None:
        """Record a failed request: halve the slots, once for all requests sent before the halving.

        If failures continue without a useful response, the gate is closed for a moment too, so that
        a host or a network that is down does not use up the tries of every photo in progress.

        Args:
            asked_at: Time of the request.
            own: This photo failed before while others succeeded, so the host is not to blame.
        """
        if not own and self._halve(asked_at) and self._rounds > ROUNDS:
            self._shut(self._limits.gate_s(1))

    def close(self, pause_s: float | None, asked_at: float) -> None:
        """Close the gate for ``pause_s``, or for a default pause if the host gave no duration."""
        first = self._halve(asked_at)
        if pause_s is not None:
            self._shut(pause_s)
            self._asked_s = max(self._asked_s, pause_s)
        elif first or not self.shut_s:
            self._refusals += 1
            self._shut(self._limits.gate_s(self._refusals))
        if first:
            wait_s = self._pace.refused(self._now(), self._sent_per_s, self.shut_s)
            # The pace starts when the gate opens, so that waiting requests do not arrive all at
            # once.
            self._turn = self._now() + wait_s

    @property
    def _sent_per_s(self) -> float:
        passed_s = self._sent[-1] - self._sent[0] if len(self._sent) > 1 else 0.0
        return len(self._sent) / max(passed_s, 0.01)

    def _halve(self, asked_at: float) -> bool:
        if asked_at < self._halved:
            return False
        self._refused = True
        self._slots = max(1.0, self._slots / 2)
        self._halved = self._now()
        self._rounds += 1
        return True

    def _shut(self, pause_s: float) -> None:
        self._opens = max(self._opens, self._now() + pause_s)
