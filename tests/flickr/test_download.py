"""The downloader against hosts that misbehave, all on loopback."""

import asyncio
import hashlib
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from witw import tables
from witw.demo.flickr_server import CatalogPhoto, Faults, FlickrServer
from witw.errors import UserError
from witw.flickr import download
from witw.flickr.agent import user_agent
from witw.flickr.files import inspect
from witw.flickr.hosts import allowed, refusal
from witw.flickr.throttle import Limits, Throttle, retry_after_s
from witw.photos import open_photo

HASTY = Limits(tries=4, base_s=0.01, cap_s=0.05, read_s=2, total_s=5)


@pytest.fixture(autouse=True)
def run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def picture(seed: int = 0, size=(80, 64), mode="RGB", form="JPEG", **options) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1] // 8, size[0] // 8, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize(size).convert(mode).save(out, form, **options)
    return out.getvalue()


def bomb(side: int) -> bytes:
    """A small file whose header claims ``side`` x ``side`` px."""
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


@pytest.fixture
def host():
    made = Host()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


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
    """The right length announced, half of it sent."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) // 2])
        handler.close_connection = True

    return answer


def cut_chunked(body):
    """Half of it in a chunk, and no last chunk."""

    def answer(handler):
        half = body[: len(body) // 2]
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(f"{len(half):x}\r\n".encode() + half + b"\r\n")
        handler.close_connection = True

    return answer


def chunked(body):
    def answer(handler):
        handler.send_response(200)
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
# name -> answers of the host, status, part of the reason, requests it takes
STORIES = {
    "good": ([send(GOOD)], "ok", "", 1),
    "chunked": ([chunked(GOOD)], "ok", "", 1),
    "throttled": ([send(b"slow down", 429, "text/html", Retry_After="1"), send(GOOD)], "ok", "", 2),
    "busy": ([send(b"", 503), send(GOOD)], "ok", "", 2),
    "truncated": ([cut(GOOD), send(GOOD)], "ok", "", 2),
    "truncated_chunk": ([cut_chunked(GOOD), send(GOOD)], "ok", "", 2),
    "short_once": ([send(GOOD[:-400]), send(GOOD)], "ok", "", 2),
    "reset": ([reset, send(GOOD)], "ok", "", 2),
    "stalled": ([stall, send(GOOD)], "ok", "", 2),
    "page_once": ([send(b"<html>", 200, "text/html"), send(GOOD)], "ok", "", 2),
    "page": ([send(b"<html>", 200, "text/html")], "failed", "a page instead", 4),
    "page_said_jpeg": ([send(b"\n<!DOCTYPE html>")], "failed", "a page instead", 4),
    "forbidden": ([send(b"", 403)], "failed", "HTTP 403", 4),
    "teapot": ([send(b"", 418)], "failed", "HTTP 418", 1),
    "removed": ([send(b"", 404, "text/html")], "gone", "HTTP 404", 1),
    "removed_long_ago": ([send(b"", 410)], "gone", "HTTP 410", 1),
    "placeholder": (
        [send(b"", 302, Location="/images/photo_unavailable_l.png")],
        "gone",
        "placeholder",
        1,
    ),
    "elsewhere": ([send(b"", 302, Location="https://s.yimg.com/x.png")], "gone", "s.yimg.com", 1),
    "other_port": ([send(b"", 302, Location="http://127.0.0.1:9/x")], "gone", "127.0.0.1", 1),
    "png_behind_redirect": ([send(b"", 302, Location="/sorry")], "gone", "PNG", 1),
    "moved": ([send(b"", 301, Location="/new_home")], "ok", "", 1),
    "circle": ([send(b"", 302, Location="/circle")], "gone", "circle", 4),
    "bomb": ([send(bomb(60_000))], "corrupt", "too many pixels", 1),
    "poster": ([send(bomb(9_000))], "corrupt", "too many pixels: 9000 x 9000 px", 1),
    "huge": ([send(b"\xff\xd8\xff" + bytes(300_000))], "corrupt", "larger than 0.2 MB", 1),
    "huge_chunked": ([chunked(b"\xff\xd8\xff" + bytes(300_000))], "corrupt", "larger", 1),
    "small": ([send(picture(size=(80, 32)))], "corrupt", "80 x 32", 1),
    "gif": ([send(picture(form="GIF", mode="P"))], "corrupt", "GIF", 1),
    "png": ([send(picture(form="PNG"))], "corrupt", "PNG", 1),
    "webp": ([send(picture(form="WEBP"))], "corrupt", "WebP", 1),
    "broken_at_home": ([send(GOOD[:-400])], "corrupt", "before its end", 2),
    "empty": ([send(b"")], "corrupt", "not a JPEG", 2),
    "grey": ([send(picture(mode="L"))], "grey", "single band", 1),
    "cmyk": ([send(picture(mode="CMYK"))], "ok", "", 1),
    "turned": ([send(turned())], "ok", "", 1),
}


def spec(*hosts, **changes) -> dict:
    return {
        "aoi": "rio",
        "download": {"max_megabytes": 0.2, "min_side_px": 64, **changes},
        "flickr": {"photo_hosts": list(hosts)},
    }


def listing(urls: dict[str, str]) -> Path:
    rows = [{"id": i, "url": url, "lat": 0.0, "lon": 0.0} for i, url in urls.items()]
    tables.write(Path("ids.parquet"), "ids", rows)
    return Path("ids.parquet")


def fetch(urls, *hosts, limits=HASTY, **changes) -> pd.DataFrame:
    data = download.run(spec(*hosts, **changes), listing(urls), Path("out.parquet"), limits)
    assert list(data["id"]) == sorted(urls)
    return data.set_index("id")


def stored() -> list[Path]:
    return sorted(p for p in Path("photos").rglob("*") if p.is_file())


@pytest.fixture
def adverse(host):
    """The host of all stories, and its photos' addresses by id."""
    host.plan = {f"/{name}": list(story[0]) for name, story in STORIES.items()}
    host.plan["/sorry"] = [send(picture(form="PNG"), kind="image/png")]
    host.plan["/new_home"] = [send(GOOD)]
    return host, {f"{100 + n}": f"{host.url}/{name}" for n, name in enumerate(STORIES)}


