"""A search's verdict, for each way in which a service may deceive."""

import json
from dataclasses import replace
from functools import cache

import pytest
from answers import BBOX, KEY, LICENSES, Canned, body, journal, record

from witw.demo.fake_flickr.behaviour import Behaviour
from witw.demo.fake_flickr.catalog.crowd import PARIS_BBOX_DEG, paris
from witw.demo.fake_flickr.catalog.query import Catalog
from witw.demo.fake_flickr.catalog.records import LICENSES as TABLE
from witw.flickr import search
from witw.flickr.api.client import Client
from witw.flickr.completeness.audit import Audit
from witw.flickr.completeness.probes import Probed
from witw.flickr.completeness.verdict import balance, verdict
from witw.flickr.crawl.boxes import Box
from witw.flickr.crawl.ledger import Ledger, summed
from witw.flickr.crawl.listing import Listing
from witw.flickr.crawl.quadtree import WalkRules, walk
from witw.flickr.crawl.service import params
from witw.ground.shapes import Ground

QUIET = Audit(12, 1_000, [], 0.0, 0.0066)
NONE = Audit(0, 0, [], 0.0, 1.0)
AGREED = Probed(22, ["license", "box", "dates", "edge", "accuracy"], 900, is_alive=True)


def ledger(*differences):
    made = Ledger()
    for difference in differences:
        made.note(difference)
    return made


def said(listed=10_000, account=None, audit=QUIET, unreachable=0, probed=AGREED, strayed=0):
    account = account or ledger(*[0] * 40)
    word, reasons = verdict(listed, account, audit, unreachable, probed, strayed)
    assert all(reason.endswith(".") for reason in reasons)
    assert not any("\n" in reason for reason in reasons)
    return word, " ".join(reasons)


def test_complete_requires_that_no_evidence_contradicts_it():
    word, why = said()
    assert word == "complete"
    assert "agree at each of 40 steps" in why
    assert "Of 1000 photos shown in an audit (12 random queries) none was unknown" in why
    for against in (
        {"account": ledger(0, 1)},
        {"account": ledger(0, -1)},
        {"audit": Audit(12, 1_000, ["1"], 0.0001, 0.01)},
        {"unreachable": 1},
        {"audit": NONE},
        {"probed": Probed()},
        {"probed": replace(AGREED, odd=["box"])},
        {"strayed": 1},
    ):
        assert said(**against)[0] != "complete"


def test_the_audits_finds_bound_the_missing_photos():
    few = Audit(12, 1_000, ["1"], 0.0001, 0.0085)
    word, why = said(10_000, ledger(*[3, -2] * 20), few)
    assert word == "nearly complete"
    assert "0.010% to 0.850% of the photos that such queries show were missing" in why
    assert "so at most 84 still are" in why
    assert "sweeps" not in why
    many = Audit(12, 1_000, ["1"] * 30, 0.018, 0.047)
    word, why = said(10_000, ledger(*[3, -2] * 20), many)
    assert word == "incomplete"
    assert "A higher `search.sweeps` would find most of them." in why


def test_unreachable_photos_count_as_missing():
    assert said(unreachable=100)[0] == "nearly complete"
    word, why = said(unreachable=101)
    assert word == "incomplete"
    assert "101 photos are counted but no query can list them" in why


def test_photos_that_are_counted_and_never_shown_count_as_missing():
    assert said(10_000, ledger(0, 5, 0))[0] == "nearly complete"
    for listed, account in ((10_000, ledger(0, 4_000)), (0, ledger(500)), (0, ledger(1))):
        assert said(listed, account, NONE)[0] == "incomplete"


def test_a_gap_too_large_for_wavering_counts_as_missing():
    wavering = ledger(*[180, -170] * 20)
    assert said(10_000, wavering)[0] == "nearly complete"
    assert said(10_000, ledger(*[180, -170] * 20, 3_000))[0] == "incomplete"


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (Ledger(), "Nothing could be compared"),
        (ledger(0, 0), "agree at each of 2 steps"),
        (ledger(0, 5, 1), "counted but never shown"),
        (ledger(*[0] * 60, 1, -1), "photos came or went"),
        (ledger(*[4, -3] * 20), "totals waver, or replicas lag"),
    ],
)
def test_the_ledger_is_described_in_words(account, words):
    assert words in balance(account)


# --- the noise itself

COUNT = 16_000


@cache
def city():
    return Catalog.from_columns(paris(COUNT, seed=5))


def walked(behaviour, box_total):
    """Return the ledger of one sweep over a synthetic city, and the share found."""
    catalog = city().behaving(behaviour)
    high = 1_800_000_000
    found = Listing(Ground(PARIS_BBOX_DEG), high, range(1, 17), "http://x")
    sent = {}

    def ask(query):
        sent.update({name: str(value) for name, value in params(query).items()})
        return found.read({"photos": catalog.search(sent, "http://x")}, query)

    rules = WalkRules(snapshot=high, box_total=box_total)
    tree = walk(ask, Box.around(PARIS_BBOX_DEG), tuple(range(1, 17)), rules)
    return summed(cell.ledger for cell in tree.cells), len(tree.listed) / COUNT


