"""The page for dropping photos: access control, rejected requests, and use by a person."""

import asyncio
import http.client
import io
import json
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from made_answer import answer
from PIL import Image

from witw.answer import server
from witw.errors import UserError

HERE = Path(__file__).parent


class MadeArea:
    """Stand-in for an area that gives every photo the same map."""

    def __init__(self, folder):
        self.made, self.seen = answer(folder), []

    def locate(self, photos, together=False):
        self.seen.append([p.name for p in photos])
        made = self.made
        count = len(photos)
        return [
            replace(
                made, photos=tuple(photos), fov_deg=(60.0,) * count, scenes=(), unusual=(),
                score=made.score.repeat(count, 0), heading_deg=made.heading_deg.repeat(count, 0),
            )
        ]  # fmt: skip


class Served:
    """The server in a separate thread, with requests that carry any header."""

    def __init__(self, folder):
        self.area = MadeArea(folder)
        self.folder = folder / "located"

        def opened(name):
            if name == "broken":
                raise UserError("Area 'broken' has no imagery yet.")
            return self.area

        self.site = server.Site(["rowan", "broken"], opened, self.folder)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        started = asyncio.run_coroutine_threadsafe(server.start(self.site), self.loop)
        self.runner, self.address = started.result(20)
        self.port = urlsplit(self.address).port

    def close(self):
        asyncio.run_coroutine_threadsafe(self.runner.cleanup(), self.loop).result(20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)

    def ask(self, method="GET", path="", body=None, token=None, **headers):
        """Return status, headers and body of a response."""
        token = self.site.token if token is None else token
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Host": f"127.0.0.1:{self.port}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/{token}/{path}" if token else path, body, sent)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read().decode()

    def post(self, photos, area="rowan", **headers):
        lines = []
        for name, body in photos:
            lines.append(
                b'--x\r\nContent-Disposition: form-data; name="photo"; filename="%s"\r\n\r\n'
                % name.encode()
                + body
                + b"\r\n"
            )
        body = b"".join(lines) + b"--x--\r\n"
        own = {
            "Origin": f"http://127.0.0.1:{self.port}",
            "Content_Type": "multipart/form-data; boundary=x",
        }
        status, _, text = self.ask("POST", f"ask?area={area}", body, **(own | headers))
        return status, json.loads(text) if text.startswith("{") else text


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    one = Served(tmp_path_factory.mktemp("served"))
    yield one
    one.close()


def photo(size=(200, 150)):
    out = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(out, "JPEG")
    return out.getvalue()


def test_a_photo_is_answered_and_its_files_stay(served):
    status, told = served.post([("C:\\\\pictures\\\\my photo.jpg", photo())])
    assert status == 200, told
    assert told["title"] == "my photo.jpg"
    assert told["verdict"]["title"] == "It may have been taken here"
    best = served.area.made.places(1)[0]
    assert told["places"][0]["coordinates"] == f"{best.lat:.6f}, {best.lon:.6f}"
    folder = Path(told["folder"])
    assert folder.parent == served.folder
    assert {p.name for p in folder.iterdir()} == {
        "answer.html", "places.geojson", "places.kml", "probability.tif", "regions.geojson",
    }  # fmt: skip
    status, headers, text = served.ask(path=told["page"])
    assert status == 200
    assert text == (folder / "answer.html").read_text()
    assert headers["Cache-Control"] == "no-store"
    # The same name gets another folder the second time.
    again = served.post([("my photo.jpg", photo())])[1]
    assert Path(again["folder"]).name == "my photo-2"


