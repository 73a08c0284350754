"""A small STAC API on loopback: a landing page, a search by box, time and collection, items."""

import http.server
import json
import threading
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit


def item(name, box, moment, href, cloud=0, collection="made"):
    """Return an item with one raster, asset `visual`."""
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "bbox": list(box),
        "geometry": {"type": "Polygon", "coordinates": [ring]}, "collection": collection,
        "properties": {"datetime": moment, "eo:cloud_cover": cloud}, "links": [],
        "assets": {"visual": {"href": href, "roles": ["data"]}, "thumb": {"href": "t.png"}},
    }  # fmt: skip


@contextmanager
def serving(items, per_page=2):
    """Serve items; yield the address and the list of requests."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, body):
            text = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def root(self):
            link = {"rel": "search", "href": f"{url}/search", "type": "application/geo+json"}
            return {
                "type": "Catalog", "stac_version": "1.0.0", "id": "made", "description": "made",
                "conformsTo": ["https://api.stacspec.org/v1.0.0/core",
                               "https://api.stacspec.org/v1.0.0/item-search"],
                "links": [{"rel": "self", "href": url}, {"rel": "root", "href": url},
                          {**link, "method": "GET"}, {**link, "method": "POST"}],
            }  # fmt: skip

        def search(self, body):
            asked.append(body)
            found = [one for one in items if fits(one, body)]
            first = int(body.get("token", 0))
            links = []
            if first + per_page < len(found):
                links = [{"rel": "next", "href": f"{url}/search", "method": "POST",
                          "body": {**body, "token": first + per_page}}]  # fmt: skip
            page = found[first : first + per_page]
            return {"type": "FeatureCollection", "features": page, "links": links}

        def do_GET(self):
            parts = urlsplit(self.path)
            if parts.path == "/search":
                self.answer(self.search({k: v[0] for k, v in parse_qs(parts.query).items()}))
            elif parts.path.startswith("/items/"):
                name = parts.path.removeprefix("/items/").removesuffix(".json")
                self.answer(next(one for one in items if one["id"] == name))
            else:
                self.answer(self.root())

        def do_POST(self):
            length = int(self.headers["Content-Length"])
            self.answer(self.search(json.loads(self.rfile.read(length))))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield url, asked
        server.shutdown()


def fits(one, body):
    """Return whether an item matches a request."""
    if body.get("ids"):
        return one["id"] in body["ids"]
    if body.get("collections") and one["collection"] not in body["collections"]:
        return False
    if (box := body.get("bbox")) and not (
        one["bbox"][0] <= box[2] and box[0] <= one["bbox"][2]
        and one["bbox"][1] <= box[3] and box[1] <= one["bbox"][3]
    ):  # fmt: skip
        return False
    if span := body.get("datetime"):
        low, _, high = span.partition("/")
        return low <= one["properties"]["datetime"] <= (high or low)
    return True
