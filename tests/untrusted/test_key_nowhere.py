"""After a whole run, and after failed runs, key and secret are in no file and no output."""

import base64
import shutil
import sqlite3
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle

import pandas as pd
import pytest

from made_town import KEY, StandIn, end, fresh_town, jobs

pytestmark = [pytest.mark.workflow, pytest.mark.long]

SECRET = "5ec7e7c0ffee1234"
ENV = {"FLICKR_API_SECRET": SECRET}


def forms(text):
    """Return a secret as it is, and as encoded in headers and addresses."""
    return [text.encode(), text.upper().encode(), base64.b64encode(text.encode())[:-4]]


def contents(folder):
    """Yield name and bytes of every file, including unpacked content of databases and tables."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        body = path.read_bytes()
        yield path, body
        if body.startswith(b"PAR1"):
            yield path, pd.read_parquet(path).to_csv().encode()
        elif body.startswith(b"SQLite format 3\x00"):
            yield path, b"\n".join(cells(path))


def cells(path):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            for row in database.execute(f'SELECT * FROM "{name}"'):
                for value in row:
                    if isinstance(value, bytes):
                        try:
                            yield zlib.decompress(value)
                        except zlib.error:
                            yield value
                    else:
                        yield str(value).encode()


def assert_nowhere(*folders):
    found = {
        str(path)
        for folder in folders
        for path, body in contents(folder)
        for text in (KEY, SECRET)
        for form in forms(text)
        if form in body
    }
    assert not found


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, free_port):
    return fresh_town(tmp_path_factory, free_port)


@pytest.fixture
def town(fresh, tmp_path):
    return fresh.copy(tmp_path / "town")


def test_a_signed_run_from_a_dotenv_file_to_the_report(town, free_port):
    secrets = f"FLICKR_API_KEY={KEY}\nFLICKR_API_SECRET={SECRET}\n"
    (town.folder / ".env").write_text(secrets)
    standin = StandIn(town.folder, free_port, "--key", KEY, "--secret", SECRET)
    try:
        town.finish(
            "--printshellcmds",
            "--verbose",
            env={"FLICKR_API_KEY": ""},
            targets=["results/dataset/pairs.parquet", "results/report/report.html"],
        )
    finally:
        standin.kill()
    (town.folder / ".env").unlink()
    assert (town.folder / ".snakemake/metadata").is_dir()
    assert list((town.folder / "journal").glob("*.sqlite"))
    assert (town.folder.parent / "state").is_dir()
    assert_nowhere(town.folder.parent)


class Echo(BaseHTTPRequestHandler):
    """Responds with a page that repeats the whole request, including the key."""

    def do_POST(self):
        asked = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        told = f"{self.path}?{asked} {self.headers}"
        self.server.heard += told
        body = self.server.form.format(told.replace("\\", "").replace('"', "")).encode()
        self.send_response_only(self.server.status, f"Refused {asked}"[:200].replace("\n", " "))
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", f"http://127.0.0.1:9/{asked}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


PAGE = "<html><body>Sorry: {0}</body></html>"
ANSWERS = {
    "refused by a page": (401, PAGE),
    "no such page": (404, PAGE),
    "a page in HTTP 200": (200, PAGE),
    "moved": (302, PAGE),
    "server error": (500, PAGE),
    "refused by the API": (200, '{{"stat": "fail", "code": 100, "message": "Invalid key: {0}"}}'),
    "an error of the API": (200, '{{"stat": "fail", "code": 3, "message": "Not so: {0}"}}'),
}


# Final and retryable errors, from a page and from the API; the others are the long form.
SHORT = {"refused by a page", "a page in HTTP 200", "refused by the API"}
CASES = [
    pytest.param(name, secret, marks=[] if name in SHORT else pytest.mark.long)
    for name, secret in zip(ANSWERS, cycle((True, False)))
]


@pytest.mark.parametrize(("name", "secret"), CASES)
def test_a_response_that_repeats_the_key_is_not_logged(town, free_port, name, secret):
    server = ThreadingHTTPServer(("127.0.0.1", free_port), Echo)
    server.status, server.form = ANSWERS[name]
    server.heard = ""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        process = town.start("--printshellcmds", "--verbose", env=ENV if secret else None)
        until, before = time.monotonic() + 300, None
        # A retryable error keeps the search going: long enough for a few tries after its first,
        # which on a busy machine starts seconds after its process.
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
            if before is None and "witw.sources.search" in jobs(process).values():
                before = len(server.heard)
            if before is not None and len(server.heard) > before:
                time.sleep(5)
                break
        end(process)
    finally:
        server.shutdown()
        server.server_close()
    assert KEY in server.heard
    assert_nowhere(town.folder.parent)
    shutil.rmtree(town.folder)