def test_every_story_ends_right_and_nothing_bad_is_stored(adverse):
    host, urls = adverse
    data = fetch(urls, host.entry)
    told = {name: data.loc[f"{100 + n}"] for n, name in enumerate(STORIES)}
    calls = host.counts()
    for name, (_, status, reason, requests) in STORIES.items():
        assert told[name]["status"] == status, name
        assert reason in told[name]["reason"], name
        assert bool(told[name]["reason"]) == (status != "ok"), name
        assert calls[f"/{name}"] == requests, name
    good = data[data["status"].isin(["ok", "grey"])]
    assert [str(path) for path in stored()] == sorted(good["path"])
    for row in good.itertuples():
        body = Path(row.path).read_bytes()
        assert (len(body), hashlib.sha256(body).hexdigest()) == (row.bytes, row.sha256)
        assert open_photo(Path(row.path)).size == (row.width, row.height)
    # Kept as served, described as displayed.
    assert Path(told["turned"]["path"]).read_bytes() == turned()
    assert (told["turned"]["width"], told["turned"]["height"]) == (64, 80)
    bad = data[~data["status"].isin(["ok", "grey"])]
    assert set(bad["path"]) == {""} and bad["sha256"].eq("").all() and bad["width"].isna().all()


def test_a_second_run_asks_only_for_what_is_missing(adverse):
    host, urls = adverse
    first = fetch(urls, host.entry)
    table = Path("out.parquet").read_bytes()
    host.log.clear()
    again = fetch(urls, host.entry)
    asked = {path.strip("/") for path in host.counts()} - {"sorry"}
    assert asked == {name for name, story in STORIES.items() if story[1] not in ("ok", "grey")}
    assert again.equals(first)
    assert Path("out.parquet").read_bytes() == table
    good = {i: url for i, url in urls.items() if first.loc[i, "status"] in ("ok", "grey")}
    host.log.clear()
    fetch(good, host.entry)
    assert host.log == []


def test_nobody_asks_before_the_retry_after_is_over(host):
    busy = [send(b"", 429, Retry_After="1"), send(GOOD)]
    host.plan = {f"/{n}": list(busy) if n == 2 else [send(GOOD)] for n in range(6)}
    urls = {str(n): f"{host.url}/{n}" for n in range(6)}
    # One slot: no request is under way while the refusal is.
    data = fetch(urls, host.entry, limits=Limits(slots=1, most_slots=1, base_s=0.01))
    assert set(data["status"]) == {"ok"}
    times = [at for _, at in host.log]
    refused = [path for path, _ in host.log].index("/2")
    assert refused < len(times) - 1
    assert times[refused + 1] - times[refused] >= 1


