"""The walk against a small, independent search service over arrays."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from witw.flickr.crawl.boxes import Box
from witw.flickr.crawl.ledger import summed
from witw.flickr.crawl.pages import REACH, Entry, Page
from witw.flickr.crawl.quadtree import WalkRules, walk

BBOX = (2.1109464, 48.4492509, 2.3131089, 49.0767795)
SNAPSHOT = 1_750_000_000
LICENSES = (1, 2, 3, 4)


@dataclass
class Service:
    """Search over photos: filter, sort, limit to 4,000, page. Each fault can be switched on."""

    lon: np.ndarray  # micro-degrees, as Flickr gives six decimals
    lat: np.ndarray
    upload: np.ndarray
    past_cap: str = "repeat"
    is_sorted: bool = True
    jitter: float = 0.0
    per_page: int = 250
    half_open: bool = False
    totals_known: bool = True
    calls: list = field(default_factory=list)

    def __post_init__(self):
        self.license = np.arange(len(self.upload)) % len(LICENSES) + 1
        order = np.lexsort((np.arange(len(self.upload)), -self.upload))
        if not self.is_sorted:
            order = np.random.default_rng(5).permutation(len(self.upload))
        for name in ("lon", "lat", "upload", "license"):
            setattr(self, name, getattr(self, name)[order])

    def ids(self):
        return {str(i) for i in range(len(self.upload))}

    def __call__(self, query):
        box, number = query.box, query.page
        self.calls.append(query)
        assert number * self.per_page <= REACH, "a page nobody can see was asked for"
        # Decimal degrees, parsed as the service would.
        west, south, east, north = (float(v) * 1e6 for v in box.text.split(","))
        if self.half_open:  # and decimals cut off
            west, south, east, north = (math.trunc(v) for v in (west, south, east, north))
            inside = (west <= self.lon) & (self.lon < east) & (south <= self.lat)
            inside &= self.lat < north
        else:
            inside = (west <= self.lon) & (self.lon <= east)
            inside &= (south <= self.lat) & (self.lat <= north)
        inside &= np.isin(self.license, query.licenses)
        found = np.flatnonzero(inside & (self.upload <= query.high) & (self.upload >= query.low))
        total, pages = len(found), -(-len(found) // self.per_page)
        first = (number - 1) * self.per_page
        if first >= REACH:
            first = REACH - self.per_page
        rows = found[:REACH][first : first + self.per_page]
        noise = 1 + self.jitter * np.sin(7.0 * len(self.calls))
        return Page(
            total=round(total * noise) if self.totals_known else 0,
            pages=pages if self.totals_known else 0,
            per_page=self.per_page,
            entries=[Entry(str(i), int(self.upload[i])) for i in rows],
        )


def photos(count, *, pin=0, second=0, seed=0):
    """Return clustered photos, ``pin`` of them at one point and ``second`` of one second."""
    rng = np.random.default_rng(seed)
    west, south, east, north = (round(v * 1e6) for v in BBOX)
    lon = np.clip(rng.normal((west + east) / 2, (east - west) / 9, count), west + 1, east - 1)
    lat = np.clip(rng.normal((south + north) / 2, (north - south) / 9, count), south + 1, north - 1)
    lon, lat = lon.astype(np.int64), lat.astype(np.int64)
    upload = rng.integers(1_100_000_000, SNAPSHOT, count)
    lon[:pin], lat[:pin] = 2_294_481, 48_858_370
    upload[count - second :] = 1_400_000_000
    return {"lon": lon, "lat": lat, "upload": upload}


def walked(service, box_total=20_000, workers=1):
    tree = listed(service, box_total, workers)
    assert sum(c.listed for c in tree.cells) == len(tree.listed)
    assert tree.calls == len(service.calls)
    assert set(tree.listed.values()) <= {c.cell for c in tree.cells}
    return tree


def listed(ask, box_total=20_000, workers=1):
    rules = WalkRules(snapshot=SNAPSHOT, box_total=box_total, workers=workers)
    return walk(ask, Box.around(BBOX), LICENSES, rules)


def least(count):
    return math.ceil(count / 250)


def unreachable(tree):
    return sum(cell.unreachable for cell in tree.cells)


def balance(tree):
    """Return the number of ledger steps, and the number that do not balance."""
    ledger = summed(cell.ledger for cell in tree.cells)
    return ledger.steps, ledger.unbalanced


@pytest.mark.parametrize("past_cap", ["repeat", "empty"])
def test_pin_and_busy_second_are_listed_whole_at_hardly_a_call_more_than_needed(past_cap):
    service = Service(**photos(10_000, pin=5_000, second=300), past_cap=past_cap)
    tree = walked(service)
    assert set(tree.listed) == service.ids()
    assert len(service.calls) <= 1.1 * least(10_000)
    assert unreachable(tree) == 0


def test_splitting_neither_loses_nor_repeats_photos():
    service = Service(**photos(40_000, pin=3_000, second=300))
    tree = walked(service, box_total=10_000)
    assert set(tree.listed) == service.ids()
    assert len(service.calls) <= 1.1 * least(40_000)
    assert unreachable(tree) == 0
    cells = {cell.cell: cell for cell in tree.cells}
    for name, cell in cells.items():
        assert cell.is_leaf == (f"{name}0" not in cells)
        assert not cell.is_leaf or cell.total <= 10_000
    # A split box contains the photos of its page and its quarters (shared: the cursor).
    root, quarters = cells["r"], [cells[f"r{n}"] for n in range(4)]
    assert 0 <= root.listed + sum(q.total for q in quarters) - root.total <= 1
    steps, unbalanced = balance(tree)
    assert unbalanced == 0
    assert steps >= len(service.calls) - 2  # pages of a busy second do not count as steps


def test_the_order_of_the_calls_changes_nothing():
    data = photos(30_000, pin=3_000, second=6_000)
    alone = walked(Service(**data), box_total=1_000)
    crew = walked(Service(**data), box_total=1_000, workers=6)
    assert list(alone.listed.items()) == list(crew.listed.items())
    assert alone.cells == crew.cells


def test_an_error_of_one_of_several_workers_ends_the_walk():
    honest = Service(**photos(30_000))

    def ask(query):
        if len(honest.calls) > 20:
            raise ConnectionError("down")
        return honest(query)

    with pytest.raises(ConnectionError, match="down"):
        listed(ask, box_total=1_000, workers=4)
    assert len(honest.calls) <= 21 + 4


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(0, 3_000),
    pin=st.integers(0, 3_000),
    second=st.integers(0, 1_500),
    box_total=st.integers(250, 4_000),
    seed=st.integers(0, 99),
    half_open=st.booleans(),
    totals_known=st.booleans(),
)
def test_every_photo_is_listed_whatever_the_service_makes_of_edges_and_totals(
    count, pin, second, box_total, seed, half_open, totals_known
):
    data = photos(count, pin=min(pin, count), second=min(second, count), seed=seed)
    service = Service(**data, half_open=half_open, totals_known=totals_known)
    tree = walked(service, box_total)
    assert set(tree.listed) == service.ids()
    assert not totals_known or unreachable(tree) == 0


def test_totals_that_waver_do_not_matter():
    service = Service(**photos(30_000, pin=2_000), jitter=0.02)
    assert set(walked(service, box_total=5_000).listed) == service.ids()


def test_totals_that_are_too_small_end_nothing():
    honest = Service(**photos(2_000))

    def ask(query):
        page = honest(query)
        return Page(min(page.total, 250), 1, page.per_page, page.entries)

    tree = listed(ask)
    assert set(tree.listed) == honest.ids()


def test_more_than_4000_photos_in_one_second_are_listed_by_splitting_the_box():
    service = Service(**photos(9_000, second=6_000))
    tree = walked(service)
    assert set(tree.listed) == service.ids()
    assert unreachable(tree) == 0


def test_seconds_that_each_fill_more_than_a_page_are_listed_whole():
    data = photos(3_000)
    data["upload"] = 1_400_000_000 + np.arange(3_000) // 330
    assert set(walked(Service(**data)).listed) == {str(i) for i in range(3_000)}


def test_unreachable_photos_are_counted():
    data = photos(5_000)
    data["upload"][:4_600] = 1_400_000_000
    data["lon"][:4_600], data["lat"][:4_600] = 2_294_481, 48_858_370
    service = Service(**data)
    service.license[:] = 3
    tree = walked(service)
    assert len(tree.listed) == 5_000 - 600
    assert unreachable(tree) == 600


@pytest.mark.parametrize("past_cap", ["repeat", "empty"])
def test_a_service_that_ignores_the_order_is_listed_by_boxes(past_cap):
    service = Service(**photos(20_000, pin=3_500), is_sorted=False, past_cap=past_cap)
    tree = walked(service)
    assert set(tree.listed) == service.ids()
    assert unreachable(tree) == 0
    assert all(cell.total <= REACH for cell in tree.cells if cell.is_leaf)
    # A page per split box and a half-filled one per leaf, no more.
    assert len(service.calls) <= least(20_000) + len(tree.cells) + 1


def test_a_crowded_second_on_one_spot_is_listed_by_licence():
    data = photos(5_000)
    data["upload"][:4_600] = 1_400_000_000
    data["lon"][:4_600], data["lat"][:4_600] = 2_294_481, 48_858_370
    service = Service(**data)
    tree = walked(service)
    assert set(tree.listed) == service.ids()
    assert unreachable(tree) == 0


def test_a_crowded_point_without_order_is_listed_by_dates():
    service = Service(**photos(6_000, pin=5_000), is_sorted=False)
    tree = walked(service)
    assert set(tree.listed) == service.ids()
    assert unreachable(tree) == 0


def test_a_crowded_point_without_order_or_dates_is_counted_as_unreachable():
    honest = Service(**photos(9_000, pin=8_000), is_sorted=False)
    honest.license[:] = 3
    tree = listed(lambda query: honest(query._replace(high=SNAPSHOT, low=1)))
    assert len(tree.listed) == 5_000
    assert unreachable(tree) >= 4_000  # its halves by date each count it
    assert len(honest.calls) < 300


def test_a_service_that_ignores_the_dates_is_listed_by_boxes():
    honest = Service(**photos(9_000))
    tree = listed(lambda query: honest(query._replace(high=SNAPSHOT, low=1)))
    assert set(tree.listed) == honest.ids()


def test_the_same_page_again_and_again_ends():
    honest = Service(**photos(3_000))
    tree = listed(lambda query: honest(query._replace(high=SNAPSHOT, low=1, page=1)))
    assert len(tree.listed) == 250
    assert len(honest.calls) < 10
    assert unreachable(tree) == 2_750


def test_a_page_out_of_order_is_no_reason_to_miss_any():
    honest = Service(**photos(2_000))

    def ask(query):
        page = honest(query)
        if len(honest.calls) == 4:
            return Page(page.total, page.pages, page.per_page, page.entries[::-1])
        return page

    tree = listed(ask)
    assert set(tree.listed) == honest.ids()
    assert len(honest.calls) <= 2 * least(2_000)


def test_pages_shorter_than_asked_for_do_not_end_the_list():
    service = Service(**photos(3_000, second=400), per_page=100)
    assert set(walked(service).listed) == service.ids()


def test_unwanted_photos_move_the_cursor_but_are_not_listed():
    honest = Service(**photos(2_000))

    def ask(query):
        page = honest(query)
        entries = [e._replace(flaw="" if int(e.id) % 2 == 0 else "odd") for e in page.entries]
        return Page(page.total, page.pages, page.per_page, entries)

    tree = listed(ask)
    assert set(tree.listed) == {i for i in honest.ids() if int(i) % 2 == 0}
    assert unreachable(tree) == 0


def test_an_empty_box_is_one_call():
    tree = walked(Service(**photos(0)))
    assert tree.listed == {}
    assert [(c.cell, c.calls, c.is_leaf) for c in tree.cells] == [("r", 1, True)]


@pytest.mark.parametrize("bbox", [BBOX, (-43.8574219, -23.1152344, -43.1542969, -22.7636719)])
def test_quarters_tile_their_box_and_no_photo_lies_on_an_edge(bbox):
    box = Box.around(bbox)
    west, south, east, north = box.degrees
    assert west < bbox[0] < bbox[2] < east
    assert south < bbox[1] < bbox[3] < north
    while quarters := box.quarters():
        area = (box.east - box.west) * (box.north - box.south)
        assert sum((q.east - q.west) * (q.north - q.south) for q in quarters) == area
        for quarter in quarters:
            # Six decimals end in 0 here; edges end in 5.
            assert all(v % 10 == 5 for v in (quarter.west, quarter.south))
            assert " " not in quarter.text
            assert [round(float(v) * 1e7) for v in quarter.text.split(",")] == [
                quarter.west,
                quarter.south,
                quarter.east,
                quarter.north,
            ]
        box = quarters[-1]
    assert (box.east - box.west, box.north - box.south) == (10, 10)


def test_a_box_at_the_edge_of_the_world_stays_inside_it():
    assert (
        Box.around((-180, -80, 180, 84)).text == "-180.0000000,-80.0000015,180.0000000,84.0000015"
    )
