"""HTTP session for flickrapi that keeps each response and enforces a deadline.

The timeout of requests limits silence only, so a server that sends a byte now and then could stall
a call for days. The deadline here covers the whole response, including its headers.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from witw.flickr.headers import user_agent

MOST_BYTES = 32 << 20  # per unpacked response; a full page of photos takes about 0.25 MB
PIECE_BYTES = 1 << 16


class Seen(threading.local):
    """The latest response in each thread.

    Attributes:
        status: HTTP status; 0 if no response arrived.
        retry_after: Header Retry-After; '' if absent.
        date: Header Date, the server's clock; '' if absent.
        body: Body as received.
    """

    status = 0
    retry_after = ""
    date = ""
    body = b""


class _Asking(threading.local):
    """The socket on which this thread awaits a response."""

    socket: socket.socket | None = None


_asking = _Asking()


class _Noted:
    """A connection that registers its socket for the current thread."""

    sock: socket.socket | None

    def getresponse(self) -> Any:
        _asking.socket = self.sock
        return super().getresponse()  # type: ignore[misc]


class _Http(HTTPConnectionPool):
    ConnectionCls = type("_HttpConnection", (_Noted, HTTPConnection), {})


class _Https(HTTPSConnectionPool):
    ConnectionCls = type("_HttpsConnection", (_Noted, HTTPSConnection), {})


class _Adapter(HTTPAdapter):
    """Creates such connections, including through a proxy."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Http, "https": _Https}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Http, "https": _Https}
        return manager


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Limit the duration of this thread's request, including its response.

    Raises:
        requests.Timeout: The deadline has passed.
    """
    over = threading.Event()
    mine = _asking.__dict__  # this thread's state, for the timer's thread

    def end() -> None:
        over.set()
        with suppress(OSError, AttributeError):
            mine["socket"].shutdown(socket.SHUT_RDWR)

    mine["socket"] = None
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (requests.RequestException, OSError):
        if not over.is_set():
            raise
    finally:
        timer.cancel()
        mine["socket"] = None
    if over.is_set():
        raise requests.Timeout(f"the response was incomplete after {seconds:g} s")


class Session(requests.Session):
    """Session that remembers the response details that flickrapi discards.

    Args:
        unsigned_key: See Attributes.
        answer_s: A request fails if its response is incomplete after this time [s].

    Attributes:
        unsigned_key: If set, calls carry this key and no signature.
        seen: Details of this thread's latest response.
    """

    def __init__(self, unsigned_key: str, answer_s: float = 120.0) -> None:
        super().__init__()
        self._answer_s = answer_s
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter())
        self.headers["User-Agent"] = user_agent()
        self.unsigned_key = unsigned_key
        self.seen = Seen()

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request as requests does, without redirects and with a size limit."""
        # Public methods need no signature, and a signature without the secret would be refused.
        if self.unsigned_key:
            kwargs |= {"auth": None, "data": {**kwargs["data"], "api_key": self.unsigned_key}}
        seen = self.seen
        seen.status, seen.retry_after, seen.date, seen.body = 0, "", "", b""
        kwargs |= {"allow_redirects": False, "stream": True}
        with _deadline(self._answer_s):
            response = super().request(*args, **kwargs)
            body = _whole(response)
        seen.status = response.status_code
        seen.retry_after = response.headers.get("Retry-After", "")
        seen.date = response.headers.get("Date", "")
        # Sets `response.content` and `.text`.
        response._content = seen.body = body
        return response


def _whole(response: requests.Response) -> bytes:
    """Return the body, unpacked in chunks: a small body may expand beyond the memory.

    Raises:
        requests.RequestException: The body is cut off, cannot be unpacked, or is too large for the
            API.
    """
    body = bytearray()
    with response:
        for piece in response.iter_content(PIECE_BYTES):
            body += piece
            if len(body) > MOST_BYTES:
                raise requests.RequestException(
                    f"the response is larger than {MOST_BYTES >> 20} MB"
                )
    return bytes(body)
