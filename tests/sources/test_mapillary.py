"""Mapillary through a stand-in on loopback: boxes, errors, expired addresses, the token."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from witw import tables
from witw.errors import UserError
from witw.sources import download, mapillary, search
from witw.store import photo_path

TOKEN = "MLY|1|secret"
BOX = [10.0, 59.0, 10.02, 59.01]


class StandIn:
    """API v4 as described by its documentation and its users."""

    def __init__(self, images):
        self.images = {image["id"]: image for image in images}
        self.asked, self.refused, self.generation = [], [], 0
        self.limit, self.removed = 2000, set()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                stand_in.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request):
        parts = urlsplit(request.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        name = parts.path.strip("/")
        self.asked.append((name, query))
        if name.startswith("thumb/"):
            number, generation = name.split("/")[1:]
            fresh = int(generation) == self.generation
            return send(request, 200 if fresh else 403, picture(number), "image/jpeg")
        if request.headers.get("Authorization") != f"OAuth {TOKEN}":
            return send(request, 401, b'{"error": {"code": 190}}')
        if self.refused:
            return send(request, self.refused.pop(), b"<html>", retry=True)
        if name == "images":
            return send(request, *self.box(query))
        image = self.images.get(name)
        if image is None or name in self.removed:
            return send(request, 400, b'{"error": {"code": 100}}')
        url = f"{self.address}/thumb/{name}/{self.generation}"
        return send(request, 200, json.dumps({"id": name, "thumb_1024_url": url}).encode())

    def box(self, query):
        west, south, east, north = map(float, query["bbox"].split(","))
        if (east - west) * (north - south) >= 0.01:
            return 400, b'{"error": {"message": "bbox too large"}}'
        found = [
            image
            for image in self.images.values()
            if west <= image["geometry"]["coordinates"][0] <= east
            and south <= image["geometry"]["coordinates"][1] <= north
        ]
        return 200, json.dumps({"data": found[: min(self.limit, int(query["limit"]))]}).encode()


def send(request, status, body, kind="application/json", retry=False):
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body)))
    if retry:
        request.send_header("Retry-After", "0")
    request.end_headers()
    request.wfile.write(body)


def picture(number):
    out = io.BytesIO()
    noise = np.random.default_rng(int(number)).integers(0, 255, (24, 32, 3), np.uint8)
    Image.fromarray(noise).resize((1024, 768)).save(out, "JPEG")
    return out.getvalue()


def image(number, lon, lat, **other):
    geometry = {"type": "Point", "coordinates": [lon, lat]}
    told = {"id": str(number), "geometry": geometry, "captured_at": 1507560881000}
    return told | {"compass_angle": 200.9, "creator": {"username": "ann", "id": "5"}} | other


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAPILLARY_TOKEN", TOKEN)
    monkeypatch.setattr(mapillary, "PAUSE_S", 0.01)
    rng = np.random.default_rng(0)
    at = zip(rng.uniform(10, 10.02, 90), rng.uniform(59, 59.01, 90), strict=True)
    images = [image(100 + n, lon, lat) for n, (lon, lat) in enumerate(at)]
    images.append(image(7, 10.001, 59.001, is_pano=True))
    images.append(image(8, 10.5, 59.001))
    yield (found := StandIn(images))
    found.server.shutdown()


def spec(stand_in):
    source = {"kind": "mapillary", "name": "mapillary", "path": stand_in.address}
    return {"aoi": "oslo", "bbox_deg": BOX, "sources": [source | {"license": "", "owner": ""}]}


def test_every_image_of_the_area_is_listed_once(stand_in):
    photos, cells, said = search.run(spec(stand_in))
    assert sorted(photos["id"]) == sorted(f"mapillary-{100 + n}" for n in range(90))
    row = photos.iloc[0]
    assert (row["license"], row["license_id"], row["owner"]) == ("CC BY-SA 4.0", 12, "ann")
    assert (row["heading_deg"], row["date_taken"]) == (200.9, "2017-10-09 14:54:41")
    assert row["photo_page"] == "https://www.mapillary.com/app/?pKey=100"
    assert said["left_out"] == {"a 360 degree panorama": 1}
    assert said["calls"] == cells["calls"].sum() == len(stand_in.asked) == 2


def test_a_full_box_is_queried_by_quarters(stand_in, monkeypatch):
    monkeypatch.setattr(mapillary, "LIMIT", 10)
    photos, _, said = search.run(spec(stand_in))
    assert len(photos) == 90
    assert said["calls"] > 8


def test_a_place_with_too_many_images_is_reported(stand_in, monkeypatch):
    monkeypatch.setattr(mapillary, "LIMIT", 10)
    stand_in.images |= {str(n): image(n, 10.005, 59.005) for n in range(1000, 1030)}
    _, _, said = search.run(spec(stand_in))
    assert any("has more images than Mapillary shows" in reason for reason in said["reasons"])


def test_the_computed_position_and_heading_are_used(stand_in):
    place = {"type": "Point", "coordinates": [10.011, 59.002]}
    stand_in.images["100"] |= {"computed_geometry": place, "computed_compass_angle": -10.0}
    photos, *_ = search.run(spec(stand_in))
    row = photos[photos["id"] == "mapillary-100"].iloc[0]
    assert (row["lon"], row["lat"], row["heading_deg"]) == (10.011, 59.002, 350.0)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_errors_are_retried(stand_in, status):
    stand_in.refused = [status, status]
    assert len(search.run(spec(stand_in))[0]) == 90


def test_lasting_errors_are_reported_without_the_token(stand_in, monkeypatch):
    stand_in.refused = [500] * 100
    with pytest.raises(UserError, match=r"'oslo': Mapillary .* in 6 tries \(HTTP 500\)") as told:
        search.run(spec(stand_in))
    assert "secret" not in str(told.value)
    monkeypatch.setenv("MAPILLARY_TOKEN", "MLY|wrong")
    with pytest.raises(UserError, match="refuses the token in MAPILLARY_TOKEN"):
        search.run(spec(stand_in))
    monkeypatch.delenv("MAPILLARY_TOKEN")
    with pytest.raises(UserError, match="MAPILLARY_TOKEN is not set"):
        search.run(spec(stand_in))


def fetched(stand_in, photos, folder):
    tables.write(folder / "ids.parquet", "ids", photos)
    told = {"aoi": "oslo", "download": {"min_side_px": 64, "max_megabytes": 5}}
    told |= {"flickr": {"photo_hosts": ["live.staticflickr.com"]}}
    told |= {"photo_hosts": [f"http://127.0.0.1:{stand_in.server.server_port}"]}
    return download.run(told, folder / "ids.parquet", folder / "downloads.parquet")


def test_files_are_fetched_by_fresh_addresses(stand_in, tmp_path):
    photos = search.run(spec(stand_in))[0].head(6)
    assert not photos["url"].str.contains("secret").any()
    stand_in.generation = 5  # yesterday's addresses have expired
    stand_in.removed = {photos["id"][0].removeprefix("mapillary-")}
    done = fetched(stand_in, photos, tmp_path).set_index("id")
    assert done["status"].value_counts().to_dict() == {"ok": 5, "gone": 1}
    assert done.loc[photos["id"][1], ["width", "height"]].tolist() == [500, 375]
    with Image.open(photo_path("oslo", photos["id"][1])) as stored:
        assert stored.size == (500, 375)
    # Stored files are not requested again.
    before = len(stand_in.asked)
    fetched(stand_in, photos, tmp_path)
    assert len(stand_in.asked) == before + 1


def test_boxes_are_small_and_cover_the_area():
    boxes = list(mapillary.cut((-0.015, 51.0, 0.017, 51.011)))
    assert len(boxes) == 8
    assert all(east - west <= 0.01 + 1e-12 for west, _, east, _ in boxes)
    area = sum((east - west) * (north - south) for west, south, east, north in boxes)
    assert area == pytest.approx(0.032 * 0.011)
