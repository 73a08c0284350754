"""Responses are checked, queried again once, and never a third time."""

import json

import pytest
from answers import (
    BBOX,
    LICENSES,
    ROOT,
    SNAPSHOT,
    Canned,
    body,
    journal,
    listing,
    record,
    service,
)

from witw.errors import UserError
from witw.flickr.crawl.boxes import Box
from witw.flickr.crawl.quadtree import WalkRules, walk
from witw.flickr.crawl.service import PATIENCE

GOOD = [record(n) for n in range(20)]
TURNED = [GOOD[1], GOOD[0], *GOOD[2:]]
FAR = {"latitude": "60.5"}
KINDS = {
    "order": body(TURNED),
    "stray": body([record(0) | FAR, *GOOD[1:]]),
    "another licence": body([record(0, license="0"), *GOOD[1:]]),
    "null record": body([None, *GOOD[1:]]),
    "no date": body([record(0, dateupload=""), *GOOD[1:]]),
    "a date not asked for": body([record(0, dateupload="99999999999"), *GOOD[1:]]),
    "empty": body([], total=20),
}


def uploads(page):
    return [entry.upload for entry in page.entries]


@pytest.fixture
def asked(tmp_path):
    """Query a server with these replies in turn; the last one repeats."""

    def ask(replies, *queries, into=None, name="a"):
        left = list(replies)
        with (
            Canned(lambda _: left.pop(0) if len(left) > 1 else left[0]) as server,
            journal(tmp_path / name, server.api_url) as kept,
        ):
            made = service(server.api_url, kept, into)
            pages = [made.ask(query) for query in queries or [ROOT]]
            return pages, server.asked

    return ask


@pytest.mark.parametrize("kind", KINDS)
def test_a_flawed_page_is_queried_again_and_the_better_one_counts(asked, kind):
    good = body(GOOD)
    found = listing()
    (page,), calls = asked([KINDS[kind], good], into=found)
    assert len(calls) == 2
    assert [entry.id for entry in page.entries] == [raw["id"] for raw in GOOD]
    assert not any(entry.flaw for entry in page.entries)
    assert found.left_out == {}
    assert calls[0] == calls[1]
    # With the worse response second, the first one counts.
    (page,), calls = asked([good, KINDS[kind]], name="b")
    assert len(calls) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_permanent_flaw_is_queried_twice_a_few_times_and_then_once(asked, kind):
    queries = [ROOT._replace(take=take) for take in range(40)]
    pages, calls = asked([KINDS[kind]], *queries)
    assert len(calls) == 40 + PATIENCE
    expected = [raw["id"] for raw in json.loads(KINDS[kind])["photos"]["photo"] if raw]
    for page in pages:
        assert [entry.id for entry in page.entries if entry.id] == expected


def test_patience_with_one_flaw_is_not_spent_by_another(asked):
    replies = [KINDS["order"]] * (2 * PATIENCE) + [KINDS["null record"], body(GOOD)]
    queries = [ROOT._replace(take=take) for take in range(PATIENCE + 1)]
    pages, calls = asked(replies, *queries)
    assert len(calls) == 2 * PATIENCE + 2
    assert not any(entry.flaw for entry in pages[-1].entries)


def test_a_flaw_fixed_by_the_second_query_costs_no_patience(asked):
    queries = [ROOT._replace(take=take) for take in range(3 * PATIENCE)]
    pages, calls = asked([KINDS["stray"], body(GOOD)] * len(queries), *queries)
    assert len(calls) == 2 * len(queries)
    assert not any(page.strayed for page in pages)


def test_a_few_strays_are_left_out_and_the_others_are_kept(asked):
    found = listing()
    strays = [record(0) | FAR, record(1, license=0), record(2) | {"longitude": 9.5}]
    (page,), calls = asked([body([*strays, *GOOD[3:]])], into=found)
    assert len(calls) == 2
    assert page.strayed == 3
    assert {entry.id for entry in page.entries if not entry.flaw} == {r["id"] for r in GOOD[3:]}
    reasons = ["outside the area", "another licence", "outside the area"]
    assert found.left_out == {r["id"]: why for r, why in zip(strays, reasons, strict=True)}


def test_a_photo_within_cut_off_decimals_of_the_box_is_no_breach(asked):
    inside = Box(*(round(v * 1e7) for v in (10.05, 50.0, 10.1, 50.1)))
    near = [record(1, longitude="10.0499999"), record(2, longitude=10.1000009)]
    (page,), calls = asked([body(near)], ROOT._replace(box=inside))
    assert (page.strayed, len(calls)) == (0, 1)