@pytest.mark.parametrize("box_total", [20_000, 4_000])
@pytest.mark.parametrize(
    ("behaviour", "words", "least"),
    [
        (Behaviour(), "agree at each", 1.0),
        (Behaviour(phantoms=0.005), "counted but never shown", 0.99),
        (Behaviour(jitter=0.02), "totals waver", 1.0),
        (Behaviour(replicas=3, lag=0.003), "totals waver, or replicas lag", 0.99),
        (Behaviour(vanishing=0.0001, appearing=0.0001, churn_calls=60), "came or went", 0.999),
    ],
    ids=["frozen", "phantoms", "jitter", "lag", "churn"],
)
def test_noise_is_called_by_its_name(behaviour, words, least, box_total):
    account, share = walked(behaviour, box_total=box_total)
    assert words in balance(account)
    assert share >= least


# --- whole searches of a service that errs once


def spec_of(api_url, **settings):
    return {
        "aoi": "oslo",
        "bbox_deg": list(BBOX),
        "flickr": {"api_url": api_url, "photo_hosts": ["https://photos.example"]},
        "search": {"snapshot": "2025-06-15T15:06:40Z", "licenses": list(LICENSES), **settings},
    }


CROWD = [record(n) for n in range(2_000)]


class Erring:
    """A service of ``CROWD`` whose ``wrong``-th response to a search is spoilt by ``spoil``."""

    def __init__(self, wrong, spoil):
        self.wrong, self.spoil, self.count = wrong, spoil, 0

    def __call__(self, asked):
        if asked["method"] != "flickr.photos.search":
            rows = [{"id": n, "name": name, "url": url} for n, (name, url) in TABLE.items()]
            return json.dumps({"licenses": {"license": rows}, "stat": "ok"}).encode()
        self.count += 1
        high, wanted = int(asked["max_upload_date"]), set(map(int, asked["license"].split(",")))
        hits = [
            raw for raw in CROWD if int(raw["dateupload"]) <= high and int(raw["license"]) in wanted
        ]
        start = 250 * (int(asked["page"]) - 1)
        shown = hits[start : start + 250]
        if self.count == self.wrong:
            return self.spoil(hits)
        return body(shown, len(hits))


SPOILT = {
    "an empty answer": lambda hits: body([], 0),
    "an empty answer with a count": lambda hits: body([], len(hits)),
    "a short answer": lambda hits: body(hits[:20], 20),
    "a short answer with a count": lambda hits: body(hits[:20], len(hits), pages=1),
    "a far jump": lambda hits: body([*hits[:248], hits[-1]], len(hits)),
}


@pytest.mark.parametrize("share", [0.0, 0.05])
@pytest.mark.parametrize("wrong", [4, 5, 8])
@pytest.mark.parametrize("kind", SPOILT)
def test_a_search_that_lost_photos_to_one_wrong_answer_does_not_call_itself_complete(
    tmp_path, monkeypatch, kind, wrong, share
):
    monkeypatch.chdir(tmp_path)
    reply = Erring(wrong, SPOILT[kind])
    with Canned(reply) as server, journal(tmp_path, server.api_url) as kept:
        client = Client(server.api_url, KEY, sleep=lambda _: None)
        found = search.run(spec_of(server.api_url, audit=share), client, kept, workers=1)
    assert reply.count >= wrong
    lost = len(CROWD) - len(found.photos)
    if lost > 0.01 * len(CROWD):
        assert found.summary["verdict"] == "incomplete"
    elif lost:
        assert found.summary["verdict"] != "complete"
    assert found.summary["photos"] == len(found.photos)


def showing_nothing(tmp_path, monkeypatch, total):
    """Return the verdict for a service that counts photos but shows none."""
    monkeypatch.chdir(tmp_path)
    reply = Erring(0, None)

    def nothing(asked):
        return body([], total) if asked["method"] == "flickr.photos.search" else reply(asked)

    with Canned(nothing) as server, journal(tmp_path, server.api_url) as kept:
        client = Client(server.api_url, KEY, sleep=lambda _: None)
        return search.run(spec_of(server.api_url), client, kept, workers=1)


def test_a_service_that_counts_and_shows_nothing_is_not_nearly_complete(tmp_path, monkeypatch):
    found = showing_nothing(tmp_path, monkeypatch, 500)
    assert found.photos == []
    assert found.summary["verdict"] == "incomplete"


def test_a_service_that_has_nothing_anywhere_proves_nothing(tmp_path, monkeypatch):
    found = showing_nothing(tmp_path, monkeypatch, 0)
    assert (found.photos, found.summary["verdict"]) == ([], "incomplete")
    assert "Flickr's index may be empty." in " ".join(found.summary["reasons"])


def test_photos_counted_and_not_shown_are_added_up():
    """2,134 of 26,159 photos, in 108 steps of at most 32."""
    account = ledger(*[32, *[20] * 88, *[18] * 19])
    assert (account.steps, account.missing) == (108, 2_134)
    word, why = said(24_025, account)
    assert word == "incomplete"
    assert "by at most 32 per step and 2134 in total" in why
    # A few photos that appeared in the meantime do not hide that.
    assert said(24_025, ledger(*[20] * 100, -1, -2))[0] == "incomplete"


def test_the_worst_kind_of_query_gives_the_missing_share():
    few = replace(AGREED, odd=["box"], share=0.005, unknown=["1"])
    assert said(probed=few)[0] == "nearly complete"
    assert said(probed=replace(few, share=0.03))[0] == "incomplete"
    assert said(probed=replace(few, share=0.0, unknown=list(map(str, range(101)))))[0] == (
        "incomplete"
    )
    _, why = said(probed=replace(AGREED, odd=["box", "license"], share=0.1, ignored=[11, 12]))
    assert "other photos (by smaller boxes, single licences): by the worst kind, 10.00%" in why
    assert "Queried for licence 11, 12 alone, Flickr ignores the licence." in why
