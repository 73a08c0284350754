"""The stand-in's search in process: synthetic crowds, and a service that changes."""

from dataclasses import fields, replace

import numpy as np
import pytest

from witw.demo.fake_flickr.behaviour import Behaviour
from witw.demo.fake_flickr.catalog.crowd import PARIS_BBOX_DEG, paris
from witw.demo.fake_flickr.catalog.query import ApiError, Catalog
from witw.demo.fake_flickr.catalog.records import CatalogPhoto

HOST = "http://photos"
EXTRAS = "license,date_upload,date_taken,owner_name,geo,url_m,media"
EVERYTHING = {
    "bbox": ",".join(map(str, PARIS_BBOX_DEG)),
    "min_upload_date": "1",
    "per_page": "250",
    "extras": EXTRAS,
}


@pytest.fixture(scope="module")
def crowd() -> Catalog:
    return Catalog.from_columns(paris(20_000, seed=1))


def ask(catalog, **params):
    return catalog.search({**EVERYTHING, **{k: str(v) for k, v in params.items()}}, HOST)


def ids(answer):
    return [entry["id"] for entry in answer["photo"]]


def sweep(catalog, **params):
    """Return all ids found with an upload-date cursor while pages last, and the number of calls."""
    seen, cursor, calls = {}, 2**31, 0
    while True:
        answer = ask(catalog, max_upload_date=cursor, **params)
        calls += 1
        seen |= {entry["id"]: entry for entry in answer["photo"]}
        if len(answer["photo"]) < 200:
            return seen, calls
        oldest = int(answer["photo"][-1]["dateupload"])
        assert oldest < cursor
        cursor = oldest


# --- the crowd


def test_a_crowd_follows_its_seed():
    one, again, other = (paris(3_000, seed=seed) for seed in (5, 5, 6))
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not np.array_equal(one["lat"], other["lat"])


def test_a_crowd_is_as_crowded_as_a_city():
    n = 50_000
    made = paris(n, seed=2)
    west, south, east, north = PARIS_BBOX_DEG
    lat, lon, upload = made["lat"], made["lon"], made["date_upload"]
    assert np.all((lat > south) & (lat < north) & (lon > west) & (lon < east))
    assert np.array_equal(lat, np.round(lat, 6))
    assert len(np.unique(made["id"])) == n
    assert set(np.unique(made["license_id"])) == set(range(1, 17))
    years = upload.astype("datetime64[s]").astype("datetime64[Y]").astype(int) + 1970
    assert set(np.unique(years)) == set(range(2004, 2027))
    _, per_tag = np.unique(np.stack([lat, lon]), axis=1, return_counts=True)
    assert per_tag.max() == 0.04 * n
    cells = np.histogram2d(lat, lon, bins=100)[0].ravel()
    cells = np.sort(cells)[::-1]
    assert cells[:100].sum() > 0.5 * n  # 1 % of the area
    assert (cells > 0).sum() > 2_000  # and something nearly anywhere
    _, per_second = np.unique(upload, return_counts=True)
    assert per_second.max() >= 4
    together = np.abs(np.diff(np.sort(upload[made["owner"] == made["owner"][0]])))
    assert np.median(together) <= 60
    # After the start of their 4.0 successors, 2.0 licences are no longer assigned.
    old = np.isin(made["license_id"], range(1, 7)) & (upload > 1_760_000_000)
    assert old.sum() <= 16


def test_a_pin_holds_the_requested_number_of_photos():
    made = paris(2_000, seed=1, pin=777)
    assert np.unique(np.stack([made["lat"], made["lon"]]), axis=1, return_counts=True)[1].max() == (
        777
    )


# --- columns


def test_columns_and_photos_make_the_same_catalog():
    columns = paris(600, seed=3)
    one = Catalog.from_columns(columns)
    two = Catalog(list(one.photos))
    assert len(one.photos) == 600
    assert one.photos[0] == two.photos[0]
    assert one.photos[-1].date_upload == columns["date_upload"].min()
    assert all(
        isinstance(getattr(one.photos[0], f.name), (str, int, float)) for f in fields(one.photos[0])
    )
    for page in (1, 2, 3):
        assert ask(one, page=page) == ask(two, page=page)


