"""Flickr stand-in on this machine: API and photo host, faults included.

It binds 127.0.0.1 only. In process::

    with FlickrServer(photos, picture) as server:
        ...  # config: flickr.api_url = server.api_url, flickr.photo_hosts = [server.photo_host]

or by hand: ``python -m witw.demo.fake_flickr --help``. ``GET /_log`` returns the requests as JSON,
including those that came too early, and ``DELETE /_log`` clears them.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from witw.demo.fake_flickr.api import Api
from witw.demo.fake_flickr.behaviour import Behaviour, PastCap
from witw.demo.fake_flickr.catalog.query import Catalog
from witw.demo.fake_flickr.catalog.records import CatalogPhoto, load_catalog, save_catalog
from witw.demo.fake_flickr.connection import Wire
from witw.demo.fake_flickr.faults import Faults
from witw.demo.fake_flickr.log import Call, Clock, Log, VirtualClock
from witw.demo.fake_flickr.photo_host import MOVED, UNAVAILABLE_PATH, PhotoHost
from witw.demo.fake_flickr.pictures import Picture, drawn, folder_of_jpegs, folder_pictures
from witw.errors import UserError

__all__ = [
    "Behaviour",
    "Call",
    "Catalog",
    "CatalogPhoto",
    "Faults",
    "FlickrServer",
    "VirtualClock",
    "drawn",
    "folder_of_jpegs",
    "folder_pictures",
    "load_catalog",
    "save_catalog",
]

API_PATH = "/services/rest/"
LOG_PATH = "/_log"


class FlickrServer:
    """The stand-in, in a thread; use it as a context manager.

    Args:
        photos: Photos, columns as for :meth:`Catalog.from_columns`, or a catalog. A catalog's own
            behaviour is used unless another one is given.
        picture: Returns a photo's 500 px JPEG by its id; None: the host has none (404).
        port: Port on 127.0.0.1; 0: any free one.
        faults: Faults to inject; default: none.
        key: The only accepted API key; None: any.
        secret: Secret of the key; if given, signatures of signed requests are verified.
        past_cap: Shorthand for that of ``behaviour``.
        behaviour: Behaviour of the service.
        clock: Clock of the quota, of ``Retry-After`` and of the log [s].

    Attributes:
        catalog: Photos to search.
        faults: As given.
        calls: The requests so far.
        log: The same, with attempts and gates.
        url: Scheme, host and port.
        photo_host: The same, as in photo addresses.
        other_host: A host to which some photos redirect, and which must not be contacted.
        api_url: REST endpoint.

    Raises:
        UserError: The port is taken.
    """

    def __init__(
        self,
        photos: Sequence[CatalogPhoto] | Mapping[str, Any] | Catalog,
        picture: Picture,
        *,
        port: int = 0,
        faults: Faults | None = None,
        key: str | None = None,
        secret: str | None = None,
        past_cap: PastCap | None = None,
        behaviour: Behaviour | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.catalog = _catalog(photos, past_cap, behaviour)
        self.faults = faults or Faults()
        self.log = Log(clock, self.catalog.behaviour.gate_grace_s)
        self.calls: list[Call] = self.log.calls
        self._picture, self._key, self._secret = picture, key, secret
        self._socket, self._other_socket = _bind(port), _bind(0)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.photo_host = self.url
        self.other_host = f"http://127.0.0.1:{self._other_socket.getsockname()[1]}"
        self.api_url = self.url + API_PATH

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(started)), daemon=True
        )
        self._thread.start()
        started.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        wire = Wire(self.catalog.behaviour, self.faults, self.log, self._stop)
        host = PhotoHost(self.catalog, self._picture, wire, self.other_host)
        api = Api(self.catalog, wire, self.photo_host, self._key, self._secret)
        app, other = web.Application(), web.Application()
        app.router.add_route("*", API_PATH, api.handle)
        app.router.add_get(LOG_PATH, self._shown)
        app.router.add_delete(LOG_PATH, self._cleared)
        app.router.add_get(UNAVAILABLE_PATH, host.unavailable)
        app.router.add_get("/{server}/{name}.jpg", host.handle)
        app.router.add_get(MOVED + "/{server}/{name}.jpg", host.handle)
        other.router.add_get("/{server}/{name}.jpg", host.elsewhere)
        runners = [web.AppRunner(a, access_log=None, shutdown_timeout=1) for a in (app, other)]
        for runner, bound in zip(runners, (self._socket, self._other_socket), strict=True):
            await runner.setup()
            await web.SockSite(runner, bound).start()
        started.set()
        await self._stop.wait()
        for runner in runners:
            await runner.cleanup()

    async def _shown(self, request: web.Request) -> web.Response:
        since = request.query.get("since", "0")
        return web.json_response(self.log.shown(int(since) if since.isdecimal() else 0))

    async def _cleared(self, _request: web.Request) -> web.Response:
        self.log.clear()
        return web.json_response({})


def _catalog(
    photos: Sequence[CatalogPhoto] | Mapping[str, Any] | Catalog,
    past_cap: PastCap | None,
    behaviour: Behaviour | None,
) -> Catalog:
    if isinstance(photos, Catalog):
        chosen = behaviour or photos.behaviour
        chosen = replace(chosen, past_cap=past_cap) if past_cap else chosen
        return photos if chosen == photos.behaviour else photos.behaving(chosen)
    if isinstance(photos, Mapping):
        return _catalog(Catalog.from_columns(photos), past_cap, behaviour)
    return Catalog(photos, past_cap, behaviour)


def _bind(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        raise UserError(f"Port {port} of 127.0.0.1 is taken; choose another.") from None
