"""The HTTP session under flickrapi: it keeps what that library drops of an answer."""

from __future__ import annotations

import threading
from typing import Any

import requests

from witw.flickr.agent import user_agent


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
        """As of requests, without following redirects."""
        # Public methods need no signature, and one made without the secret would be refused.
        if self.unsigned_key:
            kwargs |= {"auth": None, "data": {**kwargs["data"], "api_key": self.unsigned_key}}
        self.seen.status, self.seen.retry_after, self.seen.body = 0, "", b""
        response = super().request(*args, **kwargs | {"allow_redirects": False})
        self.seen.status = response.status_code
        self.seen.retry_after = response.headers.get("Retry-After", "")
        self.seen.body = response.content
        return response