def test_a_box_is_found_by_every_index(crowd):
    rng = np.random.default_rng(0)
    west, south, east, north = PARIS_BBOX_DEG
    for _ in range(40):
        size = 10 ** rng.uniform(-3, -0.3)
        w, s = rng.uniform(west, east), rng.uniform(south, north)
        first, last = np.sort(rng.integers(1_100_000_000, 1_800_000_000, 2))
        answer = ask(
            crowd,
            bbox=f"{w:.7f},{s:.7f},{w + size:.7f},{s + size:.7f}",
            min_upload_date=first,
            max_upload_date=last,
            license="4,11",
        )
        columns = crowd.columns
        expected = (
            (columns.lon >= round(w, 7))
            & (columns.lon <= round(w + size, 7))
            & (columns.lat >= round(s, 7))
            & (columns.lat <= round(s + size, 7))
            & (columns.upload >= first)
            & (columns.upload <= last)
            & np.isin(columns.by_name["license_id"], [4, 11])
        )
        assert ids(answer) == [str(n) for n in columns.id[expected][:250]]
        assert int(answer["total"] or 0) == expected.sum()


def test_a_catalog_refuses_invalid_photos():
    with pytest.raises(ValueError, match="lat"):
        Catalog.from_columns({"id": [1], "lon": [2.0], "date_upload": [3]})
    with pytest.raises(ValueError, match="twice"):
        Catalog.from_columns({"id": [1, 1], "lat": 1.0, "lon": 2.0, "date_upload": [3, 4]})
    assert isinstance(
        Catalog.from_columns({"id": [7], "lat": 1.0, "lon": 2.0, "date_upload": [3]}).photos[0],
        CatalogPhoto,
    )


def test_an_empty_catalog_answers(crowd):
    assert ask(Catalog([]))["photo"] == []


# --- noise


def test_a_frozen_catalog_answers_the_same_again(crowd):
    assert ask(crowd, page=3) == ask(crowd, page=3)
    seen, _ = sweep(crowd)
    assert set(seen) == set(crowd.reachable(EVERYTHING)) == {p.id for p in crowd.photos}


