"""How many calls an hour Flickr allows."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

CALLS_AN_HOUR = 3600  # a key, https://www.flickr.com/services/developer/api

log = logging.getLogger("witw")


class Quota:
    """At most ``limit`` calls in any ``window_s`` seconds of this process."""

    def __init__(
        self,
        limit: int = CALLS_AN_HOUR,
        window_s: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._times: deque[float] = deque(maxlen=limit)
        self._window_s = window_s
        self._clock = clock
        self._sleep = sleep

    def take(self) -> None:
        """Wait until one more call is allowed, and count it."""
        if len(self._times) == self._times.maxlen:
            wait_s = self._times[0] + self._window_s - self._clock()
            if wait_s > 0:
                log.info("Flickr's hourly quota is used up; waiting %.0f s", wait_s)
                self._sleep(wait_s)
        self._times.append(self._clock())
