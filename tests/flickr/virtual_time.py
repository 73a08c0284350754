"""An event loop with a virtual clock, and a photo host that counts requests on it."""

import asyncio
import math
import random
from dataclasses import dataclass, field


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock advances only by waiting, so that days take seconds."""

    def __init__(self):
        super().__init__()
        self._virtual_s = 0.0
        select = self._selector.select

        def skip(timeout):
            self._virtual_s += timeout or 0.0
            return select(0)

        self._selector.select = skip

    def time(self):
        return self._virtual_s


def run(story):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(story)


@dataclass
class CountingHost:
    """A token bucket.

    Attributes:
        rate_per_s: tokens a second.
        burst: tokens that it holds.
        retry_after: ``none``, ``exact`` (whole seconds until the next token), or seconds.
        latency_s: of an answer.
    """

    rate_per_s: float
    burst: float
    retry_after: str | float = "exact"
    latency_s: float = 0.05
    granted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    early: int = 0

    def __post_init__(self):
        self._random = random.Random(1)
        self._tokens, self._at, self._opens, self._said = self.burst, 0.0, 0.0, 0.0

    async def ask(self) -> float | bool | None:
        """Return True, or the pause in a refusal."""
        now, asked = asyncio.get_running_loop().time, asyncio.get_running_loop().time()
        await asyncio.sleep(self.latency_s * self._random.uniform(0.49, 0.51))
        at = now()
        # Requests that were on their way during the refusal are not held against the client.
        self.early += asked > self._said + self.latency_s and at < self._opens - 1e-6
        self._tokens = min(self.burst, self._tokens + (at - self._at) * self.rate_per_s)
        self._at = at
        answer = True
        if self._tokens >= 1:
            self._tokens -= 1
            self.granted.append(at)
        else:
            self.refused.append(at)
            answer = self._wait_s()
            if answer is not None:
                self._opens, self._said = max(self._opens, at + answer), at
        await asyncio.sleep(self.latency_s / 2)
        return answer

    def _wait_s(self) -> float | None:
        if self.retry_after == "none":
            return None
        if self.retry_after == "exact":
            return float(math.ceil((1 - self._tokens) / self.rate_per_s))
        return float(self.retry_after)
