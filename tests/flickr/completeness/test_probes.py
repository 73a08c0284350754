"""Searches of services that hide photos from some queries, over HTTP: none is called complete."""

import json
import os
import subprocess
import sys

import pytest
from answers import KEY, ROOT, SNAPSHOT, journal

from witw import forgotten, tables
from witw.demo.fake_flickr.behaviour import Behaviour
from witw.demo.fake_flickr.catalog.crowd import PARIS_BBOX_DEG, paris
from witw.demo.fake_flickr.catalog.query import Catalog
from witw.demo.fake_flickr.server import FlickrServer
from witw.flickr import search
from witw.flickr.api.client import Client
from witw.flickr.api.on_demand import OnDemand
from witw.flickr.api.records import Photo
from witw.flickr.completeness import probes
from witw.flickr.crawl import journal as journals
from witw.flickr.crawl import removal
from witw.flickr.crawl.boxes import Box
from witw.flickr.crawl.journal import Journal
from witw.flickr.crawl.pages import Entry, Page, query_of
from witw.store import journal_path

COUNT = 3_000
CITY = Catalog.from_columns(paris(COUNT, seed=1))
OLD_LICENSES = Catalog.from_columns(
    {name: v % 10 + 1 if name == "license_id" else v for name, v in paris(COUNT, seed=1).items()}
)
EVERYTHING = {str(number) for number in CITY.columns.id.tolist()}


def spec_of(api_url, bbox=PARIS_BBOX_DEG, **settings):
    return {
        "stage": "search",
        "version": 4,
        "aoi": "paris",
        "bbox_deg": list(bbox),
        "flickr": {"api_url": api_url, "photo_hosts": ["https://photos.example"]},
        "search": {"snapshot": "2026-11-01T00:00:00Z", **settings},
    }


@pytest.fixture
def searched(tmp_path, monkeypatch):
    """Search a service with the given behaviour; return the ids listed and the summary."""
    monkeypatch.chdir(tmp_path)

    def run(catalog=CITY, bbox=PARIS_BBOX_DEG, settings=(), **behaviour):
        held = catalog.behaving(Behaviour(seed=1, **behaviour))
        with FlickrServer(held, lambda _: None) as server:
            spec = spec_of(server.api_url, bbox, **dict(settings))
            client = Client(server.api_url, KEY, sleep=lambda _: None)
            with Journal(journal_path("paris"), server.api_url, spec["search"]["snapshot"]) as kept:
                found = search.run(spec, client, kept)
        return {row["id"] for row in found.photos}, found.summary

    return run


GOOD = {
    "still": {},
    "half-open boxes of six decimals": {"bbox_edges": "half_open", "bbox_decimals": 6},
    "an accuracy is exact": {"accuracy_given": "only"},
    "totals as text": {"totals": "text"},
    "no order": {"sort": "ignored"},
}
# Such a search is complete, because the audit finds the right way to query.
MENDED = {
    "unset accuracy hides 7 %": {"unset_hides": 0.069},
    "unset accuracy hides 2 %": {"unset_hides": 0.02},
    "unset accuracy is street level": {"accuracy_unset": "street"},
    "lists hide half of a licence": {"list_hides": 0.5},
    "lists hide a licence": {"list_hides": 1.0},
}


@pytest.mark.parametrize("kind", [*GOOD, *MENDED])
def test_a_search_that_is_whole_is_called_complete(searched, kind):
    ids, said = searched(**(GOOD | MENDED)[kind])
    assert ids == EVERYTHING
    assert (said["verdict"], said["probes"]["odd"]) == ("complete", [])
    assert said["probes"]["calls"] == 24
    assert said["licenses_alone"] == ([11] if "lists hide" in kind else [])
    assert "Flickr shows and counts the same photos." in said["reasons"][2]
    assert said["reasons"][-1].startswith("No query shows photos that Flickr hides")


@pytest.mark.parametrize(
    ("behaviour", "kind", "word"),
    [
        ({"large_box_hides": 0.1}, "box", "incomplete"),
        ({"large_box_hides": 0.03}, "box", "incomplete"),
        ({"large_box_hides": 0.1, "large_box_deg": 0.3}, "box", "incomplete"),
        ({"list_hides": 0.05}, "", ""),
        ({"phantoms": 0.0816}, "license", "incomplete"),
        ({"bbox_decimals": 2}, "edge", "incomplete"),
        ({"bbox_decimals": 3}, "edge", "nearly complete"),
    ],
)
def test_a_search_that_lacks_photos_is_not_called_complete(searched, behaviour, kind, word):
    ids, said = searched(**behaviour)
    if kind:
        assert kind in said["probes"]["odd"]
        assert said["verdict"] == word
        assert "other photos (by " in said["reasons"][2]
    # Photos too few to be searched in another way also prevent a complete verdict.
    assert (said["verdict"] == "complete") <= (ids == EVERYTHING)


