"""Serve a page on this machine that photos are dropped on; nothing of it reaches another.

The server listens on 127.0.0.1 alone, and its address holds a token that nobody can guess. A web
page elsewhere that the same browser has open reaches it neither by its name, as only 127.0.0.1 and
localhost are accepted as ``Host``, nor by its address, as the token is missing and a foreign
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
MAX_BYTES = 100_000_000  # of a request
MAX_PHOTOS = 20  # of one place, searched together
MAX_WAITING = 200  # requests that are not answered yet
_CHUNK = 2**20
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Searcher(Protocol):
    """What searches an area, see :class:`witw.cvig.locating.locator.Locator`."""

    def locate(self, photos: Sequence[Photo], together: bool = False) -> list[Located]:
        """Where the photos may have been taken."""


@dataclass
class Site:
    """The page and what stands behind it.

    Attributes:
        areas: names of the areas, the first is offered first.
        open_area: opens one; called once for each, in the worker's thread.
        folder: where answers are kept.
        token: part of every address.
    """

    areas: Sequence[str]
    open_area: Callable[[str], Searcher]
    folder: Path
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    _opened: dict[str, Searcher] = field(default_factory=dict)
    _pages: list[Path] = field(default_factory=list)
    _waiting: int = 0
    # One photo after the other: the network uses all processors for each.
    _worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    @property
    def answered(self) -> int:
        """Answers given so far."""
        return len(self._pages)

    def application(self) -> web.Application:
        """The server; its addresses begin with the token."""
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
        """Let through only what this page itself asks."""
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
        # The port is that of the socket: what the header says must be it.
        sockname = request.transport.get_extra_info("sockname") if request.transport else None
        if request.headers.get("Host", "") not in own or (sockname and sockname[1] != port):
            raise web.HTTPForbidden(text="Only 127.0.0.1 and localhost are served.\n")
        origin = request.headers.get("Origin")
        is_own = origin in {f"http://{name}" for name in own}
        if (origin is not None or request.method not in ("GET", "HEAD")) and not is_own:
            raise web.HTTPForbidden(text="Only the page of this server may ask.\n")
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            raise web.HTTPForbidden(text="Only the page of this server may ask.\n")
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
            raise web.HTTPNotFound(text="There is no such answer.\n")
        body = await asyncio.to_thread(self._pages[number - 1].read_text, encoding="utf-8")
        return _html(body, "frame-ancestors 'none'")

    async def _ask(self, request: web.Request) -> web.Response:
        """Search for the photos of a request; a mistake is a sentence, not a failure."""
        area = request.query.get("area", "")
        if area not in self.areas:
            return _told({"error": f"There is no area {area!r} here."}, 400)
        if (request.content_length or 0) > MAX_BYTES:
            return _told({"error": _too_large()}, 413)
        if self._waiting >= MAX_WAITING:
            return _told({"error": "Too many photos are waiting; drop it again later."}, 429)
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
        """Answer, in the worker's thread; the answer's files are kept."""
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
    """Names and bytes of the photos of a form.

    Raises:
        UserError: it holds none, or too many.
        ValueError: it is too large.
    """
    if not request.content_type.startswith("multipart/"):
        raise UserError("Send photos as the fields of a form.")
    out: list[tuple[str, bytes]] = []
    total = 0
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise UserError("Send photos as the fields of a form.")
        if len(out) == MAX_PHOTOS:
            raise UserError(f"At most {MAX_PHOTOS} photos of one place are searched together.")
        body = bytearray()
        while chunk := await part.read_chunk(_CHUNK):
            total += len(chunk)
            if total > MAX_BYTES:
                raise ValueError(_too_large())
            body += chunk
        name = printable((part.filename or "photo").replace("\\", "/").rsplit("/", 1)[-1])
        out.append((name[:200] or "photo", bytes(body)))
    if not out:
        raise UserError("There is no photo in the form.")
    return out


def _too_large() -> str:
    return f"That is too large: at most {MAX_BYTES // 1_000_000} MB are taken at a time."


def _told(value: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.json_response(dict(value), status=status)


def _html(text: str, policy: str) -> web.Response:
    headers = {"Content-Security-Policy": policy}
    return web.Response(text=text, content_type="text/html", headers=headers)


def drop_page(areas: Sequence[str]) -> tuple[str, str, str]:
    """The page to drop photos on, and the hashes of its script and its style."""
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
        site: what is served.
        port: 0: any that is free.

    Returns:
        What :meth:`aiohttp.web.AppRunner.cleanup` ends, and the page's address.

    Raises:
        UserError: the port is taken.
    """
    runner = web.AppRunner(site.application(), access_log=None)
    await runner.setup()
    listener = web.TCPSite(runner, HOST, port)
    try:
        await listener.start()
    except OSError as error:
        await runner.cleanup()
        raise UserError(
            f"Port {port} of {HOST} cannot be listened on ({error.strerror}); give another "
            "--port, or none."
        ) from None
    bound = runner.addresses[0][1]
    return runner, f"http://{HOST}:{bound}/{site.token}/"
