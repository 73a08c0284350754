"""Fetching many photos at a time, as fast as their hosts like it and no faster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import aiohttp

from witw.errors import UserError
from witw.flickr.files import Outcome, inspect, store
from witw.flickr.hosts import is_loopback, origin, redirect
from witw.flickr.throttle import Limits, Throttle, retry_after_s

REDIRECTS = (301, 302, 303, 307, 308)
HOPS = 3
WINDOW = 512  # photos in the works, those that wait for another try included
WRITERS = 4
CHUNK = 1 << 16

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One photo to fetch."""

    id: str
    url: str
    path: Path


class HostDown(Exception):  # noqa: N818
    """A host gave no useful answer for longer than :attr:`Limits.patience_s`."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(host, reason)
        self.host = host
        self.reason = reason


class _Again(Exception):  # noqa: N818
    """A request that failed in a way that may pass.

    Attributes:
        reason: in words.
        closes: whether the host wants no requests at all for a while,
        pause_s: and for how long; None: it did not say.
        unreachable: whether there was no answer at all.
    """

    def __init__(
        self,
        reason: str,
        *,
        closes: bool = False,
        pause_s: float | None = None,
        unreachable: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.closes = closes
        self.pause_s = pause_s
        self.unreachable = unreachable


def fetch(
    jobs: Sequence[Job],
    *,
    user_agent: str,
    min_side_px: int,
    max_bytes: int,
    limits: Limits,
    done: Callable[[], object] = lambda: None,
) -> dict[str, Outcome]:
    """Fetch photos into the store.

    Args:
        jobs: what to fetch; their addresses have been found good.
        user_agent: sent along.
        min_side_px: see :func:`witw.flickr.files.inspect`.
        max_bytes: a larger answer is refused.
        limits: patience and eagerness.
        done: called after each photo.

    Returns:
        The outcome of each by id.

    Raises:
        HostDown: one stopped answering; photos fetched until then are in the store.
        UserError: the store cannot be written.
    """

    async def everything() -> dict[str, Outcome]:
        async with _session(jobs, user_agent, limits) as session:
            with ThreadPoolExecutor(WRITERS) as pool:
                fetcher = _Fetcher(session, pool, limits, min_side_px, max_bytes)
                return await fetcher.all(jobs, done)

    try:
        return asyncio.run(everything())
    except ExceptionGroup as group:
        for error in group.exceptions:
            if isinstance(error, HostDown):
                raise error from None
            if isinstance(error, OSError):
                raise UserError(f"The photo store cannot be written: {error}.") from error
        raise


def host_of(url: str) -> str:
    """Host of an address that has been found good."""
    found = origin(url)
    return found[1] if found else ""


def _session(jobs: Sequence[Job], user_agent: str, limits: Limits) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
        timeout=aiohttp.ClientTimeout(
            total=limits.total_s, sock_connect=limits.connect_s, sock_read=limits.read_s
        ),
        headers={"User-Agent": user_agent, "Accept": "image/jpeg", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        # A cluster's proxy is found where the API client finds it; this machine needs none.
        trust_env=not any(is_loopback(host_of(job.url)) for job in jobs),
    )


class _Fetcher:
    def __init__(
        self,
        session: aiohttp.ClientSession,
        pool: ThreadPoolExecutor,
        limits: Limits,
        min_side_px: int,
        max_bytes: int,
    ) -> None:
        self._session = session
        self._pool = pool
        self._limits = limits
        self._min_side_px = min_side_px
        self._max_bytes = max_bytes
        self._throttles: dict[str, Throttle] = {}

    async def all(self, jobs: Sequence[Job], done: Callable[[], object]) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        window = asyncio.Semaphore(WINDOW)

        async def one(job: Job) -> None:
            try:
                outcomes[job.id] = await self._photo(job)
                done()
            finally:
                window.release()

        async with asyncio.TaskGroup() as group:
            for job in jobs:
                await window.acquire()
                group.create_task(one(job))
        return outcomes

    async def _photo(self, job: Job) -> Outcome:
        """Try until there is an answer that another try would not change."""
        host = host_of(job.url)
        throttle = self._throttles.setdefault(host, Throttle(self._limits))
        reason, seen, unreachable = "", "", True
        for attempt in range(1, self._limits.tries + 1):
            try:
                outcome, digest = await self._once(job, throttle)
                unreachable = False
                if not outcome.again:
                    return outcome
                # What comes twice alike is what the host has, not an accident on the way.
                if outcome.status == "corrupt" and digest == seen:
                    return outcome
                reason, seen = outcome.reason, digest
            except _Again as again:
                reason = again.reason
                unreachable &= again.unreachable
                if (again.pause_s or 0) > self._limits.patience_s:
                    return Outcome("failed", f"{reason}, asks to wait {again.pause_s:.0f} s")
            if throttle.silent_s > self._limits.patience_s:
                raise HostDown(host, reason)
            log.debug("%s: %s, try %d", job.id, reason, attempt)
            if attempt < self._limits.tries:
                await asyncio.sleep(self._limits.pause_s(attempt))
        reason = f"{reason}, in {self._limits.tries} tries"
        return Outcome("failed", reason, unreachable=unreachable)

    async def _once(self, job: Job, throttle: Throttle) -> tuple[Outcome, str]:
        """One request: its outcome and the SHA-256 of what it brought."""
        async with throttle.slot():
            asked_at = asyncio.get_running_loop().time()
            try:
                answer, redirected = await self._ask(job.url)
            except _Again as again:
                if again.closes:
                    throttle.close(again.pause_s, asked_at)
                else:
                    throttle.slower(asked_at)
                raise
            if isinstance(answer, Outcome):
                throttle.useful()
                return answer, ""
            # The slot is kept until the file is, so that a slow disk slows the network down.
            keep = asyncio.get_running_loop().run_in_executor
            outcome = await keep(self._pool, _keep, answer, job.path, self._min_side_px)
            if outcome.again:
                throttle.slower(asked_at)
            else:
                throttle.useful()
        if redirected and not outcome.stored and not outcome.again:
            return Outcome("gone", f"redirected to {outcome.reason}"), ""
        return outcome, sha256(answer).hexdigest()

    async def _ask(self, url: str) -> tuple[bytes | Outcome, bool]:
        """Get an address, following redirects on its own host; whether there were any."""
        for hop in range(HOPS + 1):
            try:
                async with self._session.get(url, allow_redirects=False) as response:
                    if response.status not in REDIRECTS:
                        return await self._answer(response), hop > 0
                    url, reason = redirect(url, response.headers.get("Location", ""))
            except TimeoutError:
                raise _Again("no answer in time", unreachable=True) from None
            except aiohttp.ClientConnectorError:
                raise _Again("no connection", unreachable=True) from None
            except (aiohttp.ClientError, OSError):
                raise _Again("the connection broke off") from None
            if reason:
                return Outcome("gone", reason), True
        return Outcome("gone", "redirected in a circle"), True

    async def _answer(self, response: aiohttp.ClientResponse) -> bytes | Outcome:
        status = response.status
        if status in (404, 410):
            return Outcome("gone", f"HTTP {status}")
        if status in (429, 503):
            pause_s = retry_after_s(response.headers.get("Retry-After"))
            closes = status == 429 or pause_s is not None
            raise _Again(f"HTTP {status}", closes=closes, pause_s=pause_s)
        # 403 and 408 come and go with a host's defences; other 4xx are its last word.
        if status >= 500 or status in (403, 408):
            raise _Again(f"HTTP {status}")
        if status != 200:
            return Outcome("failed", f"HTTP {status}")
        if (response.content_length or 0) > self._max_bytes:
            return self._too_large()
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > self._max_bytes:
                response.close()
                return self._too_large()
        return bytes(body)

    def _too_large(self) -> Outcome:
        return Outcome("corrupt", f"larger than {self._max_bytes / 1e6:g} MB")


def _keep(body: bytes, path: Path, min_side_px: int) -> Outcome:
    outcome = inspect(body, min_side_px)
    if outcome.stored:
        store(body, path)
    return outcome