def test_jitter_changes_totals_and_nothing_else(crowd):
    noisy = crowd.behaving(Behaviour(seed=1, jitter=0.02))
    answers = [ask(noisy) for _ in range(40)]
    errors = [int(a["total"]) / 20_000 - 1 for a in answers]
    assert max(map(abs, errors)) <= 0.02
    assert min(errors) < -0.01 < 0.01 < max(errors)
    assert len({tuple(ids(a)) for a in answers}) == 1
    assert all(int(a["pages"]) == -(-int(a["total"]) // 250) for a in answers)


def test_replicas_each_lack_their_own_share(crowd):
    noisy = crowd.behaving(Behaviour(seed=1, replicas=3, lag=0.05))
    seen = [frozenset(ids(ask(noisy))) for _ in range(60)]
    kinds = set(seen)
    assert len(kinds) == 3
    assert min(seen.count(kind) for kind in kinds) >= 8
    everything = frozenset.union(*kinds)
    assert all(len(everything - kind) > 2 for kind in kinds)
    totals = {int(ask(noisy)["total"]) for _ in range(20)}
    assert all(0.94 * 20_000 < total < 0.96 * 20_000 for total in totals)
    # Each replica's missing photos are on the others: 0.05 ** 3 of the photos are unreachable.
    assert 20_000 - 15 < len(noisy.reachable(EVERYTHING)) <= 20_000


def test_phantoms_are_counted_and_not_shown(crowd):
    whole = {p.id for p in crowd.photos}
    for pages in ("gaps", "filled"):
        noisy = crowd.behaving(Behaviour(seed=1, phantoms=0.02, phantom_pages=pages))
        assert int(ask(noisy)["total"]) == 20_000
        seen, _ = sweep(noisy)
        assert set(seen) == set(noisy.reachable(EVERYTHING))
        assert 0.015 < 1 - len(seen) / len(whole) < 0.025
        sizes = [len(ask(noisy, page=page)["photo"]) for page in range(1, 17)]
        assert (set(sizes) == {250}) is (pages == "filled")
    # Few enough for one query: the last pages are empty where gaps are filled.
    few = Catalog.from_columns(
        paris(1_000, seed=1), Behaviour(phantoms=0.4, phantom_pages="filled")
    )
    assert ask(few, page=4)["photo"] == []
    assert int(ask(few)["pages"]) == 4


def test_photos_appear_and_vanish_with_the_number_of_calls(crowd):
    noisy = crowd.behaving(Behaviour(seed=1, vanishing=0.02, appearing=0.03, churn_calls=200))
    first, _ = sweep(noisy)
    calls = noisy.searches
    stayed = set(noisy.reachable(EVERYTHING))
    assert stayed <= set(first)
    while noisy.searches < 201:
        ask(noisy)
    last, _ = sweep(noisy)
    came, went = set(last) - set(first), set(first) - set(last)
    assert came
    assert went
    assert min(int(last[i]["dateupload"]) for i in came) < 1_300_000_000  # with old dates too
    assert len(last) == int(ask(noisy)["total"]) == pytest.approx(20_000 * 0.98, rel=0.005)
    assert set(noisy.reachable(EVERYTHING)) < stayed
    assert set(noisy.reachable(EVERYTHING, 1, calls)) == stayed


def test_pages_of_a_moving_catalog_are_in_order_without_gaps(crowd):
    noisy = crowd.behaving(Behaviour(seed=1, vanishing=0.1, appearing=0.1, churn_calls=1))
    # After the second call nothing moves any more.
    ask(noisy), ask(noisy)
    pages = [ids(ask(noisy, page=page)) for page in range(1, 17)]
    there = noisy.reachable(EVERYTHING, first=3)
    assert [i for page in pages for i in page] == there[:4000]
    upwards = [ids(ask(noisy, page=page, sort="date-posted-asc")) for page in range(1, 17)]
    assert [i for page in upwards for i in page] == there[::-1][:4000]


@pytest.mark.parametrize(
    "noise",
    [
        {"jitter": 0.02},
        {"replicas": 3, "lag": 0.01},
        {"phantoms": 0.01},
        {"vanishing": 0.05, "appearing": 0.05, "churn_calls": 20},
        {"malformed": 0.05},
        {"missing_url": 0.05},
        {"sort": "ignored"},
    ],
)
def test_noise_follows_its_seed(crowd, noise):
    def story(seed):
        noisy = crowd.behaving(Behaviour(seed=seed, **noise))
        return [ask(noisy, page=1 + n % 3) for n in range(24)]

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_an_ignored_order_is_stable_but_arbitrary(crowd):
    noisy = crowd.behaving(Behaviour(sort="ignored"))
    pages = [ask(noisy, page=page) for page in range(1, 17)]
    assert ids(pages[0]) == ids(ask(noisy, sort="date-posted-asc"))
    together = [i for page in pages for i in ids(page)]
    assert len(set(together)) == 4_000
    uploads = [int(e["dateupload"]) for e in pages[0]["photo"]]
    assert uploads != sorted(uploads, reverse=True)
    # Dates still limit the results.
    some = ask(noisy, max_upload_date=1_300_000_000)
    assert max(int(e["dateupload"]) for e in some["photo"]) <= 1_300_000_000


def test_broken_records_are_of_every_kind(crowd):
    noisy = crowd.behaving(Behaviour(seed=1, malformed=0.3))
    broken = [entry for page in range(1, 9) for entry in ask(noisy, page=page)["photo"]]
    sound = [entry for page in range(1, 9) for entry in ask(crowd, page=page)["photo"]]
    known = set(noisy.malformed())
    differ = [entry["id"] for entry, other in zip(sound, broken, strict=True) if entry != other]
    assert set(differ) <= known
    assert 0.2 < len(differ) / len(sound) < 0.35
    # A record stays the same in every response.
    assert broken[:250] == ask(noisy)["photo"]
    kinds = {type(entry) for entry in broken}
    assert kinds == {dict, str, list, type(None)}
    dicts = [entry for entry in broken if isinstance(entry, dict)]
    for name in ("id", "dateupload", "latitude", "license", "url_m"):
        assert any(name not in entry for entry in dicts), name
    for name, value in (("latitude", None), ("dateupload", "yesterday"), ("license", "CC BY")):
        assert any(name in entry and entry[name] == value for entry in dicts), name


def test_addresses_can_be_missing(crowd):
    noisy = crowd.behaving(Behaviour(seed=1, missing_url=0.2))
    share = np.mean(["url_m" not in entry for entry in ask(noisy)["photo"]])
    assert 0.1 < share < 0.3
    assert np.mean(["url_m" not in entry for entry in ask(crowd)["photo"]]) < 0.02


@pytest.mark.parametrize("past_cap", ["repeat", "error20"])
def test_past_the_cap_in_process(crowd, past_cap):
    capped = crowd.behaving(replace(Behaviour(), past_cap=past_cap))
    assert len(ids(ask(capped, page=16))) == 250
    if past_cap == "repeat":
        assert ids(ask(capped, page=99)) == ids(ask(capped, page=16))
    else:
        with pytest.raises(ApiError, match="offset") as error:
            ask(capped, page=17)
        assert error.value.code == 20
