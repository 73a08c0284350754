"""Photo host of the Flickr stand-in."""

from __future__ import annotations

import gzip
import zlib

from aiohttp import web
from PIL import Image

from witw.demo.fake_flickr.catalog.query import Catalog
from witw.demo.fake_flickr.connection import HTML, Wire, page, reset
from witw.demo.fake_flickr.faults import PHOTO_FAULTS
from witw.demo.fake_flickr.log import Call
from witw.demo.fake_flickr.pictures import Picture, placeholder, shrink, size_px

UNAVAILABLE_PATH = "/images/en-us/photo_unavailable.png"
MOVED = "/moved"  # prefix of a photo's path after a redirect on the same host
SMALL_PX = 240
_CHUNK = 2**18


class PhotoHost:
    """Serves ``/{server}/{id}_{secret}.jpg`` and, 240 px small, ``..._m.jpg``.

    Args:
        catalog: The photos and their removals.
        picture: Returns a photo's 500 px JPEG by its id; None: the host has none (404).
        wire: Injects faults.
        elsewhere: Scheme, host and port of another host to which some photos redirect.
    """

    def __init__(self, catalog: Catalog, picture: Picture, wire: Wire, elsewhere: str) -> None:
        self._catalog, self._picture = catalog, picture
        self._wire, self._elsewhere = wire, elsewhere

    async def unavailable(self, request: web.Request) -> web.Response:
        """Serve the picture to which removed photos redirect."""
        self._note(request, "photo")
        return web.Response(body=placeholder("PNG"), content_type="image/png")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request for a photo."""
        path = request.path
        fault, attempt = self._note(request, "photo")
        await self._wire.wait(self._wire.behaviour.photo_latency_s)
        refused = self._wire.closed("photo", path) or self._refusal(fault, path, attempt)
        refused = refused or self._wire.too_fast(path)
        if refused is not None:
            return refused
        photo_id, _, rest = request.match_info["name"].partition("_")
        spot = self._catalog.columns.find(photo_id)
        photo = None if spot is None else self._catalog.photos[spot]
        suffix = rest.removeprefix(photo.secret) if photo else ""
        if (
            photo is None
            or request.match_info["server"] != photo.server
            or not rest.startswith(photo.secret)
            or suffix not in ("", "_m")
        ):
            return _gone(404)
        fate = photo.removed or self._wire.faults.fate(photo_id)
        is_odd = int(photo_id) % 2 == 1
        answer = self._fated(fate, path, is_odd)
        if answer is not None:
            return answer
        body = self._body(photo_id, suffix)
        if body is None:
            return _gone(404)
        if fault == "photo_html" or fate == "html":
            kind = "image/jpeg" if is_odd else "text/html"
            return web.Response(body=HTML.encode(), content_type=kind)
        if fate == "oversize":
            return await self._oversize(request, body, is_odd)
        if fate == "gzip":
            packed = {"Content-Encoding": "gzip"}
            return web.Response(body=gzip.compress(body), content_type="image/jpeg", headers=packed)
        if fate == "damaged":
            body = body[: len(body) // 2] + body[-2:]
        return await self._send(request, body, fault, is_odd, attempt)

    async def elsewhere(self, request: web.Request) -> web.StreamResponse:
        """Serve as the other host, which has every photo but must not be contacted."""
        self._note(request, "elsewhere")
        body = self._picture(request.match_info["name"].partition("_")[0])
        return _gone(404) if body is None else web.Response(body=body, content_type="image/jpeg")

    def _note(self, request: web.Request, kind: str) -> tuple[str, int]:
        log, path = self._wire.log, request.path
        attempt, early_s = log.arrive(kind, path if kind == "photo" else f"{kind} {path}")
        fault = self._wire.faults.draw(PHOTO_FAULTS, path, attempt) if kind == "photo" else ""
        agent = request.headers.get("User-Agent", "")
        log.calls.append(Call(kind, path, {}, fault, log.clock(), attempt, early_s, agent))
        return fault, attempt

    def _refusal(self, fault: str, path: str, attempt: int) -> web.Response | None:
        match fault:
            case "photo_503":
                return page(503)
            case "photo_5xx":
                return self._wire.server_error(path, attempt)
            case "photo_403":
                return page(403)
            case "photo_429":
                return self._wire.refusal("photo", path, attempt)
        return None

    def _fated(self, fate: str, path: str, is_odd: bool) -> web.Response | None:
        """Return the permanent response instead of a picture."""
        match fate:
            case "404":
                return _gone(404)
            case "410":
                return _gone(410)
            case "403":
                return page(403)
            case "451":
                return page(451)
            case "placeholder":
                return _redirect(UNAVAILABLE_PATH)
            case "placeholder_png":
                # The name ends in .jpg, and half of the time the type is declared as JPEG too.
                kind = "image/jpeg" if is_odd else "image/png"
                return web.Response(body=placeholder("PNG"), content_type=kind)
            case "placeholder_jpeg":
                return web.Response(body=placeholder("JPEG"), content_type="image/jpeg")
            case "redirect":
                return None if path.startswith(MOVED) else _redirect(MOVED + path)
            case "elsewhere":
                return _redirect(self._elsewhere + path)
            case "loop":
                return _redirect(path)
        return None

    def _body(self, photo_id: str, suffix: str) -> bytes | None:
        body = self._picture(photo_id)
        return shrink(body, SMALL_PX) if body is not None and suffix == "_m" else body

    async def _oversize(
        self, request: web.Request, body: bytes, with_length: bool
    ) -> web.StreamResponse:
        left = max(self._wire.behaviour.oversize_bytes - len(body), 0)
        response = _headed(request, body, len(body) + left if with_length else None)
        await response.prepare(request)
        await response.write(body)
        while left > 0:
            await response.write(bytes(min(left, _CHUNK)))
            left -= _CHUNK
        await response.write_eof()
        return response

    async def _send(
        self, request: web.Request, body: bytes, fault: str, with_length: bool, attempt: int
    ) -> web.StreamResponse:
        """Serve a picture as the real host does, with or without a length, or break off."""
        half = body[: len(body) // 2]
        if fault == "photo_stall" and self._wire.faults.choose((0, 1), request.path, attempt):
            return await self._wire.stall(request)
        sent = half if fault == "photo_short" else body
        response = _headed(request, body, len(sent) if with_length else None)
        if not fault and request.headers.get("If-None-Match") == response.headers["ETag"]:
            return web.Response(status=304, headers={"ETag": response.headers["ETag"]})
        await response.prepare(request)
        if fault in ("photo_truncated", "photo_reset", "photo_stall"):
            await response.write(half)
            if fault == "photo_stall":
                await self._wire.stall(request)
            elif fault == "photo_reset":
                reset(request)
            elif request.transport is not None:
                request.transport.close()
            return response
        await response.write(sent)
        await response.write_eof()
        return response


def _gone(status: int) -> web.Response:
    return web.Response(status=status, content_type="text/html")


def _redirect(location: str) -> web.Response:
    return web.Response(status=302, headers={"Location": location}, content_type="text/html")


def _headed(request: web.Request, body: bytes, length: int | None) -> web.StreamResponse:
    """Return a response with the real host's headers; chunked if no length is given."""
    try:
        width, height = size_px(body)
    except (OSError, Image.DecompressionBombError):
        # a host measures its members' uploads, and some of them upload bombs
        width, height = 500, 375
    response = web.StreamResponse(
        headers={
            "Content-Type": "image/jpeg",
            "ETag": f'"{zlib.crc32(body):08x}{len(body):08x}"',
            "Last-Modified": "Sat, 07 Dec 2024 08:30:00 GMT",
            "Cache-Control": "max-age=31536000,public",
            "imagewidth": str(width),
            "imageheight": str(height),
        }
    )
    if length is not None:
        response.content_length = length
    elif request.version >= (1, 1):
        response.enable_chunked_encoding()
    return response