def test_photos_counted_and_never_shown_are_missing_by_their_sum(searched):
    ids, said = searched(phantoms=0.0816)
    lost = COUNT - len(ids)
    assert said["ledger"]["over_sum"] == lost
    assert f"and {lost} in total" in said["reasons"][0]


@pytest.mark.parametrize("totals", ["text", "number"])
def test_an_empty_index_is_not_complete(searched, totals):
    ids, said = searched(thinned=1.0, totals=totals)
    assert (ids, said["verdict"], said["probes"]["is_alive"]) == (set(), "incomplete", False)
    assert "Flickr's index may be empty." in " ".join(said["reasons"])


def test_an_area_without_photos_is_complete_where_there_are_some_elsewhere(searched):
    ids, said = searched(bbox=(10.0, 50.0, 10.1, 50.1))
    assert (ids, said["verdict"]) == (set(), "complete")
    assert "Nothing was found here, but Flickr shows photos elsewhere." in said["reasons"]


def test_an_area_that_vanishes_between_two_decimals_is_not_complete(searched):
    """A service that truncates boxes to two decimals reduces a small area to a line."""
    crowd = (2.3411, 48.8511, 2.3469, 48.8569)
    inside = paris(COUNT, seed=1)
    inside["lon"] = 2.3412 + inside["id"] % 5_000 / 1e6
    inside["lat"] = 48.8512 + inside["id"] % 4_000 / 1e6
    ids, said = searched(Catalog.from_columns(inside), crowd, bbox_decimals=2)
    assert said["verdict"] == "incomplete"
    assert said["probes"]["odd"]
    ids, said = searched(Catalog.from_columns(inside), crowd)
    assert (ids, said["verdict"]) == (EVERYTHING, "complete")


def test_a_filter_that_ignores_licences_it_does_not_know_ends_no_search(searched):
    ids, said = searched(OLD_LICENSES, licenses_up_to=10)
    assert (ids, said["verdict"]) == (EVERYTHING, "complete")
    assert said["probes"]["ignored"] == [11, 12, 13, 14, 15, 16]
    assert "Queried for licence 11, 12, 13, 14, 15, 16 alone" in " ".join(said["reasons"])
    # If photos with these licences exist, the same responses show the missing ones.
    ids, said = searched(CITY, licenses_up_to=10)
    assert said["verdict"] != "complete"


def test_without_an_audit_nothing_is_called_complete(searched):
    ids, said = searched(settings={"audit": 0.0})
    assert (ids, said["verdict"], said["probes"]["calls"]) == (EVERYTHING, "nearly complete", 0)
    assert "No other queries were sent (`search.audit` is 0)" in " ".join(said["reasons"])


def test_forgetting_photos_changes_no_query_and_no_verdict(tmp_path, monkeypatch):
    """A finished search needs neither a key nor the service, and neither does `forget`."""
    monkeypatch.chdir(tmp_path)
    held = CITY.behaving(Behaviour(seed=1, list_hides=0.5))
    with FlickrServer(held, lambda _: None) as server:
        spec = spec_of(server.api_url)
        assert journals.needs_service(spec)
        with Journal(journal_path("paris"), server.api_url, spec["search"]["snapshot"]) as kept:
            client = Client(server.api_url, KEY, sleep=lambda _: None)
            first = search.run(spec, client, kept)
    owner = first.photos[0]["owner"]
    some = {row["id"] for row in first.photos if row["owner"] == owner or row["license_id"] == 11}
    assert not journals.needs_service(spec | {"forgotten": "x"})
    forgotten.add(some, [owner], ["paris"])
    removal.scrub("paris", some, [owner])
    done = run_stage(tmp_path, spec)
    assert done.returncode == 0, done.stderr
    photos = tables.read(tmp_path / "photos.parquet", "photos")
    assert set(photos["id"]) == EVERYTHING - some
    said = json.loads((tmp_path / "summary.json").read_text())
    assert (said["verdict"], said["forgotten"]) == ("complete", len(some))
    for changed in (
        spec | {"bbox_deg": [2.2, 48.5, 2.3, 49.0]},
        spec | {"version": 4 + 1},
        spec | {"search": spec["search"] | {"sweeps": 2}},
        spec | {"search": spec["search"] | {"snapshot": "2026-10-01T00:00:00Z"}},
        spec | {"aoi": "rome"},
    ):
        assert journals.needs_service(changed)
    # Other queries need a key, and report that.
    done = run_stage(tmp_path, spec | {"search": spec["search"] | {"sweeps": 2}})
    assert done.stderr.splitlines()[-1].startswith("witw: FLICKR_API_KEY is not set")


