"""The rate and duration of requests to a photo host, and the progress bar."""

import asyncio
import io
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from download_host import GOOD, fetch, picture, send
from tqdm import tqdm

from witw.errors import UserError
from witw.flickr.headers import retry_after_s
from witw.flickr.photo_host.progress import ProgressMeter
from witw.flickr.photo_host.throttle import Limits, Throttle
from witw.sources.download import slots_of

pytestmark = pytest.mark.usefixtures("run_folder")


def test_no_request_precedes_the_end_of_retry_after(host):
    busy = [send(b"", 429, Retry_After="1"), send(GOOD)]
    host.plan = {f"/{n}": list(busy) if n == 2 else [send(GOOD)] for n in range(6)}
    urls = {str(n): f"{host.url}/{n}" for n in range(6)}
    # One slot: no other request is under way during the refusal.
    data = fetch(urls, host.entry, limits=Limits(slots=1, most_slots=1, base_s=0.01))
    assert set(data["status"]) == {"ok"}
    times = [at for _, at in host.log]
    refused = [path for path, _ in host.log].index("/2")
    assert refused < len(times) - 1
    assert times[refused + 1] - times[refused] >= 1


def test_a_retry_after_of_hours_is_not_waited_for(host):
    host.plan = {"/1": [send(b"", 429, Retry_After="7200")], "/2": [send(GOOD)]}
    limits = Limits(slots=1, most_slots=1, patience_s=60)
    data = fetch({"1": f"{host.url}/1"}, host.entry, limits=limits)
    assert data.loc["1", "status"] == "failed"
    assert data.loc["1", "reason"] == "HTTP 429, requested pause 7200 s"


def test_retry_after_is_a_number_or_a_date():
    assert retry_after_s("120") == 120
    assert retry_after_s("-5") == 0
    assert retry_after_s(None) is retry_after_s("soon") is retry_after_s("nan") is None
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < retry_after_s(date) <= 100


def test_slots_double_until_a_refusal_then_grow_by_one_a_round_and_halve_once_a_refusal():
    async def story() -> list[int]:
        throttle = Throttle(Limits(slots=4, most_slots=12))
        seen = [throttle.slots]
        for _ in range(4):  # a round
            throttle.useful()
        seen.append(throttle.slots)
        asked_at = asyncio.get_running_loop().time()
        for _ in range(6):  # six were under way when the host refused
            throttle.slower(asked_at)
            await asyncio.sleep(0.001)
        seen.append(throttle.slots)
        for _ in range(5):
            throttle.useful()
        seen.append(throttle.slots)
        for _ in range(200):
            throttle.useful()
        seen.append(throttle.slots)
        for _ in range(5):
            throttle.slower(asyncio.get_running_loop().time())
        return [*seen, throttle.slots]

    assert asyncio.run(story()) == [4, 8, 4, 5, 12, 1]


def test_never_more_requests_than_slots():
    async def story() -> int:
        throttle = Throttle(Limits(slots=3, most_slots=3))
        active = most = 0

        async def one() -> None:
            nonlocal active, most
            async with throttle.slot():
                active += 1
                most = max(most, active)
                await asyncio.sleep(0.001)
                active -= 1

        await asyncio.gather(*(one() for _ in range(50)))
        return most

    assert asyncio.run(story()) == 3


def test_passing_failures_are_retried_for_the_whole_span(host):
    host.plan = {"/1": [send(b"", 500)], "/2": [send(GOOD)]}
    limits = Limits(tries=2, span_s=0.5, base_s=0.01, cap_s=0.05)
    urls = {"1": f"{host.url}/1", "2": f"{host.url}/2"}
    assert fetch(urls, host.entry, limits=limits).loc["1", "status"] == "failed"
    times = [at for path, at in host.log if path == "/1"]
    assert len(times) > 2
    assert times[-1] - times[0] > 0.4


def test_a_host_that_always_refuses_is_given_up(host):
    host.plan = {f"/{n}": [send(b"", 429, Retry_After="0.05")] for n in range(5)}
    urls = {str(n): f"{host.url}/{n}" for n in range(5)}
    limits = Limits(tries=10_000, base_s=0.01, cap_s=0.02, patience_s=0.5)
    with pytest.raises(UserError, match=r"stopped answering \(HTTP 429\)"):
        fetch(urls, host.entry, limits=limits)


def test_slots_are_read_from_the_environment(monkeypatch):
    monkeypatch.delenv("WITW_MAX_SLOTS", raising=False)
    assert slots_of("rio") == 32
    monkeypatch.setenv("WITW_MAX_SLOTS", "5")
    assert slots_of("rio") == 5
    monkeypatch.setenv("WITW_MAX_SLOTS", '{"rio": 7, "oslo": 9}')
    assert (slots_of("rio"), slots_of("oslo")) == (7, 9)
    for bad in ("many", "0", '{"oslo": 9}', "[1]"):
        monkeypatch.setenv("WITW_MAX_SLOTS", bad)
        with pytest.raises(UserError, match="WITW_MAX_SLOTS"):
            slots_of("rio")


def test_slots_stay_within_the_cap():
    async def story() -> tuple[int, int]:
        throttle = Throttle(Limits(slots=8, most_slots=32))
        for _ in range(600):
            throttle.useful()
        return throttle.slots, Throttle(Limits(slots=8, most_slots=3)).slots

    assert asyncio.run(story()) == (32, 3)


def test_a_request_that_is_cancelled_gives_its_slot_back():
    async def story() -> str:
        throttle = Throttle(Limits(slots=1, most_slots=1))

        async def hold(seconds: float) -> str:
            async with throttle.slot():
                await asyncio.sleep(seconds)
            return "done"

        first, second, third = (asyncio.create_task(hold(s)) for s in (30, 30, 0))
        await asyncio.sleep(0)
        second.cancel()  # waits for its slot
        first.cancel()  # has it
        return await asyncio.wait_for(third, 5)

    assert asyncio.run(story()) == "done"


def test_the_bar_shows_speed_slots_and_errors_by_kind(host, capsys):
    host.plan = {f"/{n}": [send(b"", 503), send(picture(n))] for n in range(9)}
    host.plan["/9"] = [send(b"", 404)]
    fetch({str(n): f"{host.url}/{n}" for n in range(10)}, host.entry)
    shown = capsys.readouterr().err.splitlines()[-1]
    for fact in ("10/10", "photo/s", "MB/s", "slots", "9 x HTTP 503", "1 x gone"):
        assert fact in shown


def test_the_bar_shows_waiting():
    async def story() -> str:
        meter = ProgressMeter(tqdm(total=2, file=io.StringIO()))
        throttle = meter.throttles["h"] = Throttle(Limits())
        throttle.close(40, asyncio.get_running_loop().time())
        return meter.text()

    assert "40 s until the next request to the host" in asyncio.run(story())
