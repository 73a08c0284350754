"""Fields as recorded from Flickr, and broken fields that must do no harm."""

import html
import json
from xml.etree import ElementTree

import pytest
import yaml

from witw import store
from witw.flickr.api.records import UnusableError, address, integer, parse, real, rows_of, text

HOST = "https://live.staticflickr.com"
RAW = {
    "id": "0053082955109",
    "owner": "40262251@N03",
    "secret": "a7fcf8c2b4",
    "server": "65535",
    "farm": 66,
    "title": "Glorious",
    "license": "4",
    "dateupload": "1690770543",
    "datetaken": "2023-06-16 12:48:59",
    "ownername": "raaen99",
    "latitude": "-37.745004",
    "longitude": "144.986937",
    "accuracy": "16",
    "url_m": "https://live.staticflickr.com/65535/0053082955109_a7fcf8c2b4.jpg",
}


def test_text_and_numbers_are_read_alike():
    loose = parse(RAW, HOST)
    numbers = {"license": 4, "dateupload": 1690770543, "accuracy": 16}
    numbers |= {"latitude": -37.745004, "longitude": 144.986937, "server": 65535}
    assert parse(RAW | numbers, HOST) == loose
    assert loose.id == "0053082955109"  # zeros in front stay
    assert (loose.lat, loose.lon, loose.accuracy) == (-37.745004, 144.986937, 16)
    assert (loose.license_id, loose.date_upload) == (4, 1690770543)
    assert loose.page == "https://www.flickr.com/photos/40262251@N03/0053082955109"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"latitude": 0, "longitude": 0}, "no geotag"),
        ({"latitude": "0", "longitude": "0", "accuracy": "0"}, "no geotag"),
        ({"accuracy": 0}, "no geotag"),
        ({"latitude": None}, "no geotag"),
        ({"longitude": ""}, "no geotag"),
        ({"latitude": "nan"}, "no geotag"),
        ({"latitude": True}, "no geotag"),
        ({"id": "../../etc/passwd"}, "not a number"),
        ({"id": "12\n"}, "not a number"),
        ({"id": "١٢٣"}, "not a number"),
        ({"id": None}, "not a number"),
        ({"dateupload": "yesterday"}, "no upload date"),
        ({"license": None}, "no licence"),
    ],
)
def test_an_unusable_record_gives_a_reason(change, reason):
    with pytest.raises(UnusableError, match=reason):
        parse(RAW | change, HOST)


def test_a_photo_on_the_equator_is_geotagged():
    assert parse(RAW | {"latitude": "0"}, HOST).lat == 0


def test_a_record_must_be_an_object():
    with pytest.raises(UnusableError):
        parse("photo", HOST)


def test_titles_of_every_kind_are_read():
    assert parse({k: v for k, v in RAW.items() if k != "title"}, HOST).title == ""
    assert parse(RAW | {"title": {"_content": "Čaj & <b>"}}, HOST).title == "Čaj & <b>"
    assert parse(RAW | {"title": 2015}, HOST).title == "2015"
    broken = json.loads('"half \\ud83d a pair"')
    parse(RAW | {"title": broken}, HOST).title.encode("utf-8")


@pytest.mark.parametrize("accuracy", [None, "", 17, 99_999, "street"])
def test_an_invalid_accuracy_is_empty(accuracy):
    assert parse(RAW | {"accuracy": accuracy}, HOST).accuracy is None


@pytest.mark.parametrize("given", [None, "", "javascript:alert(1)", "https://", {"_content": ""}])
def test_a_missing_address_is_built_by_the_documented_rule(given):
    photo = parse(RAW | {"url_m": given}, "http://127.0.0.1:8765")
    assert photo.url == "http://127.0.0.1:8765/65535/0053082955109_a7fcf8c2b4.jpg"


@pytest.mark.parametrize("change", [{"server": "0"}, {"secret": None}, {"secret": "a/../b"}])
def test_without_server_or_secret_there_is_no_address(change):
    assert parse(RAW | {"url_m": ""} | change, HOST).url == ""


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("live.staticflickr.com", "https://live.staticflickr.com"),
        ("photos.example:8443", "https://photos.example:8443"),
        ("http://photos.example:80", "http://photos.example:80"),
        ("https://photos.example/", "https://photos.example"),
        ("127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("localhost", "http://localhost"),
        ("[::1]:80", "http://[::1]:80"),
        ("127.example.org", "https://127.example.org"),
    ],
)
def test_the_first_photo_host_is_the_one_that_serves(entry, expected):
    assert address([entry, "other.example"]) == expected


