"""Learn how many requests per second a host allows: a token bucket and a virtual clock.

The host allows its rate times the elapsed time; the expected value is counted at the host.
"""

import asyncio
import itertools
import math
import random

import pytest
from virtual_time import CountingHost, run

from witw.flickr.photo_host.pace import Pace
from witw.flickr.photo_host.throttle import Limits, Throttle

FOUND_S = 120.0  # by then the pace is found


def ask_for(host: CountingHost, seconds: float, change=None) -> Throttle:
    """Keep 256 photos waiting for ``seconds``; ``change`` is a moment [s] and a rate."""
    random.seed(3)

    async def story() -> Throttle:
        now, throttle = asyncio.get_running_loop().time, Throttle(Limits())

        async def photos() -> None:
            while True:
                async with throttle.slot():
                    asked_at = now()
                    answer = await host.ask()
                    if answer is True:
                        throttle.useful()
                    else:
                        throttle.close(answer, asked_at)
                if answer is not True:
                    await asyncio.sleep(random.uniform(0, 1))

        workers = [asyncio.create_task(photos()) for _ in range(256)]
        if change:
            await asyncio.sleep(change[0])
            host.rate_per_s = change[1]
        await asyncio.sleep(seconds - (change[0] if change else 0))
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
        return throttle

    return run(story())


def share(host: CountingHost, since_s: float, until_s: float) -> float:
    """Return the requested share of the requests that the host allows."""
    count = sum(since_s < at <= until_s for at in host.granted)
    return count / (host.rate_per_s * (until_s - since_s))


@pytest.mark.parametrize(
    ("rate_per_s", "burst", "seconds", "retry_after"),
    [
        *((0.1, burst, 1200, said) for burst in (1, 6) for said in ("exact", "none", 1)),
        *((1, burst, 400, said) for burst in (1, 10) for said in ("exact", "none", 1)),
        *((10, burst, 240, said) for burst in (1, 10) for said in ("exact", "none")),
        (100, 10, 150, "none"),
        (100, 100, 150, "exact"),
        (600, 60, 140, "none"),
        (600, 600, 140, "exact"),
    ],
)
def test_a_rate_is_found_within_two_minutes_and_held(rate_per_s, burst, seconds, retry_after):
    host = CountingHost(rate_per_s, burst, retry_after)
    throttle = ask_for(host, seconds)
    assert share(host, FOUND_S, seconds) >= 0.9
    assert throttle.pace_per_s == pytest.approx(rate_per_s, rel=0.2)
    assert host.early == 0
    # Few requests are refused: one in twenty, or one per ten seconds.
    late = sum(at > FOUND_S for at in host.refused)
    assert late <= 0.05 * rate_per_s * (seconds - FOUND_S) + (seconds - FOUND_S) / 10 + 1


@pytest.mark.parametrize("rate_per_s", [1, 20])
def test_long_pauses_are_kept_and_cost_little(rate_per_s):
    host = CountingHost(rate_per_s, 10 * rate_per_s, 10)
    ask_for(host, 320)
    assert host.early == 0
    assert share(host, FOUND_S, 320) >= 0.9


@pytest.mark.parametrize(("before", "after"), [(20, 1), (1, 20), (100, 10)])
def test_a_host_that_changes_its_mind_is_followed(before, after):
    host = CountingHost(before, before)
    ask_for(host, 420, change=(150, after))
    assert share(host, 300, 420) >= 0.85
    assert host.early == 0


def test_without_a_refusal_there_is_no_pace():
    host = CountingHost(1e9, 1e9)
    throttle = ask_for(host, 5)
    assert throttle.pace_per_s == math.inf
    # 32 slots, 50 ms an answer.
    assert len(host.granted) / 5 > 0.85 * 32 / 0.05


def test_a_refusal_of_the_first_request_after_a_pause_doubles_the_wait():
    """A host that announces one second but means a minute is detected."""
    pace = Pace()
    waits, now = [], 0.0
    for _ in range(7):
        wait_s = pace.refused(now, 100.0, 1.0)
        waits.append(wait_s)
        now += wait_s
    assert waits[0] == 1
    assert all(later >= 1.9 * earlier for earlier, later in itertools.pairwise(waits[1:]))
