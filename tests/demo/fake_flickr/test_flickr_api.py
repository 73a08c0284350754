"""The API of the stand-in over HTTP: formats, signatures, quota and every fault."""

import json
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode
from xml.etree import ElementTree

import flickrapi
import numpy as np
import pytest
import requests
import yaml
from oauthlib.oauth1 import Client as Signer

from witw.demo.fake_flickr.server import Behaviour, Faults, FlickrServer, VirtualClock

KEY, SECRET = "0123456789abcdef0123456789abcdef", "fedcba9876543210"
SEARCH = {
    "method": "flickr.photos.search",
    "api_key": KEY,
    "bbox": "2.0,48.0,3.0,49.0",
    "min_upload_date": "1",
    "extras": "description,license,date_upload,date_taken,owner_name,geo,url_m,media,path_alias",
}
JSON = {"format": "json", "nojsoncallback": "1"}
TITLES = ("Čaj & <b>víno</b>", 'L\'"aube"', "写真 📷", "", "bell\x07")
UNAVAILABLE = "Sorry, the Flickr API service is not currently available."


def serve(count=40, **options) -> FlickrServer:
    columns = {
        "id": np.arange(count) + 1000,
        "lat": 48.5,
        "lon": 2.5,
        "date_upload": 1_500_000_000 + np.arange(count),
        "title": [TITLES[n % len(TITLES)] for n in range(count)],
    }
    return FlickrServer(columns, lambda _: None, **options)


def ask(server, **params) -> requests.Response:
    return requests.get(server.api_url, SEARCH | JSON | params, timeout=10)


def ids(answer: requests.Response) -> list[str]:
    return [entry["id"] for entry in answer.json()["photos"]["photo"]]


# --- formats


def test_xml_equals_json():
    with serve() as server:
        rows = ask(server).json()["photos"]
        answer = requests.get(server.api_url, SEARCH, timeout=10)
        assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
        root = ElementTree.fromstring(answer.content)
        assert (root.tag, root.attrib) == ("rsp", {"stat": "ok"})
        assert requests.get(server.api_url, SEARCH | {"format": "rest"}, timeout=10).ok
    photos = root[0]
    assert int(photos.get("total")) == int(rows["total"])
    for element, entry in zip(photos, rows["photo"], strict=True):
        for name, value in entry.items():
            if name == "description":
                assert (element.find(name).text or "") == value["_content"]
            else:
                text = "" if value is None else str(value).replace("\x07", "")
                assert element.get(name) == text, name


def test_xml_through_flickrapi_and_failures_in_xml():
    with serve(key=KEY, secret=SECRET) as server:

        class Client(flickrapi.FlickrAPI):
            REST_URL = server.api_url

        api = Client(KEY, SECRET, format="etree", store_token=False, timeout=10)
        photos = api.photos.search(bbox=SEARCH["bbox"], min_upload_date=1).find("photos")
        assert len(photos) == 40
        names = api.photos.licenses.getInfo().find("licenses")
        assert {int(row.get("id")) for row in names} == set(range(17))
        assert api.test.echo(a="é & <b>").find("a").text == "é & <b>"
        with pytest.raises(flickrapi.FlickrError) as error:
            api.no.such.method()
        assert error.value.code == 112
        refused = requests.get(server.api_url, SEARCH | {"format": "yaml"}, timeout=10)
        assert ElementTree.fromstring(refused.content)[0].get("code") == "111"
        assert refused.status_code == 200


def recorded(path) -> ElementTree.Element:
    """Return the root of the first recorded response."""
    response = yaml.safe_load(path.read_text())["interactions"][0]["response"]
    text = response.get("content") or response["body"]["string"]
    return ElementTree.fromstring(text.encode())


def test_answers_have_the_shape_of_the_recordings(real_data):
    folder = real_data / "flickr_api"
    with serve(key=KEY) as server:

        def root(**params):
            asked = {**SEARCH, **params}
            return ElementTree.fromstring(requests.get(server.api_url, asked, timeout=10).content)

        search, nothing = root(extras=SEARCH["extras"] + ",url_s,views,tags"), root(license="5")
        licenses = root(method="flickr.photos.licenses.getInfo")
        wrong_key = root(api_key="doesnotexist")
    real = recorded(folder / "flickypedia_search_tag_nature_100photos_full_extras.xml.yml")
    assert (search.tag, search[0].tag, search[0][0].tag) == (real.tag, real[0].tag, real[0][0].tag)
    assert list(search[0].attrib) == list(real[0].attrib)
    tagged = next(p for p in real[0] if p.get("place_id") is not None)
    known = set(tagged.attrib) | {"views"}
    made = search[0][0]
    assert set(made.attrib) <= known
    essential = "id owner secret server title license dateupload datetaken ownername latitude"
    essential += " longitude accuracy url_m height_m width_m pathalias context woeid"
    assert set(essential.split()) <= set(made.attrib) & set(tagged.attrib)
    assert [child.tag for child in made] == [child.tag for child in tagged] == ["description"]
    empty = recorded(folder / "flickypedia_search_empty_result.xml.yml")
    assert list(nothing[0].attrib) == list(empty[0].attrib)
    assert len(nothing[0]) == len(empty[0]) == 0
    table = recorded(folder / "flickr-photos-api_TestLicenseMethods.test_get_licenses.yml")
    assert [row.attrib for row in licenses[0]] == [row.attrib for row in table[0]]
    bad = recorded(folder / "flickr-photos-api_test_it_throws_if_bad_auth.yml")
    assert (wrong_key.attrib, wrong_key[0].attrib) == (bad.attrib, bad[0].attrib)


