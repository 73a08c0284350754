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
# No compression is requested, but some caches compress everything.
ZIPPED = ("gzip", "x-gzip", "deflate")
BUFFER = 1 << 18  # holds a 500 px photo, so that its transfer never pauses


class Again(Exception):  # noqa: N818
    """A request failed for a reason that may pass.

    Attributes:
        reason: Description of the failure.
        closes: Whether the host refuses all requests for a while.
        pause_s: Pause that the host asks for [s]; None if it did not say.
        unreachable: Whether there was no response at all.
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
    """Body of a response with HTTP 200, not yet inspected.

    Attributes:
        content: The bytes.
        redirected: Whether another address of the host sent it.
    """

    content: bytes
    redirected: bool


def session(
    origins: Iterable[Origin], user_agent: str, limits: Limits, proxied: bool
) -> aiohttp.ClientSession:
    """Open an HTTP session with persistent connections and without cookies.

    Args:
        origins: Origins from which photos may be fetched.
        user_agent: User-Agent to send.
        limits: Timeouts.
        proxied: Whether to use the proxies named in the environment.
    """
    resolver = PublicResolver(named(origins) | (proxies() if proxied else frozenset()))
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, resolver=resolver),
        timeout=aiohttp.ClientTimeout(
            total=limits.total_s, sock_connect=limits.connect_s, sock_read=limits.read_s
        ),
        headers={"User-Agent": user_agent, "Accept": "image/jpeg", "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # a body could be a bomb, see unzipped
        read_bufsize=BUFFER,
        trust_env=proxied,
    )


def proxied(hosts: Iterable[str]) -> bool:
    """Return whether a proxy may be used; clusters set it where the API client finds it too."""
    return not any(is_loopback(host) for host in hosts)


async def ask(
    client: aiohttp.ClientSession, url: str, max_bytes: int, origins: frozenset[Origin]
) -> Body | Outcome:
    """Get an address, following redirects within its own service.

    Returns:
        The body, or an outcome that is final without inspecting a body.

    Raises:
        Again: Another try may succeed.
        PrivateAddress: The host's name leads to an address that must not be contacted.
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
            raise Again("the connection broke") from None
        if reason:
            return Outcome("gone" if is_gone else "failed", reason)
    return Outcome("failed", "redirect loop")


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes | Outcome:
    status = response.status
    if status in GONE:
        return Outcome("gone", f"HTTP {status}")
    if status in (429, 503):
        pause_s = retry_after_s(response.headers.get("Retry-After"), response.headers.get("Date"))
        closes = status == 429 or pause_s is not None
        raise Again(f"HTTP {status}", closes=closes, pause_s=pause_s)
    # A host's defences cause passing 403 and 408; other 4xx are final.
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
    """Return the body as sent; None if it is larger than ``max_bytes``."""
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
    """Unpack gzip or zlib data, stopping at ``max_bytes``.

    Returns:
        The data; None if it exceeds ``max_bytes``.

    Raises:
        Again: The data is incomplete or not compressed.
    """
    body = bytearray()
    while packed:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # detects which of the two it is
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