BBOX_IGNORED = body([record(n) | FAR for n in range(11)] + [record(n) for n in range(11, 20)])
LICENSE_IGNORED = body([record(n, license="0") for n in range(20)])


@pytest.mark.parametrize("bad", [BBOX_IGNORED, LICENSE_IGNORED])
def test_a_service_that_ignores_queries_ends_the_search(asked, bad):
    with pytest.raises(UserError, match=r"'oslo'.*check `flickr\.api_url`\.$"):
        asked([bad])


def test_a_single_ignored_query_does_not_end_the_search(asked):
    (page,), calls = asked([BBOX_IGNORED, body(GOOD)])
    assert (page.strayed, len(calls)) == (0, 2)
    # Not even after patience with stray photos has run out.
    queries = [ROOT._replace(take=take) for take in range(PATIENCE + 2)]
    replies = [KINDS["stray"]] * (2 * PATIENCE + 1) + [BBOX_IGNORED, body(GOOD)]
    pages, _ = asked(replies, *queries, name="b")
    assert pages[-1].strayed == 0


def test_the_next_run_queries_a_recovered_service_again(tmp_path):
    replies = [BBOX_IGNORED]
    with Canned(lambda _: replies[0]) as server:
        for _ in range(3):
            with journal(tmp_path, server.api_url) as kept, pytest.raises(UserError):
                service(server.api_url, kept).ask(ROOT)
        replies[0] = body(GOOD)
        with journal(tmp_path, server.api_url) as kept:
            assert service(server.api_url, kept).ask(ROOT).strayed == 0
        spent = len(server.asked)
        with journal(tmp_path, server.api_url) as kept:
            assert service(server.api_url, kept).ask(ROOT).strayed == 0
        assert len(server.asked) == spent


def test_past_the_end_is_an_empty_page_and_on_the_first_page_a_refusal(asked, tmp_path):
    past = b'{"stat":"fail","code":20,"message":"Excessive photo offset in search"}'
    (page,), calls = asked([past], ROOT._replace(page=17))
    assert page.is_last(17)
    assert len(calls) == 1
    with pytest.raises(UserError, match="Excessive photo offset"):
        asked([past], ROOT, name="b")


@pytest.mark.parametrize("kind", [*KINDS, "past"])
def test_a_replay_makes_no_call_and_gives_the_same_result(tmp_path, kind):
    """This includes queries sent twice, and queries spared a second time by patience."""
    past = b'{"stat":"fail","code":20,"message":"Excessive photo offset in search"}'
    queries = [ROOT._replace(take=take, page=2 if kind == "past" else 1) for take in range(12)]
    with Canned(lambda _: KINDS.get(kind, past)) as server:

        def run(order):
            found = listing()
            with journal(tmp_path, server.api_url) as kept:
                made = service(server.api_url, kept, found)
                pages = {query.take: made.ask(query) for query in order}
            return pages, found.photos, found.left_out

        first = run(queries)
        spent = len(server.asked)
        # Workers query in a different order each time.
        for again in (run(queries), run(queries[::-1])):
            assert again == first
        assert len(server.asked) == spent


def test_a_kill_between_two_queries_is_repaired(tmp_path):
    """The second response of a pair is missing, so the pair is completed."""
    with Canned(lambda _: KINDS["order"]) as server, journal(tmp_path, server.api_url) as kept:
        service(server.api_url, kept).ask(ROOT)
        kept._database.execute("DELETE FROM call WHERE id = (SELECT max(id) FROM call)")
        server.reply = lambda _: body(GOOD)
        page = service(server.api_url, kept).ask(ROOT)
        assert uploads(page) == [1_600_000_000 - n for n in range(20)]
        assert len(server.asked) == 3


def test_of_two_answers_about_a_photo_the_same_one_counts_in_any_order():
    one, two = ROOT._replace(take=1), ROOT._replace(take=2)
    told = {}
    for order in ((one, two), (two, one)):
        found = listing()
        for query in order:
            found.read(json.loads(body([record(1, title=f"by {query.take}")])), query)
        told[order] = found.photos[record(1)["id"]].title
    assert set(told.values()) == {"by 1"}


# --- walks over a service with habits