def test_json_has_the_fields_of_the_recordings(real_data):
    recording = json.loads((real_data / "flickr_api/perkeep_photosSearchData1.json").read_text())
    with serve() as server:
        made = ask(server).json()
    assert set(made) == set(recording) == {"photos", "stat"}
    assert list(made["photos"]) == list(recording["photos"])
    real, entry = recording["photos"]["photo"][0], made["photos"]["photo"][0]
    shared = set(real) & set(entry)
    assert len(shared) >= 24
    assert real["description"] == entry["description"]
    for name in shared - {"latitude", "longitude", "accuracy", "ispublic", "datetakengranularity"}:
        assert type(real[name]) is type(entry[name]) or name == "datetakenunknown", name


# --- keys and signatures


def test_a_get_can_be_signed_and_a_nonce_is_valid_once():
    with serve(key=KEY, secret=SECRET) as server:
        query = urlencode({"method": "flickr.test.echo", **JSON, "a": "ž ~+/"})
        url, headers, _ = Signer(KEY, SECRET, signature_type="AUTH_HEADER").sign(
            f"{server.api_url}?{query}"
        )
        first, second = (requests.get(url, headers=headers, timeout=10) for _ in range(2))
        assert first.json()["a"]["_content"] == "ž ~+/"
        assert (second.status_code, second.text) == (401, "oauth_problem=nonce_used")
        forged = requests.get(f"{url}&b=1", headers=headers, timeout=10)
        assert (forged.status_code, forged.text) == (401, "oauth_problem=signature_invalid")


def test_a_key_can_expire_during_a_run():
    with serve(key=KEY, behaviour=Behaviour(key_dies_after=3)) as server:
        answers = [ask(server).json() for _ in range(5)]
    assert [a["stat"] for a in answers] == ["ok"] * 3 + ["fail"] * 2
    assert (answers[4]["code"], answers[4]["message"]) == (
        100,
        "Invalid API Key (Key has expired)",
    )


# --- the quota


def test_a_key_has_an_hourly_limit_of_calls():
    clock = VirtualClock(1000.0)
    with serve(behaviour=Behaviour(hourly=5), clock=clock) as server:
        for n in range(5):
            assert ask(server, page=str(n)).ok
            clock.sleep(100)
        over = ask(server)
        assert (over.status_code, over.text[:9]) == (429, "<!DOCTYPE")
        assert "Retry-After" not in over.headers
        assert ask(server, api_key="f" * 32).ok  # another key's hour
        clock.sleep(3600 - 500 - 0.5)
        assert ask(server).status_code == 429
        clock.sleep(0.5)  # the first of the five is an hour old
        assert ask(server).ok
        assert ask(server).status_code == 429  # the second is not
        assert server.log.over_quota == 3


@pytest.mark.parametrize("how", ["429_retry_after", "201"])
def test_over_quota_has_other_responses_too(how):
    clock = VirtualClock()
    with serve(behaviour=Behaviour(hourly=1, over_quota=how), clock=clock) as server:
        ask(server)
        clock.sleep(600)
        over = ask(server)
        if how == "201":
            assert (over.status_code, over.json()["code"]) == (200, 201)
        else:
            assert (over.status_code, over.headers["Retry-After"]) == (429, "3000")


# --- faults


def once(name: str, **options) -> FlickrServer:
    behaviour = options.pop("behaviour", Behaviour())
    return serve(faults=Faults(**{name: 1.0}, most=1, **options), behaviour=behaviour)


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("api_busy", 201, UNAVAILABLE),
        ("api_busy_0", 0, UNAVAILABLE),
        ("api_busy_10", 10, "The Flickr search API is not currently available."),
        ("api_busy_105", 105, "Service currently unavailable"),
    ],
)
def test_codes_of_a_busy_service_come_in_200(fault, code, message):
    with once(fault) as server:
        first, second = ask(server), ask(server)
        assert (first.status_code, second.json()["stat"]) == (200, "ok")
        assert first.json() == {"stat": "fail", "code": code, "message": message}
        other = requests.get(server.api_url, SEARCH | {"page": "2"}, timeout=10)
        error = ElementTree.fromstring(other.content)[0]
        assert error.attrib == {"code": str(code), "msg": message}


