"""Serve a page to drop photos on, for this machine only.

The server listens on 127.0.0.1 only, and its address contains an unguessable token. A foreign web
page in the same browser cannot reach it by another host name, because only 127.0.0.1 and localhost
are accepted as ``Host``. It cannot reach it by the address either, because it lacks the token and a
foreign
``Origin`` is refused.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import BodyPartReader, web
from markupsafe import Markup

from witw import files
from witw.answer import content, page, write
from witw.errors import UserError, printable
from witw.images.query import Photo, open_query

if TYPE_CHECKING:
    from witw.cvig.locating.located import Located

HOST = "127.0.0.1"
MAX_BYTES = 100_000_000  # size of a request
MAX_PHOTOS = 20  # photos of one place, searched together
MAX_WAITING = 200  # unanswered requests
_CHUNK = 2**20
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Searcher(Protocol):
    """Searches an area, see :class:`witw.cvig.locating.locator.Locator`."""

    def locate(self, photos: Sequence[Photo], together: bool = False) -> list[Located]:
        """Locate photos."""


@dataclass
class Site:
    """The page and its server.

    Attributes:
        areas: names of the areas; the first is the default.
        open_area: opens an area; called once per area, in the worker's thread.
        folder: folder of the answers.
        token: first part of every address.
    """

    areas: Sequence[str]
    open_area: Callable[[str], Searcher]
    folder: Path
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    _opened: dict[str, Searcher] = field(default_factory=dict)
    _pages: list[Path] = field(default_factory=list)
    _waiting: int = 0
    # One photo at a time: the network uses all cores for each.
    _worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    @property
    def answered(self) -> int:
        """Number of answers so far."""
        return len(self._pages)

    def application(self) -> web.Application:
        """Return the web application, whose addresses begin with the token."""
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_BYTES)
        app.add_routes(
            [
                web.get("/{token}/", self._page),
                web.post("/{token}/ask", self._ask),
                web.get("/{token}/answers/{number:[0-9]{1,9}}", self._answer),
            ]
        )
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _app: web.Application) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)

    @web.middleware
    async def _guard(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        """Accept only requests of this page."""
        try:
            self._check(request)
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(_HEADERS)
            raise
        response.headers.update(_HEADERS)
        return response

    def _check(self, request: web.Request) -> None:
        port = request.url.port
        own = {f"{name}:{port}" for name in (HOST, "localhost")}
        # The port in the header must be the port of the socket.
        sockname = request.transport.get_extra_info("sockname") if request.transport else None
        if request.headers.get("Host", "") not in own or (sockname and sockname[1] != port):
            raise web.HTTPForbidden(text="Only 127.0.0.1 and localhost are served.\n")
        origin = request.headers.get("Origin")
        is_own = origin in {f"http://{name}" for name in own}
        if (origin is not None or request.method not in ("GET", "HEAD")) and not is_own:
            raise web.HTTPForbidden(text="Only this server's page may send requests.\n")
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            raise web.HTTPForbidden(text="Only this server's page may send requests.\n")
        given = request.path.split("/")[1].encode()
        if not secrets.compare_digest(given, self.token.encode()):
            raise web.HTTPNotFound(text="Open the address that the command printed.\n")

    async def _page(self, _request: web.Request) -> web.Response:
        text, script, style = drop_page(self.areas)
        policy = (
            f"default-src 'none'; script-src '{script}'; style-src '{style}'; img-src blob:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return _html(text, policy)

    async def _answer(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        if not 1 <= number <= len(self._pages):
            raise web.HTTPNotFound(text="This answer does not exist.\n")
        body = await asyncio.to_thread(self._pages[number - 1].read_text, encoding="utf-8")
        return _html(body, "frame-ancestors 'none'")

    async def _ask(self, request: web.Request) -> web.Response:
        """Locate the photos of a request; a mistake gives an error message."""
        area = request.query.get("area", "")
        if area not in self.areas:
            return _told({"error": f"Area {area!r} is unknown; reload the page."}, 400)
        if (request.content_length or 0) > MAX_BYTES:
            return _told({"error": _too_large()}, 413)
        if self._waiting >= MAX_WAITING:
            return _told({"error": "Too many photos are waiting; drop the photo again later."}, 429)
        self._waiting += 1
        try:
            photos = await _photos(request)
            loop = asyncio.get_running_loop()
            told = await loop.run_in_executor(self._worker, self._search, area, photos)
        except UserError as error:
            return _told({"error": str(error)}, 422)
        except ValueError as error:
            return _told({"error": str(error)}, 413)
        finally:
            self._waiting -= 1
        return _told(told)

    def _search(self, area: str, bodies: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
        """Locate photos in the worker's thread, and write the answer's files."""
        photos = [open_query(body, name) for name, body in bodies]
        if area not in self._opened:
            self._opened[area] = self.open_area(area)
        found = self._opened[area].locate(photos, together=len(photos) > 1)[0]
        folder = write.new_folder(self.folder, found)
        write.files_of(folder, found)
        files.write_text(folder / write.PAGE, page.render([page.Shown(found)]))
        self._pages.append(folder / write.PAGE)
        return _summary(found, len(self._pages), folder)


def _summary(found: Located, number: int, folder: Path) -> dict[str, Any]:
    said = content.verdict(found)
    return {
        "title": content.title(found),
        "verdict": {"kind": said.kind, "title": said.title, "detail": said.detail},
        "warnings": content.warnings(found),
        "region": content.region_sentence(found),
        "places": [
            {
                "coordinates": content.coordinates(place),
                "looking": content.looking(place.heading_deg[0]),
                "percent": content.percent(place.probability),
            }
            for place in found.places(content.PLACES)
        ],
        "page": f"answers/{number}",
        "folder": str(folder),
    }


async def _photos(request: web.Request) -> list[tuple[str, bytes]]:
    """Return names and bytes of the photos in a form.

    Raises:
        UserError: the form contains no photo, or too many.
        ValueError: the form is too large.
    """
    if not request.content_type.startswith("multipart/"):
        raise UserError("Send photos as the fields of a form.")
    out: list[tuple[str, bytes]] = []
    total = 0
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise UserError("Send photos as the fields of a form.")
        if len(out) == MAX_PHOTOS:
            raise UserError(f"Too many photos: drop at most {MAX_PHOTOS} photos of one place.")
        body = bytearray()
        while chunk := await part.read_chunk(_CHUNK):
            total += len(chunk)
            if total > MAX_BYTES:
                raise ValueError(_too_large())
            body += chunk
        name = printable((part.filename or "photo").replace("\\", "/").rsplit("/", 1)[-1])
        out.append((name[:200] or "photo", bytes(body)))
    if not out:
        raise UserError("The form contains no photo; choose one.")
    return out


def _too_large() -> str:
    return f"Too large: drop at most {MAX_BYTES // 1_000_000} MB at a time."


def _told(value: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.json_response(dict(value), status=status)


def _html(text: str, policy: str) -> web.Response:
    headers = {"Content-Security-Policy": policy}
    return web.Response(text=text, content_type="text/html", headers=headers)


def drop_page(areas: Sequence[str]) -> tuple[str, str, str]:
    """Return the page to drop photos on, and the hashes of its script and its style."""
    script, style = (
        resources("witw.answer").joinpath("templates", f"drop.{kind}").read_text(encoding="utf-8")
        for kind in ("js", "css")
    )
    text = (
        page.templates()
        .get_template("drop.html.j2")
        .render(
            areas=areas,
            script=Markup(script),  # noqa: S704 - files of this package
            style=Markup(style),  # noqa: S704
            most_mb=MAX_BYTES // 1_000_000,
            most_photos=MAX_PHOTOS,
            most_bytes=MAX_BYTES,
        )
    )
    return text, _hash(script), _hash(style)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


async def start(site: Site, port: int = 0) -> tuple[web.AppRunner, str]:
    """Listen on 127.0.0.1.

    Args:
        site: the site to serve.
        port: port of the server; 0: a free port.

    Returns:
        The runner, to be ended by :meth:`aiohttp.web.AppRunner.cleanup`, and the page's address.

    Raises:
        UserError: the port is in use.
    """
    runner = web.AppRunner(site.application(), access_log=None)
    await runner.setup()
    listener = web.TCPSite(runner, HOST, port)
    try:
        await listener.start()
    except OSError as error:
        await runner.cleanup()
        raise UserError(
            f"Port {port} of {HOST} is not available ({error.strerror}); give another --port, or "
            "none."
        ) from None
    bound = runner.addresses[0][1]
    return runner, f"http://{HOST}:{bound}/{site.token}/"
