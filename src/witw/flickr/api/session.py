"""HTTP session under flickrapi: it keeps the response and gives each answer a deadline.

A timeout of requests is one of silence, so a byte now and then could hold a call for days. Here
the whole answer has a deadline, headers included.
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

MOST_BYTES = 32 << 20  # of an answer, unpacked; a full page of photos has a quarter of a megabyte
PIECE_BYTES = 1 << 16


class Seen(threading.local):
    """What is remembered of the latest answer to each thread.

    Attributes:
        status: HTTP status; 0: there was no answer.
        retry_after: that header; '': none.
        date: the header of the server's clock; '': none.
        body: as it came.
    """

    status = 0
    retry_after = ""
    date = ""
    body = b""


class _Asking(threading.local):
    """The socket on which this thread waits for an answer."""

    socket: socket.socket | None = None


_asking = _Asking()


class _Noted:
    """A connection that tells its thread on which socket it waits."""

    sock: socket.socket | None

    def getresponse(self) -> Any:
        _asking.socket = self.sock
        return super().getresponse()  # type: ignore[misc]


class _Http(HTTPConnectionPool):
    ConnectionCls = type("_HttpConnection", (_Noted, HTTPConnection), {})


class _Https(HTTPSConnectionPool):
    ConnectionCls = type("_HttpsConnection", (_Noted, HTTPSConnection), {})


class _Adapter(HTTPAdapter):
    """Makes such connections, through a proxy, too."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Http, "https": _Https}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _Http, "https": _Https}
        return manager


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Let what this thread asks on its connection take no longer.

    Raises:
        requests.Timeout: it would have.
    """
    over = threading.Event()
    mine = _asking.__dict__  # of this thread, for the timer's

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
        raise requests.Timeout(f"no whole answer in {seconds:g} s")


class Session(requests.Session):
    """Remembers of its answers what flickrapi drops.

    Args:
        unsigned_key: see below.
        answer_s: An answer not complete by then is a failure [s].

    Attributes:
        unsigned_key: where set, calls carry this key and no signature.
        seen: of the latest answer to this thread.
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
        """As of requests, without following redirects and with an end to what is taken."""
        # Public methods need no signature, and one made without the secret would be refused.
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
        # From here on `response.content` and `.text` are these bytes.
        response._content = seen.body = body
        return response


def _whole(response: requests.Response) -> bytes:
    """The body, unpacked piece by piece: a small one may unpack to more than the memory holds.

    Raises:
        requests.RequestException: it breaks off, cannot be unpacked, or is too large to be the
            API's.
    """
    body = bytearray()
    with response:
        for piece in response.iter_content(PIECE_BYTES):
            body += piece
            if len(body) > MOST_BYTES:
                raise requests.RequestException(f"an answer of over {MOST_BYTES >> 20} MB")
    return bytes(body)
