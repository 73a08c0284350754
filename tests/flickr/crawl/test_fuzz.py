"""Malformed responses: a record is left out or a page queried again, and nothing breaks."""

import itertools
import json
import math

import pytest
from answers import (
    BBOX,
    HOST,
    KEY,
    LICENSES,
    ROOT,
    SNAPSHOT,
    Canned,
    answer,
    body,
    journal,
    listing,
    record,
    row,
    service,
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from witw import files, store, tables
from witw.errors import UserError
from witw.flickr.api import licenses
from witw.flickr.api.records import Photo, UnusableError, integer, parse, real, text

COUNT = 6
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(
        [10**400, -(10**400), 2**63, -(2**63) - 1, 2**31, 0, -1, 1e300, -1e300, 5e-324, -0.0]
    )
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=12)
    | st.sampled_from(
        [
            "",
            "../x",
            "..\\x",
            "12\n",
            "1_0",
            " 7 ",
            "NaN",
            "1e999",
            "\ud83d",
            "\x00",
            "١٢",
            "0" * 40,
        ]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "_content", "photo", "total", "code", "stat", "message"])
            | st.text(max_size=4),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
ABSENT = object()
FIELDS = tuple(record(0))
GROUP = ("page", "pages", "perpage", "total")
RELAXED = settings(
    deadline=None, max_examples=150, suppress_health_check=list(HealthCheck), derandomize=True
)


def changed(whole, path, value):
    """Return a copy with one place replaced or removed."""
    if not path:
        return value
    copy = dict(whole) if isinstance(whole, dict) else list(whole)
    if len(path) == 1 and value is ABSENT and isinstance(copy, dict):
        del copy[path[0]]
    else:
        copy[path[0]] = changed(copy[path[0]], path[1:], None if value is ABSENT else value)
    return copy


@st.composite
def spoilt(draw):
    """Draw a response with one or two malformed records, and perhaps malformed totals."""
    whole = answer([record(n) for n in range(COUNT)])
    hit = draw(st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=2, unique=True))
    value = JSON | st.just(ABSENT)
    for number in hit:
        path = ["photos", "photo", number]
        field = draw(st.none() | st.sampled_from(FIELDS))
        whole = changed(whole, [*path, field] if field else path, draw(value))
    for name in draw(st.lists(st.sampled_from(GROUP), max_size=2, unique=True)):
        whole = changed(whole, ["photos", name], draw(value))
    return whole, set(range(COUNT)) - set(hit)


def rows_of(found):
    """Return rows of the table as the search writes them."""
    names = Photo.__slots__
    same = {"source": "flickr", "heading_deg": None, "unusable": ""}
    return [
        row(p.id) | same | {name: getattr(p, name) for name in names} for p in found.photos.values()
    ]


def assert_sound(found, page, kept, folder):
    """Check that the result fits table and summary, and that no good record was lost."""
    assert len(page.entries) == COUNT
    listed = {entry.id for entry in page.entries if not entry.flaw}
    assert {record(n)["id"] for n in kept} <= listed <= set(found.photos)
    assert all(store.PHOTO_ID.fullmatch(photo_id) for photo_id in found.photos)
    for photo in found.photos.values():
        assert BBOX[0] <= photo.lon <= BBOX[2]
        assert BBOX[1] <= photo.lat <= BBOX[3]
        assert 0 < photo.date_upload <= SNAPSHOT
        assert photo.license_id in LICENSES
        store.photo_path("oslo", photo.id)
    assert 0 <= page.total < 2**63
    assert 1 <= page.per_page <= 250
    table = tables.write(folder / "photos.parquet", "photos", rows_of(found))
    assert tables.read(folder / "photos.parquet", "photos").equals(table)


@RELAXED
@given(value=JSON)
def test_a_field_of_any_shape_is_read_or_refused(value):
    text(value).encode("utf-8")
    number = real(value)
    assert number is None or math.isfinite(number)
    whole = integer(value)
    assert whole is None or isinstance(whole, int)


