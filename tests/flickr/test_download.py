"""The downloader against a misbehaving photo host, on loopback."""

import gzip
import hashlib
import json
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from download_host import (
    GOOD,
    bomb,
    chunked,
    cut,
    cut_chunked,
    fetch,
    listing,
    picture,
    reset,
    send,
    spec,
    stall,
    stored,
    turned,
)

from witw import tables
from witw.demo.fake_flickr.server import CatalogPhoto, Faults, FlickrServer
from witw.flickr.headers import user_agent
from witw.flickr.photo_host.throttle import Limits
from witw.images.photo import open_photo
from witw.sources import download

pytestmark = pytest.mark.usefixtures("run_folder")

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
    "placeholder_elsewhere": (
        [send(b"", 302, Location="https://s.yimg.com/pw/images/en-us/photo_unavailable.png")],
        "gone",
        "s.yimg.com",
        1,
    ),
    # Of these it is only known that the photo did not arrive.
    "elsewhere": ([send(b"", 302, Location="https://s.yimg.com/x.png")], "failed", "yimg.com", 1),
    "other_port": ([send(b"", 302, Location="http://127.0.0.1:9/x")], "failed", "127.0.0.1", 1),
    "png_behind_redirect": ([send(b"", 302, Location="/sorry")], "corrupt", "PNG", 1),
    "moved": ([send(b"", 301, Location="/new_home")], "ok", "", 1),
    "circle": ([send(b"", 302, Location="/circle")], "failed", "redirect loop", 4),
    "forbidden_by_law": ([send(b"", 451)], "gone", "HTTP 451", 1),
    "zipped": ([send(gzip.compress(GOOD), Content_Encoding="gzip")], "ok", "", 1),
    "zipped_twice": (
        [send(gzip.compress(GOOD[:99]) + gzip.compress(GOOD[99:]), Content_Encoding="gzip")],
        "ok",
        "",
        1,
    ),
    "deflated": ([chunked(zlib.compress(GOOD), Content_Encoding="deflate")], "ok", "", 1),
    "zip_bomb": (
        [send(gzip.compress(GOOD + bytes(90_000_000)), Content_Encoding="gzip")],
        "corrupt",
        "larger than 0.2 MB",
        1,
    ),
    "zip_cut_once": (
        [send(gzip.compress(GOOD)[:-20], Content_Encoding="gzip"), send(GOOD)],
        "ok",
        "",
        2,
    ),
    "brotli": ([send(GOOD, Content_Encoding="br")], "failed", "'br'", 1),
    "hole": ([send(GOOD[:400] + GOOD[-2:])], "corrupt", "cannot be decoded whole", 2),
    "tail": ([send(GOOD + bytes(150_000))], "ok", "", 1),
    "bomb": ([send(bomb(60_000))], "corrupt", "too many pixels", 1),
    "poster": ([send(bomb(9_000))], "corrupt", "too many pixels: 9000 x 9000 px", 1),
    "huge": ([send(b"\xff\xd8\xff" + bytes(300_000))], "corrupt", "larger than 0.2 MB", 1),
    "huge_chunked": ([chunked(b"\xff\xd8\xff" + bytes(300_000))], "corrupt", "larger", 1),
    "small": ([send(picture(size=(80, 32)))], "corrupt", "80 x 32", 1),
    "gif": ([send(picture(form="GIF", mode="P"))], "corrupt", "GIF", 1),
    "png": ([send(picture(form="PNG"))], "corrupt", "PNG", 1),
    "webp": ([send(picture(form="WEBP"))], "corrupt", "WebP", 1),
    "broken_at_home": ([send(GOOD[:-400])], "corrupt", "before its end", 2),
    "empty": ([send(b"")], "failed", "an empty answer", 4),
    "rubbish": ([send(b"sorry")], "corrupt", "not a JPEG", 2),
    "grey": ([send(picture(mode="L"))], "grey", "single band", 1),
    "cmyk": ([send(picture(mode="CMYK"))], "ok", "", 1),
    "turned": ([send(turned())], "ok", "", 1),
}


@pytest.fixture
def adverse(host):
    """Return the host with all cases, and its photos' addresses by id."""
    host.plan = {f"/{name}": list(story[0]) for name, story in STORIES.items()}
    host.plan["/sorry"] = [send(picture(form="PNG"), kind="image/png")]
    host.plan["/new_home"] = [send(GOOD)]
    return host, {f"{100 + n}": f"{host.url}/{name}" for n, name in enumerate(STORIES)}


def test_every_case_ends_right_and_no_bad_file_is_stored(adverse):
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
    # Stored as served, described as displayed.
    assert Path(told["turned"]["path"]).read_bytes() == turned()
    assert (told["turned"]["width"], told["turned"]["height"]) == (64, 80)
    bad = data[~data["status"].isin(["ok", "grey"])]
    assert set(bad["path"]) == {""} and bad["sha256"].eq("").all() and bad["width"].isna().all()


