"""Fetch a checkpoint over real HTTP on loopback."""

import hashlib
import json
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from witw.errors import UserError
from witw.places365 import weights

BODY = bytes(range(256)) * 9000


@contextmanager
def server(answers):
    """Serve (status, body, content length, content type) in turn; the last one repeats."""
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


def test_a_response_without_a_length_is_accepted(tmp_path):
    with server([(200, BODY, None, BINARY)]) as (url, _):
        fetch(url, tmp_path)
    assert (tmp_path / "models" / "net.pth.tar").read_bytes() == BODY


def test_busy_and_broken_responses_are_retried(tmp_path):
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
def test_a_failure_gives_one_sentence_and_leaves_nothing(tmp_path, answer, tries, says):
    with server([answer]) as (url, asked), pytest.raises(UserError) as error:
        fetch(url, tmp_path)
    text = str(error.value)
    assert says in text
    assert url in text
    assert "`scenes.checkpoint`" in text
    assert "\n" not in text
    assert len(asked) == tries
    assert list((tmp_path / "models").iterdir()) == []


def test_an_unreachable_server_is_reported(tmp_path):
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


def recorded(folder):
    return folder / "models" / "net.pth.tar.sha256"


def test_the_sha256_of_the_first_fetch_is_kept_and_compared(tmp_path):
    """Over plain http, a file changed on its way is detected the second time."""
    with server([WHOLE]) as (url, _):
        fetch(url, tmp_path)
    done = subprocess.run(
        ["sha256sum", "-c", recorded(tmp_path).name], cwd=tmp_path / "models", check=False
    )
    assert done.returncode == 0
    (tmp_path / "models" / "net.pth.tar").unlink()
    with server([WHOLE]) as (url, _):
        fetch(url, tmp_path)
    (tmp_path / "models" / "net.pth.tar").unlink()
    changed = bytes([BODY[0] ^ 1]) + BODY[1:]
    with server([(200, changed, len(BODY), BINARY)]) as (url, _), pytest.raises(UserError) as error:
        fetch(url, tmp_path)
    for digest in (hashlib.sha256(body).hexdigest() for body in (BODY, changed)):
        assert digest in str(error.value)
    assert "delete" in str(error.value)
    assert not (tmp_path / "models" / "net.pth.tar").exists()


def test_deleting_the_record_accepts_another_file(tmp_path):
    with server([WHOLE]) as (url, _):
        fetch(url, tmp_path)
    recorded(tmp_path).unlink()
    with server([(200, b"other", 5, BINARY)]) as (url, _):
        fetch(url, tmp_path)
    assert recorded(tmp_path).read_text().split()[0] == hashlib.sha256(b"other").hexdigest()