def test_a_retry_after_of_hours_is_not_waited_for(host):
    host.plan = {"/1": [send(b"", 429, Retry_After="7200")], "/2": [send(GOOD)]}
    limits = Limits(slots=1, most_slots=1, patience_s=60)
    data = fetch({"1": f"{host.url}/1"}, host.entry, limits=limits)
    assert data.loc["1", "status"] == "failed"
    assert data.loc["1", "reason"] == "HTTP 429, asks to wait 7200 s"


def test_a_broken_file_of_the_store_is_fetched_anew(host):
    host.plan = {f"/{n}": [send(picture(n))] for n in range(4)}
    urls = {str(n): f"{host.url}/{n}" for n in range(4)}
    data = fetch(urls, host.entry)
    Path(data.loc["1", "path"]).write_bytes(picture(1)[:-300])
    Path(data.loc["2", "path"]).write_bytes(b"")
    left = Path(data.loc["3", "path"]).with_name(".3.jpg.part")
    Path(data.loc["3", "path"]).rename(left)  # what a kill leaves behind
    host.log.clear()
    assert fetch(urls, host.entry).equals(data)
    assert set(host.counts()) == {"/1", "/2", "/3"}
    assert not left.exists()


def test_a_broken_file_whose_photo_is_gone_is_removed(host):
    host.plan = {"/1": [send(GOOD), send(b"", 404)]}
    path = Path(fetch({"1": f"{host.url}/1"}, host.entry).loc["1", "path"])
    path.write_bytes(GOOD[:-300])
    data = fetch({"1": f"{host.url}/1"}, host.entry)
    assert data.loc["1", "status"] == "gone"
    assert stored() == []


def test_only_configured_hosts_are_asked(host):
    host.plan = {"/1": [send(GOOD)]}
    other = Host()  # listens, and would raise on any request: it has no plan
    urls = {
        "1": f"{host.url}/1",
        "2": "https://evil.example/2.jpg",
        "3": f"{other.url}/3",
        "4": "",
        "5": "file:///etc/passwd",
        "6": f"http://user@{host.entry}/1",
        "7": f"https://{host.entry}\\@evil.example/1",
    }
    data = fetch(urls, host.entry)
    assert data["status"].to_dict() == {"1": "ok"} | dict.fromkeys("234567", "failed")
    assert "evil.example" in data.loc["2", "reason"]
    assert other.entry in data.loc["3", "reason"]
    assert data.loc["4", "reason"] == "no address"
    assert other.log == []
    other.server.server_close()


def test_an_id_that_is_no_number_never_becomes_a_path(host):
    data = fetch({"../../x": f"{host.url}/1", "1": ""}, host.entry)
    assert data.loc["../../x", "status"] == "failed"
    assert not Path("photos").exists()


@pytest.mark.parametrize(
    ("entry", "good", "bad"),
    [
        (
            "live.staticflickr.com",
            "https://live.staticflickr.com/1",
            "http://live.staticflickr.com",
        ),
        ("live.staticflickr.com", "https://LIVE.staticflickr.com:443/1", "https://a.com/"),
        ("photos.org:8443", "https://photos.org:8443/1", "https://photos.org/1"),
        ("http://photos.org", "http://photos.org/1", "https://photos.org/1"),
        ("127.0.0.1:80", "http://127.0.0.1/1", "http://127.0.0.2/1"),
        ("localhost", "http://localhost/1", "http://localhost.evil.org/1"),
        ("http://[::1]:99", "http://[::1]:99/1", "http://[::1]:98/1"),
        ("live.staticflickr.com", "https://live.staticflickr.com/a", "//live.staticflickr.com/a"),
    ],
)
def test_host_entries(entry, good, bad):
    assert refusal(good, allowed([entry])) == ""
    assert refusal(bad, allowed([entry])) != ""


@pytest.mark.parametrize("entry", ["", "ftp://x", "http://", "a@b", "x:99999999"])
def test_a_host_entry_that_is_none_is_named(entry):
    with pytest.raises(UserError, match="photo_hosts"):
        fetch({"1": ""}, entry)


