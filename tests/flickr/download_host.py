"""A scripted photo host on loopback, and a run against it."""

import io
import socket
import struct
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from witw import tables
from witw.flickr.photo_host.throttle import Limits
from witw.sources import download

HASTY = Limits(tries=4, span_s=0, steady_s=0, base_s=0.01, cap_s=0.05, read_s=2, total_s=5)


def picture(seed: int = 0, size=(80, 64), mode="RGB", form="JPEG", **options) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1] // 8, size[0] // 8, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize(size).convert(mode).save(out, form, **options)
    return out.getvalue()


def bomb(side: int) -> bytes:
    """Return a small file whose header claims ``side`` x ``side`` px."""
    body = picture()
    frame = body.index(b"\xff\xc0")
    return body[: frame + 5] + struct.pack(">HH", side, side) + body[frame + 9 :]


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture(exif=exif)


class Host:
    """A photo host on loopback; ``plan[path]`` lists its answers, the last one repeats."""

    def __init__(self):
        self.plan = {}
        self.log = []
        self.agents = set()
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                host.log.append((self.path, time.monotonic()))
                host.agents.add(self.headers["User-Agent"])
                answers = host.plan[self.path]
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.entry = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.entry}"

    def counts(self) -> Counter:
        return Counter(path for path, _ in self.log)


def send(body=b"", status=200, kind="image/jpeg", **headers):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def cut(body):
    """Announce the right length and send half of it."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2])
        handler.close_connection = True

    return answer


def cut_chunked(body):
    """Send half of the body in a chunk, without a last chunk."""

    def answer(handler):
        half = body[: len(body) // 2]
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(f"{len(half):x}\r\n".encode() + half + b"\r\n")
        handler.close_connection = True

    return answer


def chunked(body, **headers):
    def answer(handler):
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")

    return answer


def reset(handler):
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def stall(handler):
    time.sleep(3)
    handler.close_connection = True


GOOD = picture(7)


def spec(*hosts, **changes) -> dict:
    return {
        "aoi": "rio",
        "download": {"max_megabytes": 0.2, "min_side_px": 64, **changes},
        "flickr": {"photo_hosts": list(hosts)},
    }


def listing(urls: dict[str, str], gone=(), places=None) -> Path:
    """Write table ``ids``: every photo at a different place unless ``places`` is given."""
    places = places or {i: (0.01 * n, 1.0) for n, i in enumerate(urls)}
    rows = [
        {"id": i, "url": url, "lat": places[i][0], "lon": places[i][1], "is_gone": i in gone}
        for i, url in urls.items()
    ]
    tables.write(Path("ids.parquet"), "ids", rows)
    return Path("ids.parquet")


def fetch(urls, *hosts, limits=HASTY, gone=(), places=None, **changes) -> pd.DataFrame:
    ids = listing(urls, gone, places)
    data = download.run(spec(*hosts, **changes), ids, Path("out.parquet"), limits)
    assert list(data["id"]) == sorted(urls)
    return data.set_index("id")


def stored() -> list[Path]:
    return sorted(p for p in Path("photos").rglob("*") if p.is_file())
