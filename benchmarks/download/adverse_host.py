"""A misbehaving photo host on loopback: 200 addresses, of which 120 lead to photos."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web
from PIL import Image

from benchmarks.download.photo_host import free_port, scene

EACH = 20
RETRY_AFTER_S = 2
PAGE = b"<!DOCTYPE html><title>Please sign in</title>"
OBTAINABLE = ("fine", "chunked", "throttled", "busy", "truncated", "reset")
LOST = ("404", "410", "moved", "page")


def placeholder() -> bytes:
    """Return the "no longer available" picture, a PNG under a name in .jpg."""
    out = io.BytesIO()
    Image.new("RGB", (500, 374), (240, 240, 240)).save(out, "PNG")
    return out.getvalue()


@dataclass
class Adverse:
    """The host, and a record of early requests.

    Attributes:
        entry: host:port.
        photos: Correct bytes by path.
        early: Paths requested before their Retry-After had passed.
    """

    entry: str
    photos: dict[str, bytes]
    early: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    not_before: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def forget(self) -> None:
        """Start over for the next tool."""
        self.early.clear()
        self.asked.clear()
        self.not_before.clear()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Respond according to the path."""
        path = request.path
        story = path.strip("/").split("_")[1].removesuffix(".jpg") if "_" in path else "sorry"
        if path == "/sorry.png":
            return web.Response(body=placeholder(), content_type="image/png")
        if time.monotonic() < self.not_before[path]:
            self.early.add(path)
        self.asked[path] += 1
        first = self.asked[path] == 1
        if story == "throttled" and self.asked[path] <= 2:
            self.not_before[path] = time.monotonic() + RETRY_AFTER_S
            return web.Response(status=429, headers={"Retry-After": str(RETRY_AFTER_S)})
        if story == "busy" and first:
            return web.Response(status=503)
        if story in ("404", "410"):
            return web.Response(status=int(story), content_type="text/html")
        if story == "moved":
            return web.Response(status=302, headers={"Location": "/sorry.png"})
        if story == "page":
            return web.Response(body=PAGE, content_type="text/html")
        return await self._photo(request, story, first)

    async def _photo(self, request: web.Request, story: str, first: bool) -> web.StreamResponse:
        body = self.photos[request.path]
        response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
        if story in ("chunked", "truncated"):
            response.enable_chunked_encoding()
        else:
            response.content_length = len(body)
        await response.prepare(request)
        broken = first and story in ("truncated", "reset")
        await response.write(body[: len(body) // 2] if broken else body)
        if broken and request.transport is not None:
            # The body ends before the last chunk, which a client may notice, or the connection
            # breaks.
            request.transport.abort() if story == "reset" else request.transport.close()
            return response
        await response.write_eof()
        return response


@contextmanager
def serve() -> Iterator[tuple[Adverse, dict[str, str]]]:
    """Yield the host, and its addresses by photo id."""
    stories = [story for story in (*OBTAINABLE, *LOST) for _ in range(EACH)]
    paths = {f"{52_100_000_000 + 17 * n}": story for n, story in enumerate(stories)}
    urls = {i: f"/{i}_{story}.jpg" for i, story in paths.items()}
    photos = {
        path: scene(5000 + n) for n, (i, path) in enumerate(urls.items()) if paths[i] in OBTAINABLE
    }
    host = Adverse(f"127.0.0.1:{free_port()}", photos)
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def start() -> None:
        application = web.Application()
        application.router.add_get("/{path:.*}", host.answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(host.entry.split(":")[1])).start()
        ready.set()

    def work() -> None:
        loop.run_until_complete(start())
        loop.run_forever()

    threading.Thread(target=work, daemon=True).start()
    ready.wait()
    yield host, {i: f"http://{host.entry}{path}" for i, path in urls.items()}
    loop.call_soon_threadsafe(loop.stop)