def test_several_photos_of_one_place_are_one_question(served):
    status, told = served.post([(f"{n}.jpg", photo()) for n in range(3)])
    assert status == 200
    assert told["title"] == "0.jpg and 2 more"
    assert served.area.seen[-1] == ["0.jpg", "1.jpg", "2.jpg"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:80"}, 403),
        ({"Host": "127.0.0.1:1"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"token": "x" * 32}, 404),
        ({"token": ""}, 404),
        ({}, 200),
    ],
)
def test_only_its_own_page_is_let_in(served, headers, status):
    got, sent, text = served.ask(**({"path": "/"} if headers.get("token") == "" else {}), **headers)
    assert got == status, text
    assert served.site.token not in text
    assert "Access-Control-Allow-Origin" not in sent
    assert sent["Referrer-Policy"] == "no-referrer"
    if status == 200:
        assert "default-src 'none'" in sent["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in sent["Content-Security-Policy"]


def test_a_request_needs_an_origin(served):
    asked = len(served.area.seen)
    for origin in ({"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert served.post([("a.jpg", photo())], **origin)[0] == 403
    body = (
        b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n.\r\n--x--\r\n'
    )
    kind = "multipart/form-data; boundary=x"
    assert served.ask("POST", "ask?area=rowan", body, Content_Type=kind)[0] == 403
    assert len(served.area.seen) == asked


def test_an_invalid_request_gets_one_sentence(served, monkeypatch):
    cases = [
        (served.post([("a.txt", b"hello")]), 422, "a.txt is not a readable photo"),
        (served.post([("", b"")]), 422, "not a readable photo"),
        (served.post([]), 422, "The form contains no photo"),
        (served.post([("a.jpg", photo((8, 8)))]), 422, "a.jpg is too small: 8 x 8 px"),
        (served.post([("a.jpg", photo())], area="atlantis"), 400, "Area 'atlantis' is unknown"),
        (served.post([("a.jpg", photo())], area="broken"), 422, "has no imagery yet"),
        (served.post([("a.jpg", photo())] * 21), 422, "at most 20 photos"),
        (served.post([], Content_Type="text/plain"), 422, "as the fields of a form"),
    ]
    for (status, told), wanted, text in cases:
        assert (status, text in str(told)) == (wanted, True), told
    monkeypatch.setattr(server, "MAX_BYTES", 30_000)
    status, told = served.post([("big.jpg", photo((900, 700)))])
    assert (status, "Too large" in told["error"]) == (413, True)
    monkeypatch.setattr(server, "MAX_WAITING", 0)
    assert served.post([("a.jpg", b"x")])[0] == 429


def test_a_request_that_lies_about_its_size_is_cut_off(served, monkeypatch):
    """The request sends chunks without a Content-Length."""
    monkeypatch.setattr(server, "MAX_BYTES", 200_000)
    head = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'

    def endless():
        yield head
        for _ in range(40):
            yield b"0" * 20_000
        yield b"\r\n--x--\r\n"

    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    headers = {
        "Host": f"127.0.0.1:{served.port}",
        "Origin": f"http://127.0.0.1:{served.port}",
        "Content-Type": "multipart/form-data; boundary=x",
    }
    path = f"/{served.site.token}/ask?area=rowan"
    connection.request("POST", path, endless(), headers, encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 413
    assert "Too large" in json.loads(response.read())["error"]


def test_names_of_photos_do_not_lead_out_of_the_folder(served):
    for name in (
        "../../evil.jpg",
        "..",
        "/etc/passwd",
        "a/../../b.jpg",
        "\u202egpj.exe",
        "x" * 400,
    ):
        told = served.post([(name, photo())])[1]
        assert Path(told["folder"]).resolve().parent == served.folder.resolve(), name
    assert not (served.folder.parent / "evil").exists()


def test_it_listens_on_this_machine_only(served):
    assert [name[0] for name in served.runner.addresses] == ["127.0.0.1"]
    assert len(served.site.token) >= 32


def test_a_port_that_is_taken_is_named(served):
    site = server.Site(["rowan"], lambda _: served.area, served.folder)
    with pytest.raises(UserError, match=rf"Port {served.port} .*is not available"):
        asyncio.run(server.start(site, served.port))


def test_photos_can_be_dropped_on_the_page(served, browser, tmp_path):
    (tmp_path / "a.jpg").write_bytes(photo())
    (tmp_path / "notes.jpg").write_bytes(b"not a photo")
    command, chromium = browser
    done = subprocess.run(
        [*command, HERE / "browse_drop.py", chromium, served.address, tmp_path,
         tmp_path / "a.jpg", tmp_path / "notes.jpg"],
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    best = served.area.made.places(1)[0]
    place = f"{best.lat:.6f}, {best.lon:.6f}"
    assert "dropped.jpg" in told["dropped"]
    assert "It may have been taken here" in told["dropped"]
    assert place in told["dropped"]
    assert place in told["status"]
    assert told["focus"] == "photos"
    assert "notes.jpg is not a readable photo" in told["all"]
    assert "a.jpg and 2 more" in told["together"]
    assert told["answer"].startswith("dropped.jpg")
    assert [v for v in told["violations"] if v["impact"] in ("serious", "critical")] == []
    assert told["widths"] == {"390": 390, "1280": 1280}
    assert told["foreign"] in ("refused", 403)
    assert told["console"] == []
    local = [u for u in told["requests"] if u.startswith(served.address)]
    others = [u for u in told["requests"] if not u.startswith((served.address, "blob:"))]
    assert local
    assert others == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_asked(tmp_path, number):
    code = (
        "from pathlib import Path; from witw.commands.serve import serve\n"
        f"serve(['rowan'], lambda name: None, Path({str(tmp_path)!r}),"
        " say=lambda text: print(text, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        address = run.stdout.readline().removeprefix("Open ").strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32,}/", address)
        run.send_signal(number)
        rest = run.communicate(timeout=20)[0]
        assert run.returncode == 0
        assert "Ended." in rest
