"""Log of the stand-in's requests, with those that came before their Retry-After."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

HOUR_S = 3600.0
Clock = Callable[[], float]


class VirtualClock:
    """A clock that goes on only when it is told to, for hours within a test.

    Give it to the server as ``clock`` and its ``sleep`` to the client.
    """

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        """Now [s]."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Go on by ``seconds``, at once."""
        self.now_s += seconds


@dataclass(frozen=True)
class Call:
    """One request as it was served, for tests to look at.

    Attributes:
        kind: ``api``, ``photo``, or ``elsewhere`` for the host that photos must not come from.
        name: the API method, or the path of the photo.
        params: of the API method; without the key.
        fault: name of the fault it met, or ''.
        at: the server's clock, by default time.monotonic() [s].
        attempt: how often the same was asked, from 1.
        early_s: how long before the time that a 429 to the same request had named [s]; else 0.
        agent: the ``User-Agent``.
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
    """A host, or one request, that has asked to be left alone for a while.

    Attributes:
        closed_at: when it said so [s].
        until: the earliest permitted retry [s].
        early: requests that came between.
    """

    closed_at: float = -1.0
    until: float = -1.0
    early: int = 0

    def close(self, now: float, wait_s: float) -> None:
        """Ask to be left alone for ``wait_s`` from now."""
        if now >= self.until:
            self.closed_at = now
        self.until = max(self.until, now + wait_s)

    def arrive(self, now: float, grace_s: float) -> float:
        """Note a request; returns how much too early it is [s]."""
        is_early = self.closed_at + grace_s <= now < self.until
        self.early += is_early
        return self.until - now if is_early else 0.0

    @property
    def shown(self) -> dict[str, float | int | None]:
        """For the log."""
        return {"retry_at_s": self.until if self.until >= 0 else None, "early": self.early}


@dataclass
class Log:
    """Everything that was asked.

    Attributes:
        clock: of all times.
        grace_s: see :class:`~witw.demo.fake_flickr.behaviour.Behaviour`.
        calls: in the order of their arrival.
        attempts: how often each request was made.
        urls: gates of single requests.
        hosts: gates of ``api`` and ``photo``.
        over_quota: calls beyond the hourly number.
    """

    clock: Clock = time.monotonic
    grace_s: float = 0.0
    calls: list[Call] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    urls: dict[str, Gate] = field(default_factory=dict)
    hosts: dict[str, Gate] = field(default_factory=dict)
    over_quota: int = 0

    def arrive(self, kind: str, key: str) -> tuple[int, float]:
        """Note a request; returns its attempt from 1 and how much too early it is [s]."""
        now = self.clock()
        self.attempts[key] += 1
        self.hosts.setdefault(kind, Gate()).arrive(now, self.grace_s)
        gate = self.urls.get(key)
        # One request for the same thing follows the other, so there is nothing to forgive.
        return self.attempts[key], gate.arrive(now, 0.0) if gate else 0.0

    def close(self, kind: str, key: str, wait_s: float) -> None:
        """A 429 with ``Retry-After`` was said."""
        now = self.clock()
        self.hosts.setdefault(kind, Gate()).close(now, wait_s)
        self.urls.setdefault(key, Gate()).close(now, wait_s)

    def closed_s(self, kind: str) -> float:
        """How long a host still asks to be left alone [s]."""
        gate = self.hosts.get(kind)
        return max(0.0, gate.until - self.clock()) if gate else 0.0

    def clear(self) -> None:
        """Forget everything but the attempts, which say what fails next."""
        self.calls.clear()
        self.urls.clear()
        self.hosts.clear()
        self.over_quota = 0

    def shown(self, since: int = 0) -> dict[str, Any]:
        """As JSON: see ``GET /_log`` of the server."""
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
    """So many calls of a key within any hour, and no more.

    Args:
        most: calls within 3,600 s; None: any number.
        clock: of the service.
    """

    def __init__(self, most: int | None, clock: Clock) -> None:
        self._most, self._clock = most, clock
        self._taken: dict[str, deque[float]] = {}

    def take(self, key: str) -> float:
        """Count a call; returns 0, or how long until one would be granted [s]."""
        if self._most is None:
            return 0.0
        now, taken = self._clock(), self._taken.setdefault(key, deque())
        while taken and taken[0] <= now - HOUR_S:
            taken.popleft()
        if len(taken) >= self._most:
            return taken[0] + HOUR_S - now if taken else HOUR_S
        taken.append(now)
        return 0.0