def run_stage(folder, spec):
    """Run the stage as a process without a key."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FLICKR_")}
    args = [sys.executable, "-m", "witw.sources.search", "--spec", json.dumps(spec)]
    for name in ("photos", "cells"):
        args += [f"--{name}", f"{name}.parquet"]
    args += ["--summary", "summary.json"]
    return subprocess.run(args, cwd=folder, env=clean, capture_output=True, text=True, check=False)


# --- by itself


def photo(number, lon, lat, upload, license_id=4):
    return Photo(str(number), "o", "n", "t", license_id, "", upload, lat, lon, 16, "")


PHOTOS = [
    photo(n, 10.0 + n % 200 / 1_000, 50.0 + n % 100 / 1_000, SNAPSHOT - 1_000 * n, 4 + n % 2)
    for n in range(500)
]


def test_a_plan_varies_everything_and_follows_from_its_seed():
    made = probes.plan(ROOT, PHOTOS)
    assert made == probes.plan(ROOT, PHOTOS)
    assert len({probe.query.key for probe in made}) == len(made)
    kinds = [probe.kind for probe in made]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "license": 3,
        "box": 8,
        "dates": 2,
        "edge": 4,
    }
    known = probes.Known({one.id: one for one in PHOTOS}, [one.id for one in PHOTOS])
    area = (ROOT.box.east - ROOT.box.west) * (ROOT.box.north - ROOT.box.south)
    for kind, query in made:
        box = query.box
        inside = sum(
            box.west < one.lon * 1e7 < box.east
            and box.south < one.lat * 1e7 < box.north
            and query.low <= one.date_upload <= query.high
            and one.license_id in query.licenses
            for one in PHOTOS
        )
        assert known.count(query) == inside
        assert inside > 0 or query.licenses == (1,)
        if kind == "box":
            assert (box.east - box.west) * (box.north - box.south) < area / 15
        if kind == "dates":
            assert query.low > 1
        assert query_of(query.key) == query


def test_many_licences_share_queries():
    many = ROOT._replace(licenses=tuple(range(1, 17)))
    made = probes.plan(many, PHOTOS)
    assert len(made) == 22
    alone = {query.licenses[0] for _, query in made if len(query.licenses) == 1}
    assert alone == set(range(1, 17))
    nothing = probes.plan(many, [])
    assert [probe.kind for probe in nothing] == ["license"] * 16 + ["edge"] * 4 + ["world"]


@pytest.mark.parametrize(
    ("counted", "shown", "slack", "agrees"),
    [
        (3, ["1", "2", "3"], 0, True),
        (4, ["1", "2", "3"], 0, False),
        (4, ["1", "2", "3"], 1, True),
        (2, ["1", "2"], 0, False),
        (3, ["1", "2", "9"], 5, False),
        (0, ["1", "2", "3"], 0, True),  # no count at all
    ],
)
def test_an_answer_agrees_if_it_shows_and_counts_what_is_listed(counted, shown, slack, agrees):
    photos = {str(n): photo(n, 10.1, 50.05, 1_500_000_000) for n in (1, 2, 3, 9)}
    known = probes.Known(photos, ["1", "2", "3"])
    page = Page(counted, 1, 250, [Entry(one, 1_500_000_000) for one in shown])
    assert probes.judge(probes.Probe("box", ROOT), page, known).agrees(slack) == agrees


def test_a_box_of_another_service_s_answer_is_read_back(tmp_path):
    box = Box.around((-10.5, -50.123456, 10.2, 50.1))
    assert Box.of(box.text) == box
    with journal(tmp_path) as kept:
        assert kept.settled("a", lambda: "one") == kept.settled("a", lambda: "two") == "one"
        kept.restart()
        assert kept.note("a") == ""


def test_a_client_is_made_once_and_only_if_needed():
    made = []

    class Made:
        requests = 0

        def call(self, method, read, watch=None, **asked):
            self.requests += 1
            return read({"method": method, **asked})

    lazy = OnDemand(lambda: made.append(1) or Made())
    assert (lazy.requests, made) == (0, [])
    assert lazy.call("a", dict, x=1) == {"method": "a", "x": 1}
    lazy.call("a", dict)
    assert (lazy.requests, made) == (2, [1])