def test_a_host_that_is_down_records_nothing():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        entry = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(UserError, match=r"'rio'.*127\.0\.0\.1.*no connection"):
        fetch({"1": f"http://{entry}/1"}, entry)
    assert not Path("out.parquet").exists()


def test_a_host_that_refuses_everything_records_nothing_but_keeps_the_store(host):
    host.plan = {f"/{n}": [send(GOOD)] for n in range(4)}
    urls = {str(n): f"{host.url}/{n}" for n in range(4)}
    fetch({"0": urls["0"]}, host.entry)
    Path("out.parquet").unlink()
    for n in range(1, 4):
        host.plan[f"/{n}"] = [send(b"", 503)]
    with pytest.raises(UserError, match="delivered none of 3 photos"):
        fetch(urls, host.entry)
    assert not Path("out.parquet").exists()
    assert [path.name for path in stored()] == ["0.jpg"]
    # One photo that never comes is that photo's fate and does not hold up the others.
    host.plan["/1"] = host.plan["/2"] = [send(GOOD)]
    assert fetch(urls, host.entry)["status"].to_dict() == {
        "0": "ok",
        "1": "ok",
        "2": "ok",
        "3": "failed",
    }


def test_a_host_that_falls_silent_ends_the_run(host):
    host.plan = {f"/{n}": [send(b"", 500)] for n in range(9)}
    host.plan["/0"] = [send(GOOD)]
    urls = {str(n): f"{host.url}/{n}" for n in range(9)}
    limits = Limits(tries=10_000, base_s=0.01, cap_s=0.02, patience_s=0.3)
    with pytest.raises(UserError, match=r"'rio'.*stopped answering \(HTTP 500\)"):
        fetch(urls, host.entry, limits=limits)
    assert not Path("out.parquet").exists()
    assert [path.name for path in stored()] == ["0.jpg"]


def test_a_store_that_cannot_be_written_is_said_in_words(host):
    host.plan = {"/1": [send(GOOD)]}
    Path("photos").write_text("in the way")
    with pytest.raises(UserError, match="photos/rio"):
        fetch({"1": f"{host.url}/1"}, host.entry)


