"""Fetching a checkpoint over real HTTP on loopback."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from witw.errors import UserError
from witw.places365 import weights

BODY = bytes(range(256)) * 9000


@contextmanager
def server(answers):
    """Serve one (status, body, content length, content type) after another; the last one stays."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body, length, kind = answers[min(len(asked), len(answers) - 1)]
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}/net.pth.tar", asked
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


BINARY = "application/octet-stream"
WHOLE = (200, BODY, len(BODY), BINARY)
CUT = (200, BODY[:1000], len(BODY), BINARY)
BUSY = (503, b"", 0, BINARY)


def fetch(url, folder):
    weights.run({"weights": url}, folder / "models" / "net.pth.tar", pause_s=0)


def test_the_file_arrives_whole(tmp_path):
    with server([WHOLE]) as (url, asked):
        fetch(url, tmp_path)
    assert (tmp_path / "models" / "net.pth.tar").read_bytes() == BODY
    assert len(asked) == 1


def test_an_answer_without_a_length_is_taken(tmp_path):
    with server([(200, BODY, None, BINARY)]) as (url, _):
        fetch(url, tmp_path)
    assert (tmp_path / "models" / "net.pth.tar").read_bytes() == BODY


def test_busy_and_broken_answers_are_asked_again(tmp_path):
    with server([BUSY, CUT, WHOLE]) as (url, asked):
        fetch(url, tmp_path)
    assert (tmp_path / "models" / "net.pth.tar").read_bytes() == BODY
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("answer", "tries", "says"),
    [
        ((404, b"", 0, BINARY), 1, "HTTP 404"),
        (BUSY, weights.TRIES, "HTTP 503"),
        (CUT, weights.TRIES, "("),
        ((200, b"", 0, BINARY), weights.TRIES, "broke off after 0 bytes"),
        ((200, b"<html>", 6, "text/html; charset=utf-8"), 1, "web page"),
    ],
)
def test_failure_is_one_sentence_and_leaves_nothing(tmp_path, answer, tries, says):
    with server([answer]) as (url, asked), pytest.raises(UserError) as error:
        fetch(url, tmp_path)
    text = str(error.value)
    assert says in text
    assert url in text
    assert "`scenes.checkpoint`" in text
    assert "\n" not in text
    assert len(asked) == tries
    assert list((tmp_path / "models").iterdir()) == []


def test_nobody_there(tmp_path):
    with server([WHOLE]) as (url, _):
        pass
    with pytest.raises(UserError, match="no connection"):
        fetch(url, tmp_path)


def test_other_kinds_of_address_are_refused(tmp_path):
    with pytest.raises(UserError, match="only http and https"):
        fetch("s3://bucket/net.pth.tar", tmp_path)


def test_command_line(tmp_path):
    with server([WHOLE]) as (url, _):
        spec = json.dumps({"stage": "weights", "version": 1, "weights": url})
        weights.main(["--spec", spec, "--file", str(tmp_path / "m" / "f")])
    assert (tmp_path / "m" / "f").read_bytes() == BODY
