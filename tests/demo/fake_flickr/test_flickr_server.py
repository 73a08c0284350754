"""The stand-in, called through the unmodified flickrapi client."""

import io
import json
import math
import random
import time
from dataclasses import replace

import flickrapi
import numpy as np
import pytest
import requests
from PIL import Image

from witw.demo.fake_flickr.server import (
    CatalogPhoto,
    Faults,
    FlickrServer,
    load_catalog,
    save_catalog,
)
from witw.errors import UserError

KEY, SECRET = "0123456789abcdef0123456789abcdef", "fedcba9876543210"
BOX = "2.1,48.5,2.3,48.8"
EVERYTHING = {"bbox": BOX, "min_upload_date": 1}
EXTRAS = "license,date_upload,date_taken,owner_name,geo,url_m,media"


def photo(n: int, **changes) -> CatalogPhoto:
    """Return photo ``n``, a day younger than its predecessor."""
    made = CatalogPhoto(
        id=str(50_000_000_000 + n),
        owner=f"{n % 7:08d}@N00",
        owner_name="Zoë & <friends>",
        title=f"n° {n}",
        lat=48.6,
        lon=2.2,
        accuracy=16,
        license_id=n % 17,
        date_upload=1_400_000_000 + 86_400 * n,
        date_taken="2014-05-13 18:53:20",
        secret=f"{n:010x}",
        server="65535",
    )
    return replace(made, **changes)