@RELAXED
@given(value=JSON, field=st.sampled_from([None, *FIELDS]))
def test_a_record_of_any_shape_is_a_photo_or_says_why_not(value, field):
    raw = value if field is None else {**record(1), field: value}
    try:
        photo = parse(raw, HOST)
    except UnusableError as reason:
        assert str(reason)
    else:
        assert store.PHOTO_ID.fullmatch(photo.id)
        assert photo.date_upload > 0
        assert math.isfinite(photo.lat)
        assert math.isfinite(photo.lon)
        assert "\n" not in photo.page
        assert photo.page.startswith("https://www.flickr.com/photos/")
        assert photo.page.count("/") == 5
        for value in (photo.owner, photo.owner_name, photo.title, photo.date_taken, photo.url):
            value.encode("utf-8")


@RELAXED
@given(made=spoilt())
def test_no_record_takes_its_neighbours_along(made, tmp_path_factory):
    whole, kept = made
    found = listing()
    page = found.read(json.loads(json.dumps(whole)), ROOT)
    found.leave_out(page, ROOT)
    folder = tmp_path_factory.mktemp("fuzz")
    assert_sound(found, page, kept, folder)
    out = sum(bool(entry.flaw) for entry in page.entries)
    assert bool(found.left_out) == bool(out)
    assert all(store.PHOTO_ID.fullmatch(i) or i.startswith("record ") for i in found.left_out)
    files.write_json(folder / "search.json", found.left_out)


@RELAXED
@given(value=JSON, path=st.sampled_from([(), ("photos",), ("photos", "photo"), ("stat",)]))
def test_an_invalid_response_differs_from_an_empty_one(value, path):
    whole = changed(answer([record(1)]), path, value)
    try:
        page = listing().read(whole, ROOT) if isinstance(whole, dict) else None
    except ValueError:
        return
    # A valid empty response states its total.
    if page is not None and not page.entries:
        assert integer(whole["photos"]["total"]) is not None or whole["photos"]["total"] == ""


@RELAXED
@given(value=JSON, path=st.sampled_from([(), ("licenses",), ("licenses", "license")]))
def test_a_licence_table_of_any_shape_is_read_or_refused(value, path):
    whole = changed({"licenses": {"license": [{"id": 4, "name": "CC BY"}]}}, path, value)
    try:
        table = licenses.parse(whole if isinstance(whole, dict) else {})
    except ValueError:
        return
    assert table
    assert all(isinstance(number, int) for number in table)