def test_killed_at_any_time_a_run_goes_on_where_it_was(host):
    bodies = {n: picture(n) for n in range(40)}
    go = threading.Event()
    reached = threading.Event()

    def gated(n):
        def answer(handler):
            if n >= 20:
                reached.set()
                go.wait(30)
            send(bodies[n])(handler)

        return answer

    host.plan = {f"/{n}": [gated(n)] for n in range(40)}
    urls = {f"{n:02d}": f"{host.url}/{n}" for n in range(40)}
    ids = listing(urls)
    text = json.dumps({"stage": "download", "version": 1, **spec(host.entry)})
    command = [sys.executable, "-m", "witw.flickr.download", "--spec", text]
    command += ["--ids", str(ids), "--table", "out.parquet"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    assert reached.wait(60)
    deadline = time.monotonic() + 30
    while not stored() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    go.set()
    whole = {path.stem for path in stored() if path.suffix == ".jpg"}
    assert whole
    assert not Path("out.parquet").exists()
    for name in whole:
        assert Path(f"photos/rio/{name}/{name}.jpg").read_bytes() == bodies[int(name)]
    host.log.clear()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{len(whole)} in the store, {40 - len(whole)} to fetch" in done.stderr
    assert {path.strip("/").zfill(2) for path in host.counts()} == set(urls) - whole
    assert set(tables.read(Path("out.parquet"), "downloads")["status"]) == {"ok"}
    assert not [path for path in stored() if path.suffix != ".jpg"]


def test_no_cut_of_a_photo_passes_for_whole():
    body = picture(3, size=(160, 128), quality=60)
    assert inspect(body, 64).status == "ok"
    for length in range(0, len(body), 7):
        assert not inspect(body[:length], 64).stored, length
    assert not inspect(body[:-1], 64).stored
    assert inspect(body + b"\x00" * 16, 64).status == "ok"


def test_the_user_agent_says_who_asks(host, monkeypatch):
    host.plan = {"/1": [send(GOOD)], "/2": [send(GOOD)]}
    monkeypatch.delenv("WITW_CONTACT", raising=False)
    fetch({"1": f"{host.url}/1"}, host.entry)
    assert host.agents == {user_agent()}
    assert user_agent().startswith("witw/")
    monkeypatch.setenv("WITW_CONTACT", "me@example.org\r\nX-Evil: (1)")
    fetch({"2": f"{host.url}/2"}, host.entry)
    assert f"{user_agent()}" in host.agents
    assert "me@example.org" in user_agent()
    assert "\n" not in user_agent()


def test_retry_after_as_number_and_as_date():
    assert retry_after_s("120") == 120
    assert retry_after_s("-5") == 0
    assert retry_after_s(None) is retry_after_s("soon") is retry_after_s("nan") is None
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < retry_after_s(date) <= 100


def test_slots_grow_by_one_a_round_and_halve_once_a_refusal():
    async def story() -> list[int]:
        throttle = Throttle(Limits(slots=4, most_slots=6))
        seen = [int(throttle._slots)]
        for _ in range(5):
            throttle.useful()
        seen.append(int(throttle._slots))
        for _ in range(50):
            throttle.useful()
        seen.append(int(throttle._slots))
        asked_at = asyncio.get_running_loop().time()
        for _ in range(6):  # six were under way when the host refused
            throttle.slower(asked_at)
            await asyncio.sleep(0.001)
        seen.append(int(throttle._slots))
        for _ in range(5):
            throttle.slower(asyncio.get_running_loop().time())
        return [*seen, int(throttle._slots)]

    assert asyncio.run(story()) == [4, 5, 6, 3, 1]


def test_never_more_requests_than_slots():
    async def story() -> int:
        throttle = Throttle(Limits(slots=3, most_slots=3))
        active = most = 0

        async def one() -> None:
            nonlocal active, most
            async with throttle.slot():
                active += 1
                most = max(most, active)
                await asyncio.sleep(0.001)
                active -= 1

        await asyncio.gather(*(one() for _ in range(50)))
        return most

    assert asyncio.run(story()) == 3


def test_against_the_stand_in_with_faults():
    photos = [
        CatalogPhoto(
            id=str(52_000_000_000 + n),
            owner="1@N00",
            owner_name="x",
            title="",
            lat=1.0,
            lon=2.0,
            accuracy=16,
            license_id=4,
            date_upload=1_600_000_000 + n,
            date_taken="2020-01-01 00:00:00",
            secret=f"{n:010x}",
            server="65535",
            removed={0: "404", 1: "410", 2: "placeholder"}.get(n, ""),
        )
        for n in range(60)
    ]
    faults = Faults(3, photo_503=0.1, photo_429=0.05, photo_truncated=0.1, photo_reset=0.1)
    faults = Faults(**{**faults.__dict__, "retry_after_s": 0})
    with FlickrServer(photos, lambda i: picture(int(i)), faults=faults) as server:
        urls = {p.id: f"{server.photo_host}/{p.server}/{p.id}_{p.secret}.jpg" for p in photos}
        data = fetch(urls, server.photo_host)
        met = {call.fault for call in server.calls}
        assert met == {"", "photo_503", "photo_429", "photo_truncated", "photo_reset"}
        assert data["status"].value_counts().to_dict() == {"ok": 57, "gone": 3}
        for photo in photos[3:]:
            assert Path(data.loc[photo.id, "path"]).read_bytes() == picture(int(photo.id))
        server.calls.clear()
        fetch({i: urls[i] for i in data.index[3:]}, server.photo_host)
        assert server.calls == []


def test_command_line(host):
    host.plan = {"/1": [send(GOOD)]}
    text = json.dumps({"stage": "download", "version": 1, **spec(host.entry)})
    ids = listing({"1": f"{host.url}/1"})
    download.main(["--spec", text, "--ids", str(ids), "--table", "results/rio/photos/0000.parquet"])
    data = tables.read(Path("results/rio/photos/0000.parquet"), "downloads")
    assert data["path"].to_list() == ["photos/rio/01/1.jpg"]
    assert data["sha256"].to_list() == [hashlib.sha256(GOOD).hexdigest()]


def test_reads_say_what_is_read():
    from witw.config import load
    from witw.spec import build

    strips = [{"path": "s.tif", "name": "s"}]
    config = load({"aois": {"rio": {"bbox_deg": [0, 0, 1, 1], "strips": strips}}})
    built = json.loads(build(config, "download", "rio"))
    assert set(built) == {"stage", "version", "aoi", "download", "flickr"}
    tables.write(Path("ids.parquet"), "ids", [])
    assert download.run(built, Path("ids.parquet"), Path("out.parquet")).empty
