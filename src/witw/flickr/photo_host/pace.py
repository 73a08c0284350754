"""Finding out how many requests a second a host allows, from its refusals. No clock, no network.

Hosts count with a token bucket or a window. Whatever its size, two bounds hold for the rate ``r``:

* From one refusal to any later moment the host has granted at most ``r`` times the time between,
  because at a refusal there is nothing left in the bucket. So ``r`` is at least that quotient.
* A refusal at an even pace means that the pace is above ``r``.

Each refusal takes the pace to between the two, by their geometric mean as they may lie orders of
magnitude apart. Then the pace rises again, the slower the dearer the last refusal was.
"""

from __future__ import annotations

import math

# Waiting at a closed gate takes at most about one part in so many of the time.
DEAR = 20
LEAST_RISE_S = 10.0  # from a pace to the known upper bound, at least
LEAST_RISE_REQUESTS = 8  # and at least so many requests
SHY = 0.97
UNKNOWN = 4.0  # by this much a pace falls of which there is no lower bound
SLOWEST = 1e-3  # requests a second; a host that allows less is asked no less often


class Pace:
    """Requests a second, learned from refusals; unlimited before the first one.

    Attributes:
        per_s: the pace.
        granted: useful answers since the last refusal.
    """

    def __init__(self) -> None:
        self.per_s = math.inf
        self.granted = 0
        self._bound = math.inf  # the pace at the last refusal
        self._refused_at: float | None = None
        self._rise_per_s = 0.0
        self._risen_at = 0.0

    def useful(self, now: float, is_held: bool) -> None:
        """The host answered.

        Args:
            now: time [s].
            is_held: whether it is the pace that holds requests up, not the slots.
        """
        self.granted += 1
        passed_s, self._risen_at = max(0.0, now - self._risen_at), now
        if self.per_s == math.inf or not is_held:
            return
        # Long unused, a pace rises by no more than one request's worth.
        passed_s = min(passed_s, 2 / self.per_s + 0.1)
        if self.per_s < self._bound / 2:
            self.per_s *= 2 ** (passed_s / max(1.0, 4 / self.per_s))
        else:
            self.per_s += passed_s * self._rise_per_s
            if self.per_s > 1.1 * self._bound:  # the host allows more than it did
                self._rise_per_s *= 1 + min(passed_s / LEAST_RISE_S, 0.5)

    def refused(self, now: float, sent_per_s: float, pause_s: float) -> float:
        """The host refused; told once for all requests that were under way.

        Args:
            now: time [s].
            sent_per_s: rate of the latest requests.
            pause_s: how long the gate is closed now.

        Returns:
            How long until the next request [s].
        """
        passed_s = math.inf if self._refused_at is None else max(now - self._refused_at, 1e-3)
        if self.granted or self._refused_at is None:
            self._bound = sent_per_s if self.per_s == math.inf else self.per_s
            # Half a request more: the next one was on its way to being granted.
            self.per_s = self._between((self.granted + 0.5) / passed_s)
        else:
            # Not one was granted, so there was never a whole token, whatever the pace.
            self._bound = min(self._bound, 1 / passed_s)
            self.per_s = min(self.per_s, self._bound / 2)
        self.per_s = max(self.per_s, SLOWEST)
        rise_s = max(DEAR * pause_s, LEAST_RISE_S, LEAST_RISE_REQUESTS / self.per_s)
        self._rise_per_s = max(self._bound - self.per_s, 0.02 * self.per_s) / rise_s
        # After a second refusal in a row the gate's opening means nothing, so the pace counts.
        wait_s = pause_s if self.granted else max(pause_s, 1 / self.per_s)
        self.granted, self._refused_at, self._risen_at = 0, now, now + wait_s
        return wait_s

    def _between(self, least: float) -> float:
        """A pace between the two bounds, a little below their mean: the lower side is cheaper."""
        if not least:
            return self._bound / UNKNOWN
        return SHY * math.sqrt(min(least, self._bound) * self._bound)
