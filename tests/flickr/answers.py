"""Handmade API responses, a server that sends them, and the search's parts around it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from witw.flickr.api.client import Client
from witw.flickr.api.records import Photo
from witw.flickr.crawl.boxes import Box
from witw.flickr.crawl.journal import Journal
from witw.flickr.crawl.listing import Listing
from witw.flickr.crawl.pages import Query
from witw.flickr.crawl.service import Service
from witw.ground.shapes import Ground

KEY = "0123456789abcdef0123456789abcdef"
BBOX = (10.0, 50.0, 10.2, 50.1)
SNAPSHOT = 1_750_000_000
LICENSES = (1, 4, 5)
HOST = "https://photos.example"
ROOT = Query(Box.around(BBOX), SNAPSHOT, LICENSES)


class Canned:
    """An HTTP server on loopback that responds with the result of ``reply(params)``.

    A reply is a body, or a status and a body.
    """

    def __init__(self, reply):
        self.reply = reply
        self.asked = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                params = {name: values[0] for name, values in parse_qs(form).items()}
                outer.asked.append(params)
                found = outer.reply(params)
                status, body, headers = (200, found, {}) if isinstance(found, bytes) else found
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.api_url = f"http://127.0.0.1:{self._server.server_port}/services/rest/"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def record(number, upload=1_600_000_000, **changes):
    """Return a well-formed photo of the area in the API's format."""
    return {
        "id": str(50_000_000_000 + number),
        "owner": f"{number % 7:08d}@N00",
        "secret": f"{number:010x}",
        "server": "65535",
        "title": f"photo {number}",
        "license": LICENSES[number % 3] if number % 2 else str(LICENSES[number % 3]),
        "dateupload": str(upload - number),
        "datetaken": "2020-01-01 00:00:00",
        "ownername": "someone",
        "latitude": 50.0 + (number % 100) / 1000,
        "longitude": f"{10.0 + (number % 199) / 1000:.6f}",
        "accuracy": "16",
        "url_m": f"{HOST}/65535/{50_000_000_000 + number}_{number:010x}.jpg",
    } | changes


def answer(records, total=None, **changes):
    """Return the response with these photos, as an object."""
    total = len(records) if total is None else total
    group = {"page": 1, "pages": -(-total // 250), "perpage": 250, "total": total}
    return {"photos": group | changes | {"photo": list(records)}, "stat": "ok"}


def body(records, total=None, **changes):
    """Return the same response as bytes."""
    return json.dumps(answer(records, total, **changes)).encode()


def listing():
    return Listing(Ground(BBOX), SNAPSHOT, LICENSES, HOST)


def client(api_url, tries=3, **options):
    return Client(api_url, KEY, tries=tries, sleep=lambda _: None, **options)


def service(api_url, journal, into=None, tries=3, shown=lambda _: None):
    """Return a service with its own client."""
    return Service("oslo", client(api_url, tries), journal, into or listing(), shown)


def journal(folder, api_url="http://x/", snapshot="2025-06-15T15:06:40Z"):
    return Journal(folder / "journal" / "oslo.sqlite", api_url, snapshot)


def row(photo_id, upload=1_600_000_000, **changes):
    """Return a row of table ``photos``."""
    one = Photo(
        str(photo_id), "00000001@N00", "someone", "a title", 4, "2020-01-01 00:00:00", upload,
        50.05, 10.1, 16, f"{HOST}/1/{photo_id}_ab.jpg",
    )  # fmt: skip
    return (
        {name: getattr(one, name) for name in Photo.__slots__}
        | {
            "license": "CC BY 2.0",
            "license_url": "https://creativecommons.org/licenses/by/2.0/",
            "photo_page": one.page,
            "cell": "r",
            "first_seen": "2025-01-01T00:00:00Z",
            "last_seen": "2025-01-01T00:00:00Z",
            "is_gone": False,
        }
        | changes
    )