def jpeg(photo_id: str) -> bytes:
    pixels = np.random.default_rng(int(photo_id)).integers(0, 255, (15, 20, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((500, 375)).save(out, "JPEG")
    return out.getvalue()


def serve(photos, **options) -> FlickrServer:
    return FlickrServer(photos, options.pop("picture", jpeg), **options)


def client(server: FlickrServer, key: str = KEY, secret: str = SECRET) -> flickrapi.FlickrAPI:
    class Client(flickrapi.FlickrAPI):
        REST_URL = server.api_url

    return Client(key, secret, format="parsed-json", store_token=False, timeout=10)


def ids(answer: dict) -> list[str]:
    return [entry["id"] for entry in answer["photos"]["photo"]]


def test_bbox_dates_and_licences_equal_a_plain_loop():
    rng = random.Random(5)
    photos = [
        photo(
            n,
            lat=48.4 + rng.randrange(6) / 10,
            lon=2.0 + rng.randrange(5) / 10,
            accuracy=rng.randrange(1, 17),
            date_upload=1_400_000_000 + rng.randrange(60),
        )
        for n in range(400)
    ]
    with serve(photos) as server:
        api = client(server)
        for _ in range(25):
            west, east = sorted(rng.choices([2.0, 2.1, 2.2, 2.3, 2.4], k=2))
            south, north = sorted(rng.choices([48.4, 48.5, 48.6, 48.7, 48.8, 48.9], k=2))
            first, last = sorted(1_400_000_000 + rng.randrange(60) for _ in range(2))
            licenses = rng.sample(range(17), 5)
            accuracy = rng.randrange(1, 17)
            # Every bound is inclusive.
            expected = [
                p
                for p in photos
                if west <= round(p.lon, 6) <= east
                and south <= round(p.lat, 6) <= north
                and first <= p.date_upload <= last
                and p.license_id in licenses
                and p.accuracy >= accuracy
            ]
            expected.sort(key=lambda p: (p.date_upload, int(p.id)), reverse=True)
            answer = api.photos.search(
                bbox=f"{west},{south},{east},{north}",
                min_upload_date=first,
                max_upload_date=last,
                license=",".join(map(str, licenses)),
                accuracy=accuracy,
                per_page=250,
                has_geo=1,
                media="photos",
                content_types="0",
            )
            assert ids(answer) == [p.id for p in expected][:250]
            assert int(answer["photos"]["total"] or 0) == len(expected)


def test_pages_partition_the_result():
    with serve([photo(n) for n in range(260)]) as server:
        api = client(server)
        pages = [ids(api.photos.search(**EVERYTHING, page=p)) for p in (1, 2, 3, 4)]
        assert [len(page) for page in pages] == [100, 100, 60, 0]
        assert len({i for page in pages for i in page}) == 260
        answer = api.photos.search(**EVERYTHING)["photos"]
        assert (answer["perpage"], int(answer["pages"])) == (100, 3)


@pytest.mark.parametrize(("where", "most"), [(EVERYTHING, 250), ({"license": "4,5"}, 500)])
def test_per_page_is_cut_silently(where, most):
    with serve([photo(n, license_id=4) for n in range(600)]) as server:
        answer = client(server).photos.search(**where, per_page=1000)["photos"]
        assert (answer["perpage"], len(answer["photo"])) == (most, most)


def test_past_4000_the_last_page_repeats_but_totals_are_right():
    with serve([photo(n) for n in range(4600)]) as server:
        api = client(server)
        answers = [api.photos.search(**EVERYTHING, per_page=250, page=p) for p in (15, 16, 17, 19)]
        assert ids(answers[0]) != ids(answers[1])
        assert ids(answers[1]) == ids(answers[2]) == ids(answers[3])
        for answer in answers:
            assert int(answer["photos"]["total"]) == 4600
            assert int(answer["photos"]["pages"]) == math.ceil(4600 / 250)
    with serve([photo(n) for n in range(4600)], past_cap="error20") as server:
        assert len(ids(client(server).photos.search(**EVERYTHING, per_page=250, page=16))) == 250
        with pytest.raises(flickrapi.FlickrError) as error:
            client(server).photos.search(**EVERYTHING, per_page=250, page=17)
        assert error.value.code == 20


def test_a_geo_query_without_limiting_agent_sees_twelve_hours():
    newest = 1_500_000_000
    ages = (0, 12 * 3600, 12 * 3600 + 1, 90 * 86_400)
    photos = [photo(n, date_upload=newest - age) for n, age in enumerate(ages)]
    with serve(photos) as server:
        api = client(server)
        assert ids(api.photos.search(bbox=BOX)) == [photos[0].id, photos[1].id]
        assert ids(api.photos.search(bbox=BOX, max_upload_date=newest - 1)) == [photos[1].id]
        assert len(ids(api.photos.search(bbox=BOX, min_upload_date="2000-01-01 00:00:00"))) == 4
        assert len(ids(api.photos.search(bbox=BOX, min_taken_date="2014-05-13"))) == 4
        assert len(ids(api.photos.search(bbox=BOX, min_taken_date="2014-05-14"))) == 0


def test_sort_and_the_filters_that_all_photos_share():
    with serve([photo(n) for n in range(3)]) as server:
        api = client(server)
        newest_first = ids(api.photos.search(**EVERYTHING))
        assert newest_first == sorted(newest_first, reverse=True)
        assert ids(api.photos.search(**EVERYTHING, sort="date-posted-asc")) == newest_first[::-1]
        for nothing in ({"has_geo": 0}, {"media": "videos"}, {"content_types": "1,2"}):
            assert ids(api.photos.search(**EVERYTHING, **nothing)) == []
        for refused in ({"tags": "cat"}, {"user_id": "me"}, {"sort": "relevance"}):
            with pytest.raises(flickrapi.FlickrError):
                api.photos.search(**EVERYTHING, **refused)


def test_fields_come_as_text_and_as_numbers():
    photos = [photo(n, has_url=n % 5 > 0) for n in range(40)]
    with serve(photos) as server:
        api = client(server)
        entries = api.photos.search(**EVERYTHING, extras=EXTRAS)["photos"]["photo"]
        for field in ("latitude", "longitude", "accuracy", "license", "height_m"):
            assert len({type(e[field]) for e in entries if field in e}) == 2, field
        assert all(type(e["dateupload"]) is str for e in entries)
        by_id = {p.id: p for p in photos}
        for entry in entries:
            known = by_id[entry["id"]]
            assert ("url_m" in entry) == known.has_url
            assert (float(entry["latitude"]), float(entry["longitude"])) == (48.6, 2.2)
            assert int(entry["license"]) == known.license_id
            assert (entry["title"], entry["ownername"]) == (known.title, known.owner_name)
        assert "latitude" not in api.photos.search(**EVERYTHING)["photos"]["photo"][0]
        totals = {
            type(api.photos.search(**EVERYTHING, page=p)["photos"]["total"]) for p in range(12)
        }
        empty = {
            api.photos.search(bbox=BOX, min_upload_date=2**33 + p)["photos"]["total"]
            for p in range(30)
        }
        assert totals == {int, str}
        assert empty == {0, "0", ""}


def test_licences_are_those_of_june_2025():
    with serve([photo(0)]) as server:
        rows = client(server).photos.licenses.getInfo()["licenses"]["license"]
    assert sorted(int(row["id"]) for row in rows) == list(range(17))
    named = {int(row["id"]): (row["name"], row["url"]) for row in rows}
    assert named[11] == ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/")
    assert named[3][0] == "CC BY-NC-ND 2.0"


def test_echo_signature_and_keys():
    with serve([photo(0)], key=KEY, secret=SECRET) as server:
        assert client(server).test.echo(a="é+ &=~")["a"]["_content"] == "é+ &=~"
        with pytest.raises(flickrapi.FlickrError, match="401"):
            client(server, secret="other").test.echo()
        for wrong, why in (("f" * 32, "expired"), ("doesnotexist", "invalid format")):
            with pytest.raises(flickrapi.FlickrError, match=why) as error:
                client(server, key=wrong).test.echo()
            assert error.value.code == 100
        with pytest.raises(flickrapi.FlickrError) as error:
            client(server).no.such.method()
        assert error.value.code == 112
        params = {"method": "flickr.test.echo", "format": "json", "nojsoncallback": "1"}
        signed = requests.get(server.api_url, {**params, "api_key": KEY}, timeout=10)
        unsigned = requests.get(server.api_url, params, timeout=10)
        assert (signed.json()["stat"], unsigned.json()["code"]) == ("ok", 100)
        params = {"method": "flickr.test.echo", "format": "json", "api_key": KEY}
        assert requests.get(server.api_url, params, timeout=10).text.startswith("jsonFlickrApi({")
        assert KEY not in repr(server.calls)


@pytest.mark.parametrize("box", ["2.1, 48.5, 2.3, 48.8", "2.1,48.5,2.3", "2.3,48.5,2.1,48.8", "a"])
def test_a_malformed_box_is_a_page_with_400(box):
    with serve([photo(0)]) as server:
        with pytest.raises(flickrapi.FlickrError, match="400"):
            client(server).photos.search(bbox=box, min_upload_date=1)
        with pytest.raises(flickrapi.FlickrError) as error:
            client(server).photos.search()
        assert error.value.code == 3


def test_api_faults_follow_the_seed_and_end():
    def story(seed: int) -> list[str]:
        faults = Faults(seed, api_503=0.2, api_429=0.2, html_200=0.2, api_busy=0.2)
        with serve([photo(n) for n in range(3)], faults=faults) as server:
            api = client(server)
            seen = []
            for page in range(1, 41):
                for _ in range(faults.most + 1):
                    try:
                        answer = api.photos.search(**EVERYTHING, page=page)
                        seen.append("ok")
                        break
                    except json.JSONDecodeError:
                        seen.append("html")
                    except flickrapi.FlickrError as error:
                        seen.append(str(error))
                assert answer["stat"] == "ok"
            return seen

    first = story(1)
    assert first == story(1)
    assert first != story(2)
    text = " ".join(first)
    assert all(word in text for word in ("503", "429", "html", "201", "ok"))


def test_a_429_gives_a_time_to_retry():
    with serve([photo(0)], faults=Faults(api_429=1, photo_429=1, retry_after_s=1)) as server:
        for url in (server.api_url, f"{server.url}/65535/{photo(0).id}_{photo(0).secret}.jpg"):
            answer = requests.get(url, timeout=10)
            assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")


def test_photo_host_names_sizes_and_headers():
    photos = [photo(0), photo(1)]
    with serve(photos) as server:
        (*_, one), (*_, two) = (
            (requests.get(f"{server.url}/65535/{p.id}_{p.secret}.jpg", timeout=10),) for p in photos
        )
        assert one.content == jpeg(photos[0].id)
        # With and without a length, as the real host does.
        assert {"Content-Length" in r.headers for r in (one, two)} == {True, False}
        assert (one.headers["imagewidth"], one.headers["imageheight"]) == ("500", "375")
        assert one.headers["Content-Type"] == "image/jpeg"
        assert one.headers["ETag"]
        small = requests.get(
            f"{server.url}/65535/{photos[0].id}_{photos[0].secret}_m.jpg", timeout=10
        )
        assert Image.open(io.BytesIO(small.content)).size == (240, 180)
        for wrong in (
            f"65535/{photos[0].id}_{photos[1].secret}.jpg",
            f"65535/{photos[0].id}_{photos[0].secret}_x.jpg",
            f"65534/{photos[0].id}_{photos[0].secret}.jpg",
            "65535/1_2.jpg",
        ):
            assert requests.get(f"{server.url}/{wrong}", timeout=10).status_code == 404


def test_removed_photos_have_three_responses():
    photos = [photo(n, removed=r) for n, r in enumerate(("404", "410", "placeholder"))]
    with serve(photos) as server:
        got = [
            requests.get(
                f"{server.url}/65535/{p.id}_{p.secret}.jpg", allow_redirects=False, timeout=10
            )
            for p in photos
        ]
        assert [r.status_code for r in got] == [404, 410, 302]
        placeholder = requests.get(server.url + got[2].headers["Location"], timeout=10)
        assert placeholder.content.startswith(b"\x89PNG")


def test_a_catalog_is_read_back_unchanged(tmp_path):
    photos = [photo(n, removed="410" if n else "", has_url=n != 2) for n in range(5)]
    save_catalog(tmp_path / "c.parquet", photos[::-1])
    assert load_catalog(tmp_path / "c.parquet") == photos
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(UserError, match=r"bad\.parquet"):
        load_catalog(tmp_path / "bad.parquet")


def test_a_taken_port_is_reported():
    with (
        serve([]) as server,
        pytest.raises(UserError, match=str(server.port)),
    ):
        serve([], port=server.port)


def test_the_server_binds_this_machine_only():
    with serve([]) as server:
        assert server._socket.getsockname()[0] == "127.0.0.1"
        assert server.api_url == f"http://127.0.0.1:{server.port}/services/rest/"


def test_calls_are_logged_in_order():
    with serve([photo(0)]) as server:
        before = time.monotonic()
        client(server).photos.search(**EVERYTHING)
        requests.get(f"{server.url}/65535/{photo(0).id}_{photo(0).secret}.jpg", timeout=10)
        assert [call.kind for call in server.calls] == ["api", "photo"]
        assert server.calls[0].params["bbox"] == BOX
        assert before <= server.calls[0].at <= server.calls[1].at
