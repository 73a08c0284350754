"""Log of the stand-in's requests, including those that ignored a Retry-After."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

HOUR_S = 3600.0
Clock = Callable[[], float]


class VirtualClock:
    """A clock that advances only on command, for tests that span hours.

    Pass it to the server as ``clock`` and its ``sleep`` to the client.
    """

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        """Return the current time [s]."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Advance by ``seconds`` at once."""
        self.now_s += seconds


@dataclass(frozen=True)
class Call:
    """One request as it was served, for inspection by tests.

    Attributes:
        kind: ``api``, ``photo``, or ``elsewhere`` for the host that photos must not come from.
        name: The API method, or the path of the photo.
        params: Parameters of the API method, without the key.
        fault: Name of the injected fault, or ''.
        at: Time on the server's clock, by default time.monotonic() [s].
        attempt: Number of the repetition of the same request, from 1.
        early_s: Time by which it ignored an earlier 429 to the same request [s]; else 0.
        agent: The ``User-Agent``.
    """

    kind: str
    name: str
    params: Mapping[str, str]
    fault: str
    at: float
    attempt: int = 1
    early_s: float = 0.0
    agent: str = ""


@dataclass
class Gate:
    """A host, or a request, that has asked for a pause.

    Attributes:
        closed_at: Time of the demand [s].
        until: Earliest permitted retry [s].
        early: Number of requests before that.
    """

    closed_at: float = -1.0
    until: float = -1.0
    early: int = 0

    def close(self, now: float, wait_s: float) -> None:
        """Ask for a pause of ``wait_s`` from now."""
        if now >= self.until:
            self.closed_at = now
        self.until = max(self.until, now + wait_s)

    def arrive(self, now: float, grace_s: float) -> float:
        """Record a request; return how much too early it is [s]."""
        is_early = self.closed_at + grace_s <= now < self.until
        self.early += is_early
        return self.until - now if is_early else 0.0

    @property
    def shown(self) -> dict[str, float | int | None]:
        """Return the gate as JSON, for the log."""
        return {"retry_at_s": self.until if self.until >= 0 else None, "early": self.early}


@dataclass
class Log:
    """Log of all requests.

    Attributes:
        clock: Clock of all times.
        grace_s: See :class:`~witw.demo.fake_flickr.behaviour.Behaviour`.
        calls: Requests in the order of their arrival.
        attempts: Number of repetitions of each request.
        urls: Gates of single requests.
        hosts: Gates of ``api`` and ``photo``.
        over_quota: Number of calls beyond the hourly quota.
    """

    clock: Clock = time.monotonic
    grace_s: float = 0.0
    calls: list[Call] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    urls: dict[str, Gate] = field(default_factory=dict)
    hosts: dict[str, Gate] = field(default_factory=dict)
    over_quota: int = 0

    def arrive(self, kind: str, key: str) -> tuple[int, float]:
        """Record a request; return its attempt, from 1, and how much too early it is [s]."""
        now = self.clock()
        self.attempts[key] += 1
        self.hosts.setdefault(kind, Gate()).arrive(now, self.grace_s)
        gate = self.urls.get(key)
        # Requests for the same thing are sequential, so no grace period applies.
        return self.attempts[key], gate.arrive(now, 0.0) if gate else 0.0

    def close(self, kind: str, key: str, wait_s: float) -> None:
        """Record a 429 with ``Retry-After``."""
        now = self.clock()
        self.hosts.setdefault(kind, Gate()).close(now, wait_s)
        self.urls.setdefault(key, Gate()).close(now, wait_s)

    def closed_s(self, kind: str) -> float:
        """Return the remaining pause that a host has asked for [s]."""
        gate = self.hosts.get(kind)
        return max(0.0, gate.until - self.clock()) if gate else 0.0

    def clear(self) -> None:
        """Forget everything except the attempts, which determine the next faults."""
        self.calls.clear()
        self.urls.clear()
        self.hosts.clear()
        self.over_quota = 0

    def shown(self, since: int = 0) -> dict[str, Any]:
        """Return the log as JSON, see ``GET /_log`` of the server."""
        nothing = Gate()
        return {
            "now_s": self.clock(),
            "count": Counter(call.kind for call in self.calls),
            "over_quota": self.over_quota,
            "hosts": {kind: gate.shown for kind, gate in self.hosts.items()},
            "urls": {
                key: {"attempts": count, **self.urls.get(key, nothing).shown}
                for key, count in self.attempts.items()
            },
            "calls": [asdict(call) for call in self.calls[since:]],
        }


class Hourly:
    """A limit of calls of a key per hour.

    Args:
        most: Calls within 3,600 s; None: unlimited.
        clock: Clock of the service.
    """

    def __init__(self, most: int | None, clock: Clock) -> None:
        self._most, self._clock = most, clock
        self._taken: dict[str, deque[float]] = {}

    def take(self, key: str) -> float:
        """Count a call and return 0, or return the time until one would be granted [s]."""
        if self._most is None:
            return 0.0
        now, taken = self._clock(), self._taken.setdefault(key, deque())
        while taken and taken[0] <= now - HOUR_S:
            taken.popleft()
        if len(taken) >= self._most:
            return taken[0] + HOUR_S - now if taken else HOUR_S
        taken.append(now)
        return 0.0
