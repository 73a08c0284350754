"""A client made when it is first needed: what a journal holds takes neither key nor network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from witw.flickr.api.client import Attempt, Client, unwatched


class Caller(Protocol):
    """What a search needs of a client, see :class:`witw.flickr.api.client.Client`."""

    @property
    def requests(self) -> int:
        """Requests made so far."""
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
    """Makes a client at its first call; for any number of threads.

    Args:
        make: the client, or a UserError, for example where there is no key.
    """

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._made: Client | None = None
        self._lock = threading.Lock()

    @property
    def requests(self) -> int:
        """Requests made so far."""
        return self._made.requests if self._made else 0

    def made(self) -> Client:
        """Make the client, unless it has been made.

        Raises:
            UserError: as `make` does.
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
        """As of :meth:`witw.flickr.api.client.Client.call`."""
        return self.made().call(method, read, watch, **params)
