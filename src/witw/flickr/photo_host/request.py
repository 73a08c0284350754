"""Send one request to a photo host and interpret the response."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp

from witw.flickr.headers import retry_after_s
from witw.flickr.hosts import Origin, is_loopback, named, redirect
from witw.flickr.photo_host.outcome import Outcome
from witw.flickr.photo_host.resolver import PublicResolver, proxies
from witw.flickr.photo_host.throttle import Limits

GONE = (404, 410, 451)  # 451: for legal reasons (RFC 7725)
REDIRECTS = (301, 302, 303, 307, 308)
HOPS = 3
# Nothing packed is asked for, but some caches pack whatever they send.
ZIPPED = ("gzip", "x-gzip", "deflate")
BUFFER = 1 << 18  # a 500 px photo fits, so that its transfer is never paused


class Again(Exception):  # noqa: N818
    """A request that failed in a way that may pass.

    Attributes:
        reason: in words.
        closes: whether the host wants no requests at all for a while.
        pause_s: how long the host wants no requests [s]; None: it did not say.
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


@dataclass(frozen=True)
class Body:
    """What came with HTTP 200, not looked at.

    Attributes:
        content: the bytes.
        redirected: whether another address of the host than the one asked sent it.
    """

    content: bytes
    redirected: bool


def session(
    origins: Iterable[Origin], user_agent: str, limits: Limits, proxied: bool
) -> aiohttp.ClientSession:
    """Connections that are kept open, without cookies.

    Args:
        origins: where photos may be fetched from.
        user_agent: sent along.
        limits: how long to wait.
        proxied: whether the proxies that the environment names are used.
    """
    resolver = PublicResolver(named(origins) | (proxies() if proxied else frozenset()))
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, resolver=resolver),
        timeout=aiohttp.ClientTimeout(
            total=limits.total_s, sock_connect=limits.connect_s, sock_read=limits.read_s
        ),
        headers={"User-Agent": user_agent, "Accept": "image/jpeg", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # it could be a bomb, see unzipped
        read_bufsize=BUFFER,
        trust_env=proxied,
    )


def proxied(hosts: Iterable[str]) -> bool:
    """Whether a proxy may stand between: a cluster's is found where the API client finds it."""
    return not any(is_loopback(host) for host in hosts)


async def ask(
    client: aiohttp.ClientSession, url: str, max_bytes: int, origins: frozenset[Origin]
) -> Body | Outcome:
    """Get an address, following redirects within its own service.

    Returns:
        What came, or what is final without looking at it.

    Raises:
        Again: another try may bring something better.
        PrivateAddress: the host's name leads to an address that must not be asked.
    """
    for hop in range(HOPS + 1):
        try:
            async with client.get(url, allow_redirects=False) as response:
                if response.status not in REDIRECTS:
                    answer = await _read(response, max_bytes)
                    return Body(answer, hop > 0) if isinstance(answer, bytes) else answer
                url, reason, is_gone = redirect(url, response.headers.get("Location", ""), origins)
        except TimeoutError:
            raise Again("no answer in time", unreachable=True) from None
        except aiohttp.ClientConnectorError:
            raise Again("no connection", unreachable=True) from None
        except (aiohttp.ClientError, OSError):
            raise Again("the connection broke off") from None
        if reason:
            return Outcome("gone" if is_gone else "failed", reason)
    return Outcome("failed", "redirected in a circle")


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes | Outcome:
    status = response.status
    if status in GONE:
        return Outcome("gone", f"HTTP {status}")
    if status in (429, 503):
        pause_s = retry_after_s(response.headers.get("Retry-After"), response.headers.get("Date"))
        closes = status == 429 or pause_s is not None
        raise Again(f"HTTP {status}", closes=closes, pause_s=pause_s)
    # 403 and 408 come and go with a host's defences; other 4xx are its last word.
    if status >= 500 or status in (403, 408):
        raise Again(f"HTTP {status}")
    if status != 200:
        return Outcome("failed", f"HTTP {status}")
    packed = await _received(response, max_bytes)
    if packed is not None:
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity", *ZIPPED):
            return Outcome("failed", f"sent as {encoding[:40]!r}, which was not asked for")
        body = unzipped(packed, max_bytes) if encoding in ZIPPED else packed
        if body is not None:
            return body
    return Outcome("corrupt", f"larger than {max_bytes / 1e6:g} MB")


async def _received(response: aiohttp.ClientResponse, max_bytes: int) -> bytes | None:
    """The body as it was sent; None: it is larger than ``max_bytes``."""
    length = response.content_length
    if length is not None and length <= max_bytes:
        return await response.read()
    body = bytearray()
    if length is None:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > max_bytes:
                break
        else:
            return bytes(body)
    response.close()
    return None


def unzipped(packed: bytes, max_bytes: int) -> bytes | None:
    """Unpack gzip or zlib, and stop where it becomes a bomb.

    Returns:
        None: it unpacks to more than ``max_bytes``.

    Raises:
        Again: it is not whole, or not packed at all.
    """
    body = bytearray()
    while packed:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # finds out which of the two it is
        try:
            body += unpacker.decompress(packed, max_bytes + 1 - len(body))
        except zlib.error:
            raise Again("cannot be unpacked") from None
        if len(body) > max_bytes:
            return None
        if not unpacker.eof:
            raise Again("cannot be unpacked")
        packed = unpacker.unused_data
    return bytes(body)
