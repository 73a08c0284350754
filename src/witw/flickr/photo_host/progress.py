"""Progress of a download: rate, concurrency, failures."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Hashable
from typing import Any

from tqdm import tqdm

from witw.flickr.photo_host.throttle import Throttle

KINDS = 4  # the most frequent kinds of errors that are shown


class ProgressMeter:
    """Counters behind a progress bar, which is redrawn regularly even if nothing happens.

    Attributes:
        throttles: The throttle of each service.
    """

    def __init__(self, bar: tqdm[Any]) -> None:
        self._bar = bar
        self._new = 0
        self._bytes = 0
        self._errors: Counter[str] = Counter()
        self._drawn = time.monotonic()
        self.throttles: dict[Hashable, Throttle] = {}

    def came(self, size: int) -> None:
        """Count received bytes."""
        self._bytes += size

    def error(self, kind: str) -> None:
        """Count a request that brought no photo."""
        self._errors[kind] += 1

    def done(self) -> None:
        """Count a photo with a final outcome."""
        self._new += 1

    async def show(self) -> None:
        """Redraw the bar at its own interval until cancelled, then once more."""
        try:
            while True:
                await asyncio.sleep(self._bar.mininterval)
                self.draw()
        finally:
            self.draw()

    def draw(self) -> None:
        """Draw the bar now."""
        self._bar.set_postfix_str(self.text(), refresh=False)
        if not self._bar.update(self._new):
            self._bar.refresh()
        self._new = 0

    def text(self) -> str:
        """Return MB/s since the last call, slots, allowed pace, closed gates and errors by kind."""
        now = time.monotonic()
        rate = self._bytes / 1e6 / max(now - self._drawn, 1e-3)
        self._bytes, self._drawn = 0, now
        slots = sum(throttle.slots for throttle in self.throttles.values())
        shut_s = max((throttle.shut_s for throttle in self.throttles.values()), default=0.0)
        parts = [f"{rate:.1f} MB/s", f"{slots} slots"]
        pace_per_s = sum(throttle.pace_per_s for throttle in self.throttles.values())
        if self.throttles and pace_per_s < math.inf:
            parts.append(f"the host allows {pace_per_s:.2g}/s")
        if shut_s:
            parts.append(f"{shut_s:.0f} s until the next request to the host")
        parts += [f"{count} x {kind}" for kind, count in self._errors.most_common(KINDS)]
        return ", ".join(parts)
