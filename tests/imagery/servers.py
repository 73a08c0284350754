"""File servers on loopback that count requests.

They run in a separate process: rasterio holds Python's lock while it opens a file, so a server in
the same process could never respond.
"""

import contextlib
import functools
import http.server
import io
import json
import re
import shutil
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest


class Ranges(http.server.SimpleHTTPRequestHandler):
    """A file server with byte ranges, like those for imagery, and folder listings."""

    def do_GET(self):
        body = Path(self.translate_path(self.path))
        if body.is_dir():
            super().do_GET()
            return
        status = self.server.refuse.get(self.path) or (200 if body.is_file() else 404)
        if status != 200:
            self.send_error(status)
            return
        whole = body.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = map(int, asked.groups()) if asked else (0, whole - 1)
        with body.open("rb") as file:
            file.seek(first)
            part = file.read(last + 1 - first)
        self.server.sent += len(part)
        self.server.asked.append(self.path)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{whole}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def do_HEAD(self):
        refused = self.server.refuse.get(self.path)
        if refused:
            self.send_error(refused)
        else:
            super().do_HEAD()

    def list_directory(self, path):
        """Return a listing in Apache's format."""
        names = sorted(p.name + "/" * p.is_dir() for p in Path(path).iterdir())
        lines = "".join(f'<li><a href="{n}">{n}</a></li>\n' for n in names)
        body = f"<html><head>\n<title>Index of {self.path}</title>\n</head>\n<ul>\n{lines}</ul>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body.encode())

    def log_message(self, *_):
        pass


class Whole(http.server.SimpleHTTPRequestHandler):
    """A file server that sends whole files, regardless of the requested range."""

    def do_GET(self):
        # A client that requested a range hangs up when more arrives.
        with contextlib.suppress(ConnectionError):
            super().do_GET()

    def log_message(self, *_):
        pass


def serve(kind, folder, certificate):
    """Serve a folder until stdin ends; answer JSON requests from stdin on stdout."""
    handler = functools.partial({"ranges": Ranges, "whole": Whole}[kind], directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.sent, server.asked, server.refuse = 0, [], {}
        server.handle_error = lambda *_: None  # a client that hangs up or refuses a certificate
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_port, flush=True)
        for line in sys.stdin:
            told = json.loads(line)
            server.refuse = told.get("refuse", server.refuse)
            print(json.dumps({"sent": server.sent, "asked": server.asked}), flush=True)
            server.sent, server.asked = 0, []
        server.shutdown()


class Server:
    """A running server; `url` is its address."""

    def __init__(self, process, url):
        self.process, self.url = process, url

    def taken(self, **told):
        """Return `sent` [bytes] and `asked` [paths] since the last call."""
        self.process.stdin.write(json.dumps(told) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def refuse(self, statuses):
        """Respond to paths with a status."""
        self.taken(refuse=statuses)


@contextmanager
def running(kind, folder, tls=()):
    """Serve a folder, over TLS if the paths of a certificate and its key are given."""
    command = [sys.executable, __file__, kind, str(folder), *tls]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            port = int(process.stdout.readline())
            yield Server(process, f"http{'s' * bool(tls)}://127.0.0.1:{port}")
        finally:
            process.stdin.close()
            process.wait(10)


def ranges(folder, tls=()):
    """Serve a folder with byte ranges."""
    return running("ranges", folder, tls)


def whole(folder):
    """Serve a folder without byte ranges."""
    return running("whole", folder)


def certificate(folder):
    """Return the paths of an untrusted certificate for 127.0.0.1, and of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: no certificate can be made")
    files = [str(folder / "cert.pem"), str(folder / "key.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command, *names, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True
    )
    return files


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], sys.argv[3:])
