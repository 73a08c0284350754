"""The photo host of the stand-in, and its pictures."""

import asyncio
import hashlib
import io
import subprocess
import sys
import time

import aiohttp
import numpy as np
import pytest
import requests
from PIL import Image

from witw.demo.fake_flickr.__main__ import main, switches
from witw.demo.fake_flickr.server import (
    Behaviour,
    Faults,
    FlickrServer,
    VirtualClock,
    drawn,
    folder_of_jpegs,
)
from witw.errors import UserError

EVEN, ODD = "1000", "1001"  # served chunked, and with a length


def serve(count=40, removed="", **options) -> FlickrServer:
    columns = {
        "id": np.arange(count) + 1000,
        "lat": 48.5,
        "lon": 2.5,
        "date_upload": 1_500_000_000 + np.arange(count),
        "removed": removed,
    }
    return FlickrServer(columns, options.pop("picture", drawn), **options)


def path(server: FlickrServer, photo_id: str) -> str:
    photo = server.catalog.photos[server.catalog.columns.find(photo_id)]
    return f"/{photo.server}/{photo_id}_{photo.secret}.jpg"


def get(server: FlickrServer, photo_id: str = EVEN, **options) -> requests.Response:
    options = {"allow_redirects": False, "timeout": 10} | options
    return requests.get(server.url + path(server, photo_id), **options)


def once(fault: str, **options) -> FlickrServer:
    behaviour = options.pop("behaviour", Behaviour())
    return serve(faults=Faults(**{fault: 1.0}, most=1, **options), behaviour=behaviour)


# --- what is there