def test_a_second_run_requests_only_missing_photos(adverse):
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


def test_the_user_agent_identifies_the_user(host, monkeypatch):
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


def made(count: int, removed=()) -> list[CatalogPhoto]:
    return [
        CatalogPhoto(
            id=str(52_000_000_000 + n),
            owner="1@N00",
            owner_name="x",
            title="",
            lat=1.0 + n / 1000,
            lon=2.0,
            accuracy=16,
            license_id=4,
            date_upload=1_600_000_000 + n,
            date_taken="2020-01-01 00:00:00",
            secret=f"{n:010x}",
            server="65535",
            removed=dict(enumerate(removed)).get(n, ""),
        )
        for n in range(count)
    ]


def urls_of(server, photos) -> dict[str, str]:
    return {p.id: f"{server.photo_host}/{p.server}/{p.id}_{p.secret}.jpg" for p in photos}


@pytest.mark.parametrize("retry_after", ["seconds", "none"])
def test_a_host_that_allows_forty_photos_a_second_gives_all_of_them(retry_after):
    """Against a real server: every photo is stored, none is lost to the host's refusals."""
    photos = made(400)
    faults = Faults(photo_rate_per_s=40, photo_burst=8, retry_after=retry_after)
    with FlickrServer(photos, lambda i: picture(int(i) % 99), faults=faults) as server:
        began = time.monotonic()
        data = fetch(urls_of(server, photos), server.photo_host, limits=Limits(tries=2, span_s=0))
        took_s = time.monotonic() - began
        assert set(data["status"]) == {"ok"}
        # Apart from requests already on their way, no request precedes the time that the host
        # named.
        assert server.log.hosts["photo"].early == 0
        assert sum(server.log.attempts.values()) < 1.5 * len(photos)
    assert took_s < 400 / 40 / 0.6


def test_packed_damaged_and_withheld_photos_are_handled():
    photos = made(6, ["gzip", "damaged", "451"])
    with FlickrServer(photos, lambda i: picture(int(i))) as server:
        data = fetch(urls_of(server, photos), server.photo_host)
    assert data["status"].to_list() == ["ok", "corrupt", "gone", "ok", "ok", "ok"]


def test_a_stopped_download_keeps_its_photos_and_resumes(tmp_path):
    """SIGTERM, as sent by Slurm and Snakemake, in the middle of a slow download."""
    photos = made(40)
    faults = Faults(photo_rate_per_s=4, photo_burst=4)
    with FlickrServer(photos, lambda i: picture(int(i)), faults=faults) as server:
        urls = urls_of(server, photos)
        text = json.dumps({"stage": "download", "version": 1, **spec(server.photo_host)})
        ids = listing(urls)
        command = [sys.executable, "-m", "witw.sources.download", "--spec", text]
        command += ["--ids", str(ids), "--table", "out.parquet"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as job:
            while len(stored()) < 6:
                time.sleep(0.05)
                assert job.poll() is None
            job.terminate()
            said = job.communicate(timeout=20)[1]
        assert job.returncode == 128 + signal.SIGTERM
        assert "Traceback" not in said
        assert "the host allows" in said and "photo" in said
        assert not Path("out.parquet").exists()
        before = {path.stem for path in stored()}
        assert not list(Path("photos").rglob("*.part"))
        server.log.calls.clear()
        some = {i: url for i, url in urls.items() if i in before or i == photos[-1].id}
        assert set(fetch(some, server.photo_host)["status"]) == {"ok"}
        asked = {call.name.rpartition("/")[2].partition("_")[0] for call in server.log.calls}
        assert asked == {photos[-1].id} - before


def test_command_line(host):
    host.plan = {"/1": [send(GOOD)]}
    text = json.dumps({"stage": "download", "version": 1, **spec(host.entry)})
    ids = listing({"1": f"{host.url}/1"})
    download.main(["--spec", text, "--ids", str(ids), "--table", "results/rio/photos/0000.parquet"])
    data = tables.read(Path("results/rio/photos/0000.parquet"), "downloads")
    assert data["path"].to_list() == ["photos/rio/01/1.jpg"]
    assert data["sha256"].to_list() == [hashlib.sha256(GOOD).hexdigest()]


def test_reads_lists_the_keys_in_use():
    from witw.config import load
    from witw.spec import build

    strips = [{"path": "s.tif", "name": "s"}]
    config = load({"aois": {"rio": {"bbox_deg": [0, 0, 1, 1], "strips": strips}}})
    built = json.loads(build(config, "download", "rio"))
    assert set(built) == {"stage", "version", "aoi", "download", "flickr"}
    tables.write(Path("ids.parquet"), "ids", [])
    assert download.run(built, Path("ids.parquet"), Path("out.parquet")).empty
