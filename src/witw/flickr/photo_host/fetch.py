"""Fetch many photos concurrently, at the pace that their host allows."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from witw.errors import UserError
from witw.flickr.hosts import Origin, host_of, origin, service
from witw.flickr.photo_host.outcome import Outcome, inspect
from witw.flickr.photo_host.progress import ProgressMeter
from witw.flickr.photo_host.request import Again, Body, ask, proxied, session
from witw.flickr.photo_host.resolver import PrivateAddress
from witw.flickr.photo_host.stored_files import store
from witw.flickr.photo_host.throttle import Limits, Throttle
from witw.store import ROOT

WINDOW = 512  # photos in progress, including those waiting for another try
WRITERS = 3  # threads that decode and write; more of them compete with each other
NICE = 5  # increment of their nice value, so that the network goes first
BACKLOG = 32  # photos received but not yet stored; at this limit a slow disk slows down the network

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A photo to fetch.

    Attributes:
        id: Photo id.
        url: Address of the photo.
        path: Destination in the store.
        converts: Whether the response may be any picture, which is then converted for the store.
    """

    id: str
    url: str
    path: Path
    converts: bool = False


class HostDown(Exception):  # noqa: N818
    """A host gave no useful response for longer than :attr:`Limits.patience_s`."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(host, reason)
        self.host = host
        self.reason = reason


@dataclass(frozen=True)
class FetchRules:
    """Rules for requests and for accepting responses.

    Attributes:
        origins: Origins from which photos may be fetched; the jobs' addresses are already checked.
        user_agent: User-Agent to send.
        min_side_px: See :func:`witw.flickr.photo_host.outcome.inspect`.
        max_bytes: Larger responses are rejected.
        limits: Parallelism, retries and timeouts.
        prepare: Converts a picture to a photo of the store, for jobs that ask for it.
    """

    origins: frozenset[Origin]
    user_agent: str
    min_side_px: int
    max_bytes: int
    limits: Limits
    prepare: Callable[[bytes], bytes] = bytes


def fetch(jobs: Sequence[Job], rules: FetchRules, meter: ProgressMeter) -> dict[str, Outcome]:
    """Fetch photos into the store.

    Returns:
        Outcome by photo id.

    Raises:
        HostDown: A host stopped responding; photos fetched before that are in the store.
        PrivateAddress: A host's name leads to an address that must not be contacted.
        UserError: The store cannot be written.
    """

    async def everything() -> dict[str, Outcome]:
        through_proxy = proxied(host_of(job.url) for job in jobs)
        connections = session(rules.origins, rules.user_agent, rules.limits, through_proxy)
        async with connections as client:
            with ThreadPoolExecutor(WRITERS, initializer=_step_back) as pool:
                return await _Fetcher(client, pool, rules, meter).all(jobs)

    try:
        return _run(everything())
    except ExceptionGroup as group:
        for error in group.exceptions:
            if isinstance(error, (HostDown, PrivateAddress)):
                raise error from None
            if isinstance(error, OSError):
                raise UserError(
                    f"The photo store {ROOT}/ cannot be written ({error}); free space or fix the "
                    "permissions, then run again."
                ) from error
        raise


def _run[T](work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` as ``asyncio.run`` does, but let SIGTERM cancel it before ending the process.

    The process's own handler would raise inside the event loop, often in a callback.
    """
    if threading.current_thread() is not threading.main_thread():
        return asyncio.run(work, loop_factory=uvloop.new_event_loop)

    async def cancellable() -> T:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    before = signal.getsignal(signal.SIGTERM)
    try:
        return asyncio.run(cancellable(), loop_factory=uvloop.new_event_loop)
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def _step_back() -> None:
    """Lower this thread's priority: photos may be decoded late, but requests should not wait."""
    if sys.platform == "linux":  # elsewhere a priority applies to the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class _Fetcher:
    def __init__(
        self,
        client: aiohttp.ClientSession,
        pool: ThreadPoolExecutor,
        rules: FetchRules,
        meter: ProgressMeter,
    ) -> None:
        self._client = client
        self._pool = pool
        self._rules = rules
        self._meter = meter
        self._throttles = meter.throttles
        self._backlog = asyncio.Semaphore(BACKLOG)

    async def all(self, jobs: Sequence[Job]) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        window = asyncio.Semaphore(WINDOW)

        async def one(job: Job) -> None:
            try:
                outcome = await self._photo(job)
                outcomes[job.id] = outcome
                self._meter.done()
                if not outcome.stored:
                    self._meter.error(outcome.status)
            finally:
                window.release()

        shown = asyncio.create_task(self._meter.show())
        try:
            async with asyncio.TaskGroup() as group:
                for job in jobs:
                    await window.acquire()
                    group.create_task(one(job))
        finally:
            shown.cancel()
            await asyncio.wait([shown])
        return outcomes

    async def _photo(self, job: Job) -> Outcome:
        """Try until further tries would not change the outcome."""
        limits, now = self._rules.limits, asyncio.get_running_loop().time
        host, throttle = host_of(job.url), self._throttle(job.url)
        began, failed, attempt, refused = now(), math.inf, 0, 0
        unreachable, reason = True, ""
        steady: dict[str, float] = {}  # digest of the response -> time from which it is final
        while (attempt < limits.tries or now() - began < limits.span_s) and (
            refused < limits.refusals
        ):
            if attempt + refused:
                await asyncio.sleep(limits.pause_s(max(attempt, 1)))
            attempt += 1
            # Once a photo has failed while its host serves others, the fault lies with the photo.
            own = failed < throttle.useful_at
            try:
                outcome = await self._once(job, throttle, own)
                unreachable = False
                if not outcome.again:
                    return outcome
                # A response that repeats after a while is the host's actual content, not a transfer
                # error.
                if outcome.status == "corrupt" and now() >= steady.get(outcome.digest, math.inf):
                    return outcome
                steady.setdefault(outcome.digest, now() + limits.steady_s)
                reason = outcome.reason
            except Again as again:
                reason = again.reason
                unreachable &= again.unreachable
                if (again.pause_s or 0) > limits.patience_s:
                    return Outcome("failed", f"{reason}, requested pause {again.pause_s:.0f} s")
                # The request rate was too high, so the photo is not at fault.
                attempt, refused = attempt - again.closes, refused + again.closes
            failed = min(failed, now())
            self._meter.error(reason)
            log.debug("%s: %s, try %d", job.id, reason, attempt)
            if not own and throttle.silent_s > limits.patience_s:
                raise HostDown(host, reason)
        return Outcome("failed", f"{reason}, in {attempt + refused} tries", unreachable=unreachable)

    def _throttle(self, url: str) -> Throttle:
        """Return the throttle of an address's service, whose hosts count requests together."""
        found = origin(url)
        whole = service(found, self._rules.origins) if found else None
        return self._throttles.setdefault(whole or url, Throttle(self._rules.limits))

    async def _once(self, job: Job, throttle: Throttle, own: bool) -> Outcome:
        """Send one request, inspect the response and store the photo."""
        answer, asked_at = await self._ask(job.url, throttle, own)
        if isinstance(answer, Outcome):
            throttle.useful()
            return answer
        try:
            run = asyncio.get_running_loop().run_in_executor
            outcome = await run(self._pool, self._keep, answer.content, job)
        finally:
            self._backlog.release()
        if outcome.again:
            throttle.slower(asked_at, own)
            return outcome
        throttle.useful()
        if answer.redirected and not outcome.stored:
            return replace(outcome, reason=f"redirected to {outcome.reason}")
        return outcome

    async def _ask(self, url: str, throttle: Throttle, own: bool) -> tuple[Body | Outcome, float]:
        """Send the request when its turn comes; return a body with a place in the backlog."""
        async with throttle.slot():
            asked_at, rules = asyncio.get_running_loop().time(), self._rules
            try:
                answer = await ask(self._client, url, rules.max_bytes, rules.origins)
            except Again as again:
                if again.closes:
                    throttle.close(again.pause_s, asked_at)
                else:
                    throttle.slower(asked_at, own)
                raise
            if isinstance(answer, Body):
                self._meter.came(len(answer.content))
                await self._backlog.acquire()
            return answer, asked_at

    def _keep(self, body: bytes, job: Job) -> Outcome:
        photo = self._rules.prepare(body) if job.converts else body
        outcome = inspect(photo, self._rules.min_side_px)
        if outcome.stored:
            store(photo, job.path)
        return outcome