def test_numbers_are_read_from_any_type():
    assert [integer(v) for v in ("7", 7, 7.0, "", None, "7.5", "x", "1e400", [])] == [
        7,
        7,
        7,
        *[None] * 6,
    ]
    assert real("-0.5") == -0.5
    assert text(None) == ""


@pytest.mark.parametrize("answer", [{}, {"photos": None}, {"photos": []}, {"photos": {"photo": 1}}])
def test_an_invalid_response_is_an_error(answer):
    with pytest.raises(ValueError, match="photos"):
        rows_of(answer, "photos", "photo")


# --- recorded answers


def recorded(path):
    """Return the bodies of a recording as ElementTree roots."""
    tape = yaml.safe_load(path.read_text(encoding="utf-8"))
    replies = [interaction["response"] for interaction in tape["interactions"]]
    texts = [reply.get("content") or reply["body"]["string"] for reply in replies]
    return [ElementTree.fromstring(body.strip()) for body in texts]


def as_json(element):
    """Convert an XML photo to the JSON format: the same names, texts in ``_content``."""
    inner = {child.tag: {"_content": child.text or ""} for child in element}
    return {**element.attrib, **inner}


@pytest.mark.real
def test_a_hundred_recorded_photos_are_read(real_data):
    path = real_data / "flickr_api" / "flickypedia_search_tag_nature_100photos_full_extras.xml.yml"
    root = next(r for r in recorded(path) if r.find("photos/photo") is not None)
    raws = [as_json(element) for element in root.iterfind("photos/photo")]
    assert len(raws) == 100
    tagged = [raw for raw in raws if raw["accuracy"] != "0"]
    photos = [parse(raw, HOST) for raw in tagged]
    assert 0 < len(photos) < 100
    for raw in raws:
        if raw not in tagged:
            with pytest.raises(UnusableError, match="no geotag"):
                parse(raw, HOST)
    for raw, photo in zip(tagged, photos, strict=True):
        assert store.PHOTO_ID.fullmatch(photo.id)
        assert photo.title == raw["title"] == html.unescape(raw["title"])
        assert (photo.lat, photo.lon) == (float(raw["latitude"]), float(raw["longitude"]))
        assert 6 <= photo.accuracy <= 16
        assert photo.date_upload == int(raw["dateupload"])
        # Flickr itself follows the rule that builds an address.
        built = parse({k: v for k, v in raw.items() if k != "url_m"}, HOST)
        assert photo.url == raw["url_m"]
        assert built.url == (raw["url_m"] if raw["server"] != "0" else "")


@pytest.mark.real
def test_a_recorded_empty_result_is_read(real_data):
    path = real_data / "flickr_api" / "flickypedia_search_empty_result.xml.yml"
    group = next(r.find("photos") for r in recorded(path) if r.find("photos") is not None)
    found, rows = rows_of({"photos": dict(group.attrib)}, "photos", "photo")
    assert (integer(found["total"]), rows) == (0, [])


@pytest.mark.real
def test_recorded_json_with_numbers_as_text_is_read(real_data):
    totals, outcomes = [], []
    for path in sorted((real_data / "flickr_api").glob("perkeep_*.json")):
        group, rows = rows_of(json.loads(path.read_text(encoding="utf-8")), "photos", "photo")
        totals.append(integer(group["total"]))
        for raw in rows:
            try:
                # The licence is an extra that these requests did not include.
                photo = parse({"license": 4, **raw}, HOST)
                outcomes.append((photo.id, photo.lat, photo.accuracy))
            except UnusableError as reason:
                outcomes.append(str(reason))
    assert totals == [6226, 6236]
    assert outcomes == [
        ("00007283018", -37.899166, 16),
        "no geotag",
        "no geotag",
        ("0000084", -37.895717, 15),
        ("3850183", -37.895717, 15),
    ]
