"""HTTP session under flickrapi that keeps the response for error handling."""

from __future__ import annotations

import threading
from typing import Any

import requests

from witw.flickr.headers import user_agent

MOST_BYTES = 32 << 20  # of an answer, unpacked; a full page of photos has a quarter of a megabyte
PIECE_BYTES = 1 << 16


class Seen(threading.local):
    """What is remembered of the latest answer to each thread.

    Attributes:
        status: HTTP status; 0: there was no answer.
        retry_after: that header; '': none.
        body: as it came.
    """

    status = 0
    retry_after = ""
    body = b""


class Session(requests.Session):
    """Remembers of its answers what flickrapi drops.

    Attributes:
        unsigned_key: where set, calls carry this key and no signature.
        seen: of the latest answer to this thread.
    """

    def __init__(self, unsigned_key: str) -> None:
        super().__init__()
        self.headers["User-Agent"] = user_agent()
        self.unsigned_key = unsigned_key
        self.seen = Seen()

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """As of requests, without following redirects and with an end to what is taken."""
        # Public methods need no signature, and one made without the secret would be refused.
        if self.unsigned_key:
            kwargs |= {"auth": None, "data": {**kwargs["data"], "api_key": self.unsigned_key}}
        self.seen.status, self.seen.retry_after, self.seen.body = 0, "", b""
        kwargs |= {"allow_redirects": False, "stream": True}
        response = super().request(*args, **kwargs)
        self.seen.status = response.status_code
        self.seen.retry_after = response.headers.get("Retry-After", "")
        # From here on `response.content` and `.text` are these bytes.
        response._content = self.seen.body = _whole(response)
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