# --- over HTTP, through the client, the journal and back


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Return a server with scripted responses, and one journal for all examples."""
    folder = tmp_path_factory.mktemp("asked")
    with Canned(lambda _: b"") as server, journal(folder, server.api_url) as kept:
        yield server, kept, folder, itertools.count(1)


def asked(served, replies):
    """Query through all layers; return page, listing and error, and check a second run."""
    server, kept, _, takes = served
    left = list(replies)
    server.reply = lambda _: left.pop(0) if len(left) > 1 else left[0]
    query = ROOT._replace(take=next(takes))
    found = listing()
    try:
        page = service(server.api_url, kept, found, tries=2).ask(query)
    except UserError as error:
        said = str(error)
        assert "\n" not in said
        assert said.endswith(".")
        assert KEY not in said
        return None, found, said
    # The accepted result is reproduced without another query.
    server.reply = lambda _: pytest.fail("asked again")
    again = listing()
    assert service(server.api_url, kept, again).ask(query) == page
    assert (again.photos, again.left_out) == (found.photos, found.left_out)
    return page, found, ""


@RELAXED
@given(made=spoilt())
@example(made=(changed(answer([record(n) for n in range(COUNT)]), ["photos", "total"], 1e300), {0}))
@example(made=(changed(answer([record(n) for n in range(COUNT)]), ["photos", "pages"], 2**70), {0}))
def test_a_spoilt_record_over_http_leaves_the_others(served, made):
    whole, kept = made
    page, found, said = asked(served, [json.dumps(whole).encode()])
    assert page is not None, said
    assert_sound(found, page, kept, served[2])


@RELAXED
@given(made=spoilt())
def test_a_spoilt_record_that_is_mended_leaves_no_trace(served, made):
    whole, _ = made
    good = body([record(n) for n in range(COUNT)])
    served[1]._database.execute("DELETE FROM call")
    page, found, said = asked(served, [json.dumps(whole).encode(), good])
    assert page is not None, said
    # The photos left out are exactly those of the response that counts.
    assert len(found.left_out) <= sum(bool(entry.flaw) for entry in page.entries)


@RELAXED
@given(data=st.data(), value=JSON | st.just(ABSENT))
def test_a_spoilt_answer_over_http_is_asked_again(served, data, value):
    paths = [(), ("stat",), ("photos",), ("photos", "photo")]
    whole = changed(answer([record(n) for n in range(3)]), data.draw(st.sampled_from(paths)), value)
    spoilt_body = json.dumps(None if whole is ABSENT else whole).encode()
    good = [record(n)["id"] for n in range(3)]
    page, _, said = asked(served, [spoilt_body, body([record(n) for n in range(3)])])
    if page is None:
        # Only an explicit refusal is not queried again.
        assert whole["stat"] == "fail", said
    elif page.ids != good:
        sent = whole["photos"]["photo"]
        assert len(page.entries) == len(sent)


@RELAXED
@given(code=JSON, message=JSON)
def test_a_refusal_of_any_shape_gives_a_sentence(served, code, message):
    page, _, said = asked(
        served, [json.dumps({"stat": "fail", "code": code, "message": message}).encode()]
    )
    assert page is None
    assert said


WHOLE = body([record(n) for n in range(COUNT)])


@RELAXED
@given(cut=st.integers(0, len(WHOLE) - 1))
def test_an_answer_cut_off_anywhere_is_asked_again(served, cut):
    page, _, said = asked(served, [WHOLE[:cut], WHOLE])
    assert page is not None, said
    assert page.ids == [record(n)["id"] for n in range(COUNT)]


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"<!DOCTYPE html><html><body>Bad, bad panda!</body></html>",
        b'{"stat":"fail","code":201,"message":"Sorry, not currently available.",}',
        b'{"stat":"fail","code":"201","message":"Sorry, not currently available."}',
        b'{"stat":"fail","code":"0","message":"Sorry, not currently available."}',
        b'{"stat":"fail","code":1e999,"message":"Sorry, not currently available."}',
        b'{"stat":"fail","code":NaN,"message":"Sorry, not currently available."}',
        b'jsonFlickrApi({"stat":"ok"})',
        b'{"photos":{},"stat":"ok"}',
        b'{"photos":{"photo":[]},"stat":"ok"}',
        b'{"photos":{"photo":[],"total":null},"stat":"ok"}',
        b'{"photos":{"photo":[],"total":7,"pages":1},"stat":"ok"}',
        b'{"stat":"ok"}',
        b"null",
        b"[]",
        b'"ok"',
        b"\xff\xfe\x00",
        b"\xef\xbb\xbf" + WHOLE,
        WHOLE[:-1] + b",}",
        WHOLE.decode().encode("utf-16"),
        b'{"photos":{"total":1' + b"0" * 5000 + b',"photo":[]},"stat":"ok"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda junk: repr(junk[:40]),
)
def test_junk_is_asked_again(served, junk):
    page, _, said = asked(served, [junk, WHOLE])
    assert page is not None, said
    assert page.ids == [record(n)["id"] for n in range(COUNT)]
    page, _, said = asked(served, [junk, junk])
    assert page is None or page.entries == []


@pytest.mark.parametrize("code", [-1, 10**30, "abc", [], {}, None, 1.5, True])
def test_an_unknown_code_gives_a_sentence(served, code):
    fail = {"stat": "fail", "code": code, "message": "no"}
    page, _, said = asked(served, [json.dumps(fail).encode()])
    assert page is None
    assert said
