"""API responses that are bombs are treated as broken, at little cost of memory and time."""

import gzip
import json
import threading
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from witw.errors import UserError
from witw.flickr.api.client import Client
from witw.flickr.api.session import MOST_BYTES

KEY = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
TWICE = 2  # held at once: the chunks and the whole

BOMBS = {
    "deep nesting": b'{"stat": "ok", "x": ' + b"[" * 2_000_000 + b"]" * 2_000_000 + b"}",
    "deep objects": b'{"a":' * 500_000 + b"1" + b"}" * 500_000,
    "a number of a million digits": b'{"stat": "ok", "total": ' + b"9" * 1_000_000 + b"}",
    "an exponent": b'{"stat": "ok", "photos": {"total": 1e999999, "photo": []}}',
    "not a number": b'{"stat": "ok", "photos": {"total": NaN, "photo": []}}',
    "half a surrogate": b'{"stat": "ok", "title": "\\ud800"}',
    "bytes that are no text": b"\xff\xfe\x00" * 1000,
    "xml with entities": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><rsp stat="ok">&b;</rsp>',
}


class Answers(BaseHTTPRequestHandler):
    """Responds to every query with the server's ``body``; ``endless`` repeats it."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        if not self.server.endless:
            self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        try:
            self.wfile.write(self.server.body)
            while self.server.endless:
                self.wfile.write(self.server.body)
                self.server.sent += len(self.server.body)
        except OSError:
            return

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    httpd.body, httpd.headers, httpd.endless, httpd.asked, httpd.sent = b"", {}, False, 0, 0
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield httpd
    httpd.shutdown()
    httpd.server_close()


def ask(server):
    url = f"http://127.0.0.1:{server.server_port}/services/rest/"
    client = Client(url, KEY, tries=2, sleep=lambda _: None)
    return client.call("flickr.photos.search", lambda answer: answer["photos"]["total"] + 0)


def read_photos(answer):
    if not isinstance(answer.get("photos"), dict):
        raise ValueError
    return answer


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_retried_like_a_broken_response(server, name):
    server.body = BOMBS[name]
    url = f"http://127.0.0.1:{server.server_port}/services/rest/"
    client = Client(url, KEY, tries=2, sleep=lambda _: None)
    try:
        answer = client.call("flickr.photos.search", read_photos)
    except UserError as error:
        assert server.asked == 2
        text = str(error)
        assert "did not answer" in text
        assert len(text) < 1000
        assert KEY not in text
    else:
        # Odd numbers are JSON to Python; the reader has to judge them.
        assert name in ("an exponent", "not a number")
        assert answer["photos"]["photo"] == []


@pytest.mark.parametrize("kind", ["gzip bomb", "endless answer"])
def test_a_response_is_read_only_up_to_its_limit(server, kind):
    if kind == "gzip bomb":
        # A gigabyte of zeros in a megabyte.
        server.body = gzip.compress(json.dumps("0" * (MOST_BYTES * 8)).encode(), 9)
        server.headers = {"Content-Encoding": "gzip"}
        assert len(server.body) < MOST_BYTES / 50
    else:
        server.body, server.endless = b"[" * (1 << 20), True
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="did not answer"):
            ask(server)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < TWICE * 2 * MOST_BYTES
    assert server.sent < 2 * 4 * MOST_BYTES


def test_a_services_text_cannot_steer_the_terminal(server):
    said = "\x1b]0;owned\x07\x1b[2J\u202ekey"
    server.body = json.dumps({"stat": "fail", "code": 3, "message": said}).encode()
    with pytest.raises(UserError) as error:
        ask(server)
    assert str(error.value).isprintable()
    assert "owned" in str(error.value)
