"""The ledger balances for every unchanging service, and leans to one side with phantoms."""

import json

import numpy as np
import pytest
from answers import BBOX, LICENSES, ROOT, SNAPSHOT, listing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from witw.demo.fake_flickr.behaviour import Behaviour
from witw.demo.fake_flickr.catalog.query import Catalog
from witw.flickr.crawl.ledger import Ledger, summed
from witw.flickr.crawl.pages import Entry, Page
from witw.flickr.crawl.quadtree import WalkRules, walk
from witw.flickr.crawl.service import params


def page(total, *entries):
    return Page(total, -(-total // 250), 250, [Entry(*entry) for entry in entries])


def test_a_step_that_falls_by_what_was_shown_balances():
    ledger = Ledger()
    ledger.step(100, page(5, ("a", 90), ("b", 80), ("c", 70)))
    ledger.step(70, page(3, ("c", 70), ("d", 60), ("e", 50)))
    ledger.end()
    assert (ledger.steps, ledger.unbalanced, ledger.worst) == (2, 0, 0)


def test_more_counted_than_shown_is_over_and_less_is_under():
    ledger = Ledger()
    ledger.step(100, page(9, ("a", 90), ("b", 80)))
    ledger.step(80, page(5, ("b", 80), ("c", 60)))  # 9 - 5 - 1 = 3 over
    ledger.step(60, page(5, ("c", 60)))  # 5 - 5 - 1: 1 under
    ledger.end()  # 5 - 1 = 4 over
    assert (ledger.steps, ledger.over, ledger.under, ledger.worst) == (3, 2, 1, 4)


def test_a_response_without_a_total_is_not_compared():
    ledger = Ledger()
    ledger.step(100, page(0, ("a", 90), ("b", 80)))
    ledger.step(80, page(2, ("b", 80), ("c", 60)))
    ledger.end()
    assert (ledger.steps, ledger.unbalanced) == (1, 0)


def test_further_pages_of_a_second_count_as_shown():
    ledger = Ledger()
    ledger.step(100, page(4, ("a", 90), ("b", 90)))
    ledger.more(page(4, ("c", 90), ("d", 80)))
    ledger.step(80, page(1, ("d", 80)))
    ledger.end()
    assert (ledger.steps, ledger.unbalanced) == (2, 0)


def test_a_photo_shown_twice_is_one():
    ledger = Ledger()
    ledger.step(100, page(2, ("a", 90), ("a", 90), ("b", 80)))
    ledger.more(page(2, ("b", 80)))
    ledger.end()
    # The response has more rows than its total, so it is not compared.
    assert ledger.steps == 0
    ledger.step(100, page(3, ("a", 90), ("a", 90), ("b", 80)))
    ledger.end()
    assert (ledger.steps, ledger.over) == (1, 1)


@given(st.lists(st.lists(st.integers(-50, 50), max_size=8), max_size=6))
def test_a_sum_is_as_one_account_of_all(parts):
    one, parted = Ledger(), []
    for part in parts:
        parted.append(Ledger())
        for difference in part:
            one.note(difference)
            parted[-1].note(difference)
    assert summed(parted) == one
    assert one.unbalanced == sum(difference != 0 for part in parts for difference in part)


# --- whole walks, in process


@st.composite
def crowds(draw):
    """Draw photos of an area: anywhere or at a few points, at any time or within a few seconds."""
    count = draw(st.integers(0, 2_500))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    west, south, east, north = BBOX
    lon = np.round(rng.uniform(west - 0.01, east + 0.01, count), 6)
    lat = np.round(rng.uniform(south - 0.01, north + 0.01, count), 6)
    points = draw(st.integers(1, 3))
    on_points = rng.random(count) < draw(st.sampled_from([0, 0.5, 1]))
    lon[on_points] = np.round(rng.uniform(west, east, points), 6)[
        rng.integers(0, points, on_points.sum())
    ]
    lat[on_points] = 50.05
    span = draw(st.sampled_from([1, 5, 3_000, 600_000_000]))
    upload = SNAPSHOT + 10 - rng.integers(0, span, count)
    return {
        "id": rng.permutation(count) + 1_000,
        "lon": lon,
        "lat": lat,
        "date_upload": upload,
        "license_id": rng.choice([*LICENSES, 0], count),
    }


def walked(columns, behaviour, box_total):
    catalog = Catalog.from_columns(columns, behaviour)
    found = listing()

    def ask(query):
        sent = {name: str(value) for name, value in params(query).items()}
        return found.read(
            {"photos": json.loads(json.dumps(catalog.search(sent, "http://x")))}, query
        )

    rules = WalkRules(snapshot=SNAPSHOT, box_total=box_total)
    return walk(ask, ROOT.box, LICENSES, rules), truth(columns)


def truth(columns):
    west, south, east, north = BBOX
    inside = (columns["lon"] >= west) & (columns["lon"] <= east)
    inside &= (columns["lat"] >= south) & (columns["lat"] <= north)
    inside &= (columns["date_upload"] <= SNAPSHOT) & (columns["license_id"] != 0)
    return {str(number) for number in columns["id"][inside]}


WALKS = settings(
    deadline=None, max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck)
)
TOTALS = st.sampled_from([30, 250, 700, 20_000])


@WALKS
@given(columns=crowds(), box_total=TOTALS, totals=st.sampled_from(["mixed", "number", "text"]))
def test_a_frozen_service_balances_at_every_step(columns, box_total, totals):
    tree, wanted = walked(columns, Behaviour(totals=totals), box_total)
    ledger = summed(cell.ledger for cell in tree.cells)
    assert set(tree.listed) == wanted
    assert ledger.steps > 0
    assert (ledger.over, ledger.under, ledger.worst) == (0, 0, 0)
    assert sum(cell.unreachable for cell in tree.cells) == 0


@WALKS
@given(
    columns=crowds(),
    box_total=TOTALS,
    share=st.sampled_from([0.005, 0.05, 0.5]),
    filled=st.sampled_from(["gaps", "filled"]),
    seed=st.integers(0, 99),
)
def test_phantoms_only_ever_count_too_many(columns, box_total, share, filled, seed):
    behaviour = Behaviour(phantoms=share, phantom_pages=filled, seed=seed)
    tree, wanted = walked(columns, behaviour, box_total)
    ledger = summed(cell.ledger for cell in tree.cells)
    assert ledger.under == 0
    assert set(tree.listed) <= wanted
    if set(tree.listed) != wanted:
        assert ledger.over > 0


@pytest.mark.parametrize("lost", [1, 40, 300])
def test_a_photo_that_is_counted_and_not_shown_is_never_overlooked(lost):
    """The ledger counts the photos that an otherwise honest service hides."""
    rng = np.random.default_rng(lost)
    columns = {
        "id": np.arange(1_000) + 1,
        "lon": np.round(rng.uniform(10.01, 10.19, 1_000), 6),
        "lat": np.round(rng.uniform(50.01, 50.09, 1_000), 6),
        "date_upload": SNAPSHOT - rng.integers(0, 10**8, 1_000),
        "license_id": 4,
    }
    catalog = Catalog.from_columns(columns)
    hidden = {str(number) for number in rng.choice(columns["id"], lost, replace=False)}
    found = listing()

    def ask(query):
        sent = {name: str(value) for name, value in params(query).items()}
        group = catalog.search(sent, "http://x")
        group["photo"] = [raw for raw in group["photo"] if raw["id"] not in hidden]
        return found.read({"photos": group}, query)

    tree = walk(ask, ROOT.box, LICENSES, WalkRules(snapshot=SNAPSHOT, box_total=20_000))
    ledger = summed(cell.ledger for cell in tree.cells)
    assert len(tree.listed) <= 1_000 - lost
    assert ledger.over > 0
    assert ledger.under == 0
    unreachable = sum(cell.unreachable for cell in tree.cells)
    assert ledger.worst + unreachable >= lost / ledger.steps
