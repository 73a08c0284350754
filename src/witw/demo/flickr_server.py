"""A stand-in for Flickr on this machine: its API and its photo host, faults included.

Binds 127.0.0.1 only. In process::

    with FlickrServer(photos, picture) as server:
        ...  # config: flickr.api_url = server.api_url, flickr.photo_hosts = [server.photo_host]

or by hand: ``python -m witw.demo.flickr_server --catalog catalog.parquet --photos DIR``.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import logging
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from PIL import Image

from witw import stage
from witw.demo.flickr_catalog import LICENSES, CatalogPhoto, load_catalog, save_catalog
from witw.demo.flickr_faults import API_FAULTS, PHOTO_FAULTS, Faults
from witw.demo.flickr_oauth import parse_authorization, signature_holds
from witw.demo.flickr_query import ApiError, BadRequest, Catalog, PastCap
from witw.errors import UserError

__all__ = ["Call", "CatalogPhoto", "Faults", "FlickrServer", "load_catalog", "save_catalog"]

API_PATH = "/services/rest/"
UNAVAILABLE_PATH = "/images/en-us/photo_unavailable.png"
HTML = "<!DOCTYPE html><html><body><h1>Bad, bad panda!</h1></body></html>"
log = logging.getLogger("witw")


@dataclass(frozen=True)
class Call:
    """One request as it was served, for tests to look at.

    Attributes:
        kind: ``api`` or ``photo``.
        name: the API method, or the path of the photo.
        params: of the API method; without the key.
        fault: name of the fault it met, or ''.
        at: time.monotonic() [s].
    """

    kind: str
    name: str
    params: Mapping[str, str]
    fault: str
    at: float


class FlickrServer:
    """The stand-in, in a thread; use it as a context manager.

    Args:
        photos: what the API knows.
        picture: the bytes of a photo's 500 px JPEG by its id; None: the host has none (404).
        port: of 127.0.0.1; 0: any that is free.
        faults: what goes wrong; default: nothing.
        key: the only API key that is accepted; None: any.
        secret: the key's secret; signatures of signed requests are then verified.
        past_cap: what is answered past 4,000 results: the last page again, or error 20.

    Raises:
        UserError: the port is taken.
    """

    def __init__(
        self,
        photos: Sequence[CatalogPhoto],
        picture: Callable[[str], bytes | None],
        *,
        port: int = 0,
        faults: Faults | None = None,
        key: str | None = None,
        secret: str | None = None,
        past_cap: PastCap = "repeat",
    ) -> None:
        self.catalog = Catalog(photos, past_cap)
        self.faults = faults or Faults()
        self.calls: list[Call] = []
        self._by_id = {photo.id: photo for photo in photos}
        self._picture = picture
        self._key, self._secret = key, secret
        self._attempts: Counter[str] = Counter()
        try:
            self._socket = socket.create_server(("127.0.0.1", port))
        except OSError:
            raise UserError(f"Port {port} of 127.0.0.1 is taken; choose another.") from None
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.photo_host = self.url
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
        app = web.Application()
        app.router.add_route("*", API_PATH, self._api)
        app.router.add_get(UNAVAILABLE_PATH, self._unavailable)
        app.router.add_get("/{server}/{name}.jpg", self._photo)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.SockSite(runner, self._socket).start()
        started.set()
        await self._stop.wait()
        await runner.cleanup()

    def _draw(self, names: Sequence[str], key: str) -> str:
        self._attempts[key] += 1
        return self.faults.draw(names, key, self._attempts[key])

    # --- the API

    async def _api(self, request: web.Request) -> web.StreamResponse:
        form = await request.post() if request.method == "POST" else request.query
        params = {name: str(value) for name, value in form.items()}
        oauth = parse_authorization(request.headers.get("Authorization", ""))
        key = oauth.get("oauth_consumer_key") or params.pop("api_key", "")
        method = params.get("method", "")
        fault = self._draw(API_FAULTS, repr(sorted(params.items())))
        self.calls.append(Call("api", method, params, fault, time.monotonic()))
        if fault == "html_200":
            return web.Response(text=HTML, content_type="text/html")
        if fault in ("api_503", "api_429"):
            return self._refusal(fault)
        try:
            if fault == "api_busy":
                raise ApiError(201, "Sorry, the Flickr API service is not currently available.")
            self._check_key(key)
            if oauth and not self._is_signed(request, {**params, **oauth}):
                return web.Response(status=401, text="oauth_problem=signature_invalid")
            answer = {**self._answer(method, params), "stat": "ok"}
        except ApiError as error:
            answer = {"stat": "fail", "code": error.code, "message": error.message}
        except BadRequest:
            return web.Response(status=400, text=HTML, content_type="text/html")
        text = json.dumps(answer)
        if params.get("nojsoncallback") != "1":
            return web.Response(text=f"jsonFlickrApi({text})", content_type="text/javascript")
        return web.Response(text=text, content_type="application/json")

    def _check_key(self, key: str) -> None:
        if not key or (self._key is not None and key != self._key):
            known = re.fullmatch("[0-9a-f]{32}", key)
            why = "Key has expired" if known else "Key has invalid format"
            raise ApiError(100, f"Invalid API Key ({why})")

    def _is_signed(self, request: web.Request, params: Mapping[str, str]) -> bool:
        url = f"http://{request.host}{request.path}"
        return not self._secret or signature_holds(request.method, url, params, self._secret)

    def _answer(self, method: str, params: Mapping[str, str]) -> dict[str, Any]:
        form = params.get("format", "rest")
        if form != "json":
            raise ApiError(111, f'Format "{form}" not found')
        if method == "flickr.photos.search":
            return {"photos": self.catalog.search(params, self.photo_host)}
        if method == "flickr.photos.licenses.getInfo":
            rows = [{"id": n, "name": name, "url": url} for n, (name, url) in LICENSES.items()]
            return {"licenses": {"license": rows}}
        if method == "flickr.test.echo":
            return {name: {"_content": value} for name, value in params.items()}
        raise ApiError(112, f'Method "{method}" not found')

    def _refusal(self, fault: str) -> web.Response:
        status = int(fault.rsplit("_", 1)[1])
        headers = {"Retry-After": f"{self.faults.retry_after_s:g}"} if status == 429 else {}
        return web.Response(status=status, text=HTML, content_type="text/html", headers=headers)

    # --- the photo host

    async def _unavailable(self, _request: web.Request) -> web.Response:
        body = io.BytesIO()
        Image.new("RGB", (500, 374), (240, 240, 240)).save(body, "PNG")
        return web.Response(body=body.getvalue(), content_type="image/png")

    async def _photo(self, request: web.Request) -> web.StreamResponse:
        fault = self._draw(PHOTO_FAULTS, request.path)
        self.calls.append(Call("photo", request.path, {}, fault, time.monotonic()))
        if fault in ("photo_503", "photo_429"):
            return self._refusal(fault)
        photo_id, _, rest = request.match_info["name"].partition("_")
        photo = self._by_id.get(photo_id)
        if photo is None or request.match_info["server"] != photo.server:
            return web.Response(status=404, content_type="text/html")
        suffix = rest.removeprefix(photo.secret)
        if not rest.startswith(photo.secret) or suffix not in ("", "_m"):
            return web.Response(status=404, content_type="text/html")
        if photo.removed == "placeholder":
            return web.Response(status=302, headers={"Location": UNAVAILABLE_PATH})
        body = None if photo.removed == "404" else self._picture(photo_id)
        if body is None or photo.removed:
            return web.Response(status=410 if photo.removed == "410" else 404)
        if suffix == "_m":
            body = _shrink(body, 240)
        return await _send(request, body, fault, chunked=int(photo_id) % 2 == 0)


async def _send(request: web.Request, body: bytes, fault: str, chunked: bool) -> web.StreamResponse:
    """Serve a picture as the real host does: with or without a length; or break off."""
    with Image.open(io.BytesIO(body)) as picture:
        width, height = picture.size
    response = web.StreamResponse(
        headers={
            "Content-Type": "image/jpeg",
            "ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"',
            "Cache-Control": "max-age=31536000,public",
            "imagewidth": str(width),
            "imageheight": str(height),
        }
    )
    if chunked:
        response.enable_chunked_encoding()
    else:
        response.content_length = len(body)
    await response.prepare(request)
    if fault:
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.abort() if fault == "photo_reset" else request.transport.close()
        return response
    await response.write(body)
    await response.write_eof()
    return response


def _shrink(body: bytes, side_px: int) -> bytes:
    out = io.BytesIO()
    with Image.open(io.BytesIO(body)) as picture:
        picture.thumbnail((side_px, side_px))
        picture.save(out, "JPEG")
    return out.getvalue()


def folder_pictures(folder: Path) -> Callable[[str], bytes | None]:
    """The ``picture`` of a server whose files lie in a folder as ``{id}.jpg``."""

    def picture(photo_id: str) -> bytes | None:
        path = folder / f"{photo_id}.jpg"
        return path.read_bytes() if path.is_file() else None

    return picture


def main(argv: Sequence[str] | None = None) -> None:
    """Serve a catalog and a folder of pictures until interrupted."""
    parser = argparse.ArgumentParser(description="A stand-in for Flickr on 127.0.0.1.")
    parser.add_argument("--catalog", type=Path, required=True, help="parquet of the photos")
    parser.add_argument("--photos", type=Path, required=True, help="folder of {id}.jpg")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--key", help="the only API key to accept; default: any")
    args = parser.parse_args(argv)
    photos = load_catalog(args.catalog)
    with FlickrServer(photos, folder_pictures(args.photos), port=args.port, key=args.key) as server:
        log.info("%d photos; flickr.api_url: %s", len(photos), server.api_url)
        log.info("flickr.photo_hosts: [%s]; Ctrl-C ends it", server.photo_host)
        threading.Event().wait()


if __name__ == "__main__":
    stage.execute(main)
