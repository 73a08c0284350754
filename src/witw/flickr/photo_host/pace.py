"""Learn from refusals how many requests per second a host allows. No clock, no network.

Hosts count with a token bucket or a window. In either case the allowed rate ``r`` has two bounds:

* Between a refusal and any later moment, the host grants at most ``r`` times the elapsed time,
  because the bucket is empty at a refusal. This quotient is a lower bound of ``r``.
* A refusal at an even pace shows that the pace is above ``r``.

Each refusal sets the pace to the geometric mean of the bounds, which may be orders of magnitude
apart. The pace then rises again, more slowly the more the last refusal cost.
"""

from __future__ import annotations

import math

# Waiting at a closed gate takes at most this fraction of the time.
DEAR = 20
LEAST_RISE_S = 10.0  # least time to rise from a pace to the known upper bound
LEAST_RISE_REQUESTS = 8  # and the least number of requests
SHY = 0.97
UNKNOWN = 4.0  # factor by which a pace falls if it has no known lower bound
SLOWEST = 1e-3  # requests per second; a host that allows less is still queried this often


class Pace:
    """Requests per second, learned from refusals; unlimited before the first one.

    Attributes:
        per_s: The pace [requests/s].
        granted: Number of useful responses since the last refusal.
    """

    def __init__(self) -> None:
        self.per_s = math.inf
        self.granted = 0
        self._bound = math.inf  # pace at the last refusal
        self._refused_at: float | None = None
        self._rise_per_s = 0.0
        self._risen_at = 0.0

    def useful(self, now: float, is_held: bool) -> None:
        """Record a useful response.

        Args:
            now: Time [s].
            is_held: Whether the pace, rather than the slots, delays requests.
        """
        self.granted += 1
        passed_s, self._risen_at = max(0.0, now - self._risen_at), now
        if self.per_s == math.inf or not is_held:
            return
        # After idle time, the pace rises by at most one request's worth.
        passed_s = min(passed_s, 2 / self.per_s + 0.1)
        if self.per_s < self._bound / 2:
            self.per_s *= 2 ** (passed_s / max(1.0, 4 / self.per_s))
        else:
            self.per_s += passed_s * self._rise_per_s
            if self.per_s > 1.1 * self._bound:  # the host allows more than before
                self._rise_per_s *= 1 + min(passed_s / LEAST_RISE_S, 0.5)

    def refused(self, now: float, sent_per_s: float, pause_s: float) -> float:
        """Record a refusal, once for all requests that were under way.

        Args:
            now: Time [s].
            sent_per_s: Rate of the latest requests.
            pause_s: How long the gate is closed now [s].

        Returns:
            Time until the next request [s].
        """
        passed_s = math.inf if self._refused_at is None else max(now - self._refused_at, 1e-3)
        if self.granted or self._refused_at is None:
            self._bound = sent_per_s if self.per_s == math.inf else self.per_s
            # Half a request is added, because the next one was about to be granted.
            self.per_s = self._between((self.granted + 0.5) / passed_s)
        else:
            # No request was granted, so there was never a whole token at any pace.
            self._bound = min(self._bound, 1 / passed_s)
            self.per_s = min(self.per_s, self._bound / 2)
        self.per_s = max(self.per_s, SLOWEST)
        rise_s = max(DEAR * pause_s, LEAST_RISE_S, LEAST_RISE_REQUESTS / self.per_s)
        self._rise_per_s = max(self._bound - self.per_s, 0.02 * self.per_s) / rise_s
        # After a second refusal in a row, the opening of the gate is meaningless, so the pace
        # counts.
        wait_s = pause_s if self.granted else max(pause_s, 1 / self.per_s)
        self.granted, self._refused_at, self._risen_at = 0, now, now + wait_s
        return wait_s

    def _between(self, least: float) -> float:
        """Return a pace slightly below the mean of the bounds, as a slow pace costs less."""
        if not least:
            return self._bound / UNKNOWN
        return SHY * math.sqrt(min(least, self._bound) * self._bound)