def serve(photos, heed=("max", "min", "license", "bbox"), shown=250, repeat=False):
    """Return a reply function that searches records and respects only the given parameters."""

    def reply(params):
        west, south, east, north = map(float, params["bbox"].split(","))
        low, high = int(params["min_upload_date"]), int(params["max_upload_date"])
        wanted = set(map(int, params["license"].split(",")))
        hits = [
            raw
            for raw in photos
            if ("max" not in heed or int(raw["dateupload"]) <= high)
            and ("min" not in heed or int(raw["dateupload"]) >= low)
            and ("license" not in heed or int(raw["license"]) in wanted)
            and (
                "bbox" not in heed
                or (
                    west <= float(raw["longitude"]) <= east
                    and south <= float(raw["latitude"]) <= north
                )
            )
        ]
        number = 1 if repeat else int(params["page"])
        start = (min(number, 4000 // shown) - 1) * shown
        return body(hits[start : start + shown], len(hits), page=number, perpage=shown)

    return reply


def walked(tmp_path, reply):
    found = listing()
    with Canned(reply) as server, journal(tmp_path, server.api_url) as kept:
        made = service(server.api_url, kept, found)
        tree = walk(made.ask, ROOT.box, LICENSES, WalkRules(snapshot=SNAPSHOT, box_total=20_000))
        return tree, found, server.asked


# Each place needs several pages, and some seconds have two photos of a kind.
CROWD = [record(n, upload=1_600_000_000 + n // 3) for n in range(1_500)]
IDS = {raw["id"] for raw in CROWD}


def test_an_ignored_window_is_detected_and_boxes_replace_it(tmp_path):
    tree, _, calls = walked(tmp_path, serve(CROWD, heed=("license", "bbox")))
    assert set(tree.listed) == IDS
    assert not all(cell.is_ordered for cell in tree.cells)
    assert len(calls) < 40


def test_an_arbitrary_order_is_detected_and_boxes_replace_it(tmp_path):
    mixed = sorted(CROWD, key=lambda raw: raw["secret"][::-1])
    tree, _, calls = walked(tmp_path, serve(mixed))
    assert set(tree.listed) == IDS
    assert len(calls) < 40


def test_small_pages_cost_calls_but_no_photo(tmp_path):
    tree, _, _ = walked(tmp_path, serve(CROWD, shown=100))
    assert set(tree.listed) == IDS


def test_the_same_page_for_every_number_ends_and_is_counted(tmp_path):
    """All pages within a second repeat the first, so other photos are unreachable by pages."""
    crowd = [record(n, upload=1_600_000_000 + n) for n in range(600)]
    tree, found, calls = walked(tmp_path, serve(crowd, repeat=True))
    lost = {raw["id"] for raw in crowd} - set(tree.listed)
    assert len(calls) < 200
    assert set(tree.listed) <= set(found.photos)
    # One second, 600 photos at 100 x 199 places: boxes reach them.
    assert not lost or sum(cell.unreachable for cell in tree.cells) >= len(lost)


def test_a_permanent_flaw_does_not_double_a_crawl(tmp_path):
    crowd = [record(n) for n in range(4_000)]
    broken = [raw | {"dateupload": "soon"} if n % 50 == 7 else raw for n, raw in enumerate(crowd)]
    kept = {raw["id"] for raw in broken if raw["dateupload"] != "soon"}

    def reply(params):
        high = int(params["max_upload_date"])
        # The service knows the dates that it does not send.
        hits = [b for b, raw in zip(broken, crowd, strict=True) if int(raw["dateupload"]) <= high]
        return body(hits[:250], len(hits))

    tree, found, calls = walked(tmp_path, reply)
    assert set(tree.listed) == kept
    assert set(found.left_out) == {raw["id"] for raw in crowd} - kept
    assert len(calls) <= 1.05 * 4_000 / 250 + PATIENCE + 1


def test_one_impossible_date_does_not_change_a_crawls_method(tmp_path):
    """A single record with a future date is a broken record, not a broken order."""
    crowd = [record(n) for n in range(1_000)]
    odd = [raw | {"dateupload": "4102444800"} if n == 300 else raw for n, raw in enumerate(crowd)]

    def reply(params):
        high = int(params["max_upload_date"])
        hits = [b for b, raw in zip(odd, crowd, strict=True) if int(raw["dateupload"]) <= high]
        return body(hits[:250], len(hits))

    tree, found, _ = walked(tmp_path, reply)
    assert all(cell.is_ordered for cell in tree.cells)
    assert len(tree.listed) == 999
    assert found.left_out == {crowd[300]["id"]: "uploaded after the snapshot"}


def test_the_area_s_edges_are_inside():
    west, south, east, north = BBOX
    corners = [(west, south), (west, north), (east, south), (east, north)]
    raws = [record(n, longitude=x, latitude=y) for n, (x, y) in enumerate(corners)]
    page = listing().read(json.loads(body(raws)), ROOT)
    assert not any(entry.flaw for entry in page.entries)