def test_a_photo_comes_with_and_without_a_length_and_once_only():
    with serve() as server:
        chunked, sized = get(server, EVEN), get(server, ODD)
        assert chunked.headers["Transfer-Encoding"] == "chunked"
        assert sized.headers["Content-Length"] == str(len(sized.content))
        for answer in (chunked, sized):
            assert answer.headers["Content-Type"] == "image/jpeg"
            assert answer.headers["Cache-Control"].startswith("max-age=31536000")
            assert "Last-Modified" in answer.headers
        assert chunked.headers["ETag"] != sized.headers["ETag"]
        again = get(server, EVEN, headers={"If-None-Match": chunked.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_drawn_pictures_are_photos_of_500_px_that_follow_from_the_id():
    made = {n: drawn(str(53_000_000_000 + n)) for n in range(80)}
    assert len({hashlib.sha256(body).digest() for body in made.values()}) == 80
    assert made[7] == drawn("53000000007")
    for body in made.values():
        with Image.open(io.BytesIO(body)) as picture:
            picture.load()
            assert (picture.format, picture.mode, max(picture.size)) == ("JPEG", "RGB", 500)
        assert body.endswith(b"\xff\xd9")
        assert 30_000 < len(body) < 120_000
    pixels = np.asarray(Image.open(io.BytesIO(made[0])), float)
    assert pixels.std(axis=(0, 1)).min() > 10
    assert np.abs(pixels[..., 0] - pixels[..., 1]).mean() > 5


def test_any_folder_of_jpegs_serves_any_id(tmp_path):
    (tmp_path / "deep").mkdir()
    for name, size in (("b.JPG", (300, 200)), ("deep/c.jpeg", (1200, 800)), ("a.png", (9, 9))):
        kind = "PNG" if name.endswith("png") else "JPEG"
        Image.new("RGB", size, (200, 10, 30)).save(tmp_path / name, kind)
    picture = folder_of_jpegs(tmp_path)
    sizes = [Image.open(io.BytesIO(picture(str(n)))).size for n in range(4)]
    assert sizes == [(300, 200), (500, 333)] * 2
    with serve(picture=picture) as server:
        assert Image.open(io.BytesIO(get(server, ODD).content)).size == (500, 333)
    with pytest.raises(UserError, match=r"no \.jpg"):
        folder_of_jpegs(tmp_path / "nothing")


def test_real_photographs_can_be_served(real_data):
    picture = folder_of_jpegs(real_data / "photos_io")
    with serve(picture=picture) as server:
        for n in range(1000, 1010):
            with Image.open(io.BytesIO(get(server, str(n)).content)) as shown:
                shown.load()
                assert max(shown.size) <= 500


def test_a_photo_may_be_packed_damaged_or_withheld():
    with serve(removed="gzip") as server:
        answer = get(server)
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.content == drawn(EVEN)  # unpacked by the client
    with serve(removed="damaged") as server:
        body = get(server).content
        assert body != drawn(EVEN)
        assert (body[:2], body[-2:]) == (b"\xff\xd8", b"\xff\xd9")
    with serve(removed="451") as server:
        assert get(server).status_code == 451


def test_a_host_may_limit_photos_per_second():
    clock = VirtualClock()
    faults = Faults(photo_rate_per_s=0.2, photo_burst=2)
    with serve(faults=faults, clock=clock) as server:
        assert [get(server, str(n)).status_code for n in range(1000, 1003)] == [200, 200, 429]
        assert get(server, "1003").headers["Retry-After"] == "5"
        clock.sleep(5)
        assert [get(server, str(n)).status_code for n in range(1004, 1006)] == [200, 429]


# --- what is not


def test_gone_photos_are_reported_in_many_ways():
    with serve(removed="404") as server:
        assert (get(server).status_code, get(server).content) == (404, b"")
        assert get(server).headers["Content-Type"].startswith("text/html")
    with serve(removed="410") as server:
        assert get(server).status_code == 410
    with serve(removed="403") as server:
        assert {get(server).status_code for _ in range(5)} == {403}
    with serve(removed="html") as server:
        pages = [get(server, ODD), get(server, EVEN)]
        assert {page.status_code for page in pages} == {200}
        assert all(page.text.startswith("<!DOCTYPE") for page in pages)
        assert [p.headers["Content-Type"].split(";")[0] for p in pages] == [
            "image/jpeg",
            "text/html",
        ]


def test_placeholders_come_by_redirect_and_in_place_of_the_photo():
    with serve(removed="placeholder") as server:
        answer = get(server)
        assert answer.status_code == 302
        png = requests.get(server.url + answer.headers["Location"], timeout=10)
        assert png.content.startswith(b"\x89PNG")
    with serve(removed="placeholder_png") as server:
        one, two = get(server, EVEN), get(server, ODD)
        assert (one.status_code, one.content) == (200, png.content)
        assert [a.headers["Content-Type"] for a in (one, two)] == ["image/png", "image/jpeg"]
        assert two.content == png.content
    with serve(removed="placeholder_jpeg") as server:
        answer = get(server)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
        as_jpeg = np.asarray(Image.open(io.BytesIO(answer.content)), int)
        as_png = np.asarray(Image.open(io.BytesIO(png.content)), int)
        assert np.abs(as_jpeg - as_png).max() <= 2


def test_redirects_lead_on_astray_or_in_circles():
    with serve(removed="redirect") as server:
        answer = get(server, allow_redirects=True)
        assert [r.status_code for r in answer.history] == [302]
        assert answer.url.startswith(server.url)
        assert answer.content == drawn(EVEN)
    with serve(removed="elsewhere") as server:
        assert get(server).headers["Location"].startswith(server.other_host)
        assert server.other_host != server.url
        assert [call.kind for call in server.calls] == ["photo"]
        assert get(server, allow_redirects=True).content == drawn(EVEN)
        assert server.calls[-1].kind == "elsewhere"
    with serve(removed="loop") as server, pytest.raises(requests.TooManyRedirects):
        get(server, allow_redirects=True)


def test_an_oversize_photo_goes_on_and_on():
    size = 3_000_000
    with serve(removed="oversize", behaviour=Behaviour(oversize_bytes=size)) as server:
        chunked, sized = get(server, EVEN), get(server, ODD)
        assert len(chunked.content) == len(sized.content) == size
        assert ("Content-Length" in sized.headers, "Content-Length" in chunked.headers) == (
            True,
            False,
        )
        assert chunked.content.startswith(drawn(EVEN))


def test_fates_follow_the_seed_and_are_permanent():
    def story(seed: int) -> list[int]:
        shares = {"fate_404": 0.2, "fate_410": 0.2, "fate_placeholder": 0.2, "fate_403": 0.2}
        with serve(faults=Faults(seed, **shares)) as server:
            got = [[get(server, str(n)).status_code for n in range(1000, 1040)] for _ in range(2)]
            assert got[0] == got[1]
            return got[0]

    first = story(1)
    assert first == story(1)
    assert first != story(2)
    assert set(first) == {200, 302, 403, 404, 410}


# --- what passes


@pytest.mark.parametrize("photo_id", [EVEN, ODD])
def test_half_a_picture_is_an_error_or_not(photo_id):
    for fault in ("photo_truncated", "photo_reset"):
        with once(fault) as server:
            with pytest.raises(requests.RequestException):
                get(server, photo_id)
            assert get(server, photo_id).content == drawn(photo_id)
    # HTTP detects no fault here: the chunks end and the length is right.
    with once("photo_short") as server:
        half = get(server, photo_id)
        assert half.status_code == 200
        assert half.content == drawn(photo_id)[: len(drawn(photo_id)) // 2]
        assert get(server, photo_id).content == drawn(photo_id)


def test_refusals_of_the_photo_host_pass():
    for fault, statuses in (
        ("photo_503", {503}),
        ("photo_403", {403}),
        ("photo_429", {429}),
        ("photo_5xx", {500, 502, 504}),
        ("photo_html", {200}),
    ):
        with once(fault) as server:
            first = [get(server, str(n)) for n in range(1000, 1030)]
            assert {answer.status_code for answer in first} == statuses, fault
            assert all(answer.text.startswith("<!DOCTYPE") for answer in first)
            assert get(server).content == drawn(EVEN)


def test_a_stalled_photo_ends_in_a_broken_connection():
    with once("photo_stall", behaviour=Behaviour(stall_s=0.5)) as server:
        stages = set()
        for n in range(1000, 1016):
            try:
                with get(server, str(n), stream=True, timeout=0.2) as answer:
                    stages.add("headers")
                    with pytest.raises(requests.RequestException):
                        assert answer.content
            except requests.RequestException:
                stages.add("nothing")
        assert stages == {"headers", "nothing"}
        assert get(server).ok


def test_latencies_overlap():
    async def all_of(server: FlickrServer) -> float:
        begun = time.monotonic()
        async with aiohttp.ClientSession() as session:

            async def one(photo_id: str) -> bytes:
                async with session.get(server.url + path(server, photo_id)) as answer:
                    return await answer.read()

            bodies = await asyncio.gather(*(one(str(n)) for n in range(1000, 1020)))
        assert bodies == [drawn(str(n)) for n in range(1000, 1020)]
        return time.monotonic() - begun

    with serve(behaviour=Behaviour(photo_latency_s=1.0)) as server:
        assert 1.0 <= asyncio.run(all_of(server)) < 15.0  # not 20 s


def test_the_host_logs_early_requests():
    clock = VirtualClock()
    faults = Faults(photo_429=1.0, most=1, retry_after_s=10)
    with serve(faults=faults, clock=clock, behaviour=Behaviour(gate_grace_s=0.5)) as server:
        get(server, "1000")
        clock.sleep(0.4)
        get(server, "1001")  # was on its way; closes the host until 10.4
        clock.sleep(2)
        get(server, "1002")  # should not have been sent; closes the host until 12.4
        get(server, "1000")  # another early request
        clock.sleep(10)
        get(server, "1000")
        log = requests.get(f"{server.url}/_log", timeout=10).json()
    assert log["hosts"]["photo"]["early"] == 2
    urls = {key.split("/")[2][:4]: value["early"] for key, value in log["urls"].items()}
    assert urls == {"1000": 1, "1001": 0, "1002": 0}


# --- the command


def test_the_command_line_has_switches():
    behaviour, faults = switches(
        ["lag=0.003", "replicas=3", "api_503=1", "sort=ignored", "hourly=3600", "gate=true",
         "bbox_decimals=none", "retry_after=date"],
        seed=9,
    )  # fmt: skip
    expected = Behaviour(seed=9, lag=0.003, replicas=3, sort="ignored", hourly=3600, gate=True)
    assert behaviour == expected
    assert faults == Faults(seed=9, api_503=1.0, retry_after="date")
    for wrong, said in (
        ("lagg=1", "no switch 'lagg'"),
        ("sort=none", "honoured, ignored"),
        ("replicas=many", "of type int"),
        ("gate=1", "of type bool"),
    ):
        with pytest.raises(UserError, match=said):
            switches([wrong], seed=0)


def test_the_command_serves_a_crowd_with_noise():
    command = [
        sys.executable,
        "-m",
        "witw.demo.fake_flickr",
        "--crowd",
        "300",
        "--seed",
        "3",
    ]
    command += ["--set", "phantoms=0.5", "--set", "totals=number"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as served:
        try:
            lines = [served.stderr.readline() for _ in range(3)]
            api_url = lines[0].split("flickr.api_url: ")[1].strip()
            params = {"method": "flickr.photos.search", "api_key": "a", "min_upload_date": "1"}
            params |= {"format": "json", "nojsoncallback": "1", "per_page": "500"}
            params |= {"extras": "url_m"}
            photos = requests.get(api_url, params, timeout=10).json()["photos"]
            assert photos["total"] == 300
            assert 100 < len(photos["photo"]) < 200
            url = next(entry["url_m"] for entry in photos["photo"] if "url_m" in entry)
            assert requests.get(url, timeout=10).content.startswith(b"\xff\xd8")
            assert requests.get(lines[2].split()[-1], timeout=10).json()["count"] == {
                "api": 1,
                "photo": 1,
            }
        finally:
            served.kill()


def test_the_command_needs_photos(capsys):
    with pytest.raises(SystemExit):
        main([])
    assert "--crowd" in capsys.readouterr().err
