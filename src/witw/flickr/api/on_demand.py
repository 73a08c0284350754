"""A client that is created on first use, since a complete journal needs no key or network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from witw.flickr.api.client import Attempt, Client, unwatched


class Caller(Protocol):
    """The methods a search uses of :class:`witw.flickr.api.client.Client`."""

    @property
    def requests(self) -> int:
        """Number of requests so far."""
        ...

    def call[T](
        self,
        method: str,
        read: Callable[[Mapping[str, Any]], T],
        watch: Callable[[Attempt], None] = unwatched,
        **params: object,
    ) -> T:
        """Call an API method."""
        ...


class OnDemand:
    """Client that is created by its first call; thread-safe.

    Args:
        make: Creates the client. It may raise a UserError, for example if there is no key.
    """

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._made: Client | None = None
        self._lock = threading.Lock()

    @property
    def requests(self) -> int:
        """Number of requests so far."""
        return self._made.requests if self._made else 0

    def made(self) -> Client:
        """Return the client, creating it on first use.

        Raises:
            UserError: ``make`` failed.
        """
        with self._lock:
            self._made = self._made or self._make()
        return self._made

    def call[T](
        self,
        method: str,
        read: Callable[[Mapping[str, Any]], T],
        watch: Callable[[Attempt], None] = unwatched,
        **params: object,
    ) -> T:
        """Call an API method, see :meth:`witw.flickr.api.client.Client.call`."""
        return self.made().call(method, read, watch, **params)