def test_broken_json_answers_any_format():
    with once("api_comma") as server:
        for form in (JSON, {}):
            answer = requests.get(server.api_url, SEARCH | form, timeout=10)
            assert answer.status_code == 200
            assert answer.text.endswith('",}')
            with pytest.raises(ValueError, match=r"double quotes|trailing comma"):
                answer.json()
            assert json.loads(answer.text.replace(",}", "}"))["code"] == 201


def test_statuses_of_the_gateway():
    with once("api_5xx") as server:
        seen = {ask(server, page=str(n)).status_code for n in range(1, 30)}
    assert seen == {500, 502, 504}
    with once("api_503") as server:
        assert ask(server).status_code == 503
    with once("api_busy_400") as server:
        assert (ask(server).status_code, ask(server).status_code) == (400, 200)
    with once("html_200") as server:
        page = ask(server)
        assert (page.status_code, page.headers["Content-Type"][:9]) == (200, "text/html")


def test_connections_end_before_and_within_an_answer():
    for fault in ("api_reset", "api_cut"):
        with once(fault) as server:
            with pytest.raises(requests.RequestException):
                ask(server)
            assert ask(server).ok


def test_a_stalled_call_never_answers():
    with once("api_stall", behaviour=Behaviour(stall_s=0.6)) as server:
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(server.api_url, SEARCH, timeout=0.2)
        begun = time.monotonic()
        with pytest.raises(requests.exceptions.ConnectionError):
            ask(server, page="2")
        assert time.monotonic() - begun >= 0.6
        assert ask(server, page="2").ok
    begun = time.monotonic()
    with once("api_stall") as server, pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(server.api_url, SEARCH, timeout=0.2)
    assert time.monotonic() - begun < 60  # nothing stalls the end of the server


def test_latency_is_added_to_each_answer_and_not_summed():
    with serve(behaviour=Behaviour(api_latency_s=0.3)) as server:
        begun = time.monotonic()
        assert ask(server).ok
        assert time.monotonic() - begun >= 0.3


def test_retry_after_is_seconds_a_date_or_missing():
    def header(form: str, page: int = 1) -> str | None:
        with once("api_429", retry_after=form, retry_after_s=30) as server:
            answer = ask(server, page=str(page))
            assert answer.status_code == 429
            return answer.headers.get("Retry-After")

    assert header("seconds") == "30"
    assert header("none") is None
    wait_s = parsedate_to_datetime(header("date")).timestamp() - time.time()
    assert 25 < wait_s <= 31
    with once("api_429", retry_after="mixed", retry_after_s=30) as server:
        seen = [ask(server, page=str(n)).headers.get("Retry-After") for n in range(1, 25)]
    forms = {None if h is None else "seconds" if h.isdigit() else "date" for h in seen}
    assert forms == {None, "seconds", "date"}


def test_early_requests_are_logged():
    clock = VirtualClock(50.0)
    with serve(faults=Faults(api_429=1.0, most=1, retry_after_s=20), clock=clock) as server:
        ask(server)
        clock.sleep(5)
        ask(server)  # 15 s too early
        clock.sleep(16)
        ask(server)
        log = requests.get(f"{server.url}/_log", timeout=10).json()
        assert log["now_s"] == 71.0
        assert log["count"] == {"api": 3}
        assert log["hosts"]["api"] == {"retry_at_s": 70.0, "early": 1}
        (url,) = log["urls"].values()
        assert url == {"attempts": 3, "retry_at_s": 70.0, "early": 1}
        assert [call["early_s"] for call in log["calls"]] == [0.0, 15.0, 0.0]
        assert [call.attempt for call in server.calls] == [1, 2, 3]
        assert server.calls[0].agent.startswith("python-requests")
        assert KEY not in json.dumps(log)
        since = requests.get(f"{server.url}/_log?since=2", timeout=10).json()
        assert len(since["calls"]) == 1
        requests.delete(f"{server.url}/_log", timeout=10)
        assert server.calls == []


def test_a_gate_refuses_requests_until_it_opens():
    clock = VirtualClock()
    faults = Faults(api_429=1.0, most=1, retry_after_s=20)
    with serve(faults=faults, clock=clock, behaviour=Behaviour(gate=True)) as server:
        ask(server)
        clock.sleep(8)
        second = ask(server)
        assert (second.status_code, second.headers["Retry-After"]) == (429, "12")
        clock.sleep(12)
        assert ask(server).ok


def test_noise_and_faults_are_the_same_over_http():
    behaviour = Behaviour(seed=4, jitter=0.5, replicas=2, lag=0.2, malformed=0.1)
    faults = Faults(4, api_5xx=0.2, api_comma=0.2, api_busy_10=0.2, api_429=0.2)

    def story() -> list[tuple[int, str]]:
        with serve(behaviour=behaviour, faults=faults) as server:
            answers = [ask(server, page=str(1 + n % 7)) for n in range(30)]
            return [(a.status_code, a.text.replace(server.photo_host, "")) for a in answers]

    first = story()
    assert first == story()
    assert {status for status, _ in first} >= {200, 429}
    assert any('"fail"' in text for _, text in first)
