"""A search along a polygon lists every photo inside and none outside, with few extra calls."""

import itertools
import math

import numpy as np
import pytest
from test_quadtree import LICENSES, SNAPSHOT, Service

from witw.flickr.crawl.boxes import Box
from witw.flickr.crawl.cover import Cover, cheapest
from witw.flickr.crawl.pages import Entry, Page
from witw.flickr.crawl.quadtree import WalkRules, walk
from witw.ground import shapes

CENTRE, HALF = np.array([2.2, 48.76]), np.array([0.1, 0.3])


def polygon(corners, seed):
    """Return a city's outline: round, with bays of all sizes."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = np.ones(corners)
    for k in range(2, 60):
        radius += 0.15 / k * rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.2, None)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (radius / radius.max())[:, None]
    return (CENTRE + HALF * points).tolist()


def photos(ground, count, seed):
    """Return city-like photos, ``count`` of them inside: a third anywhere, others in hot spots."""
    rng = np.random.default_rng(seed)
    west, south, east, north = ground.bbox_deg
    middle, half = (
        ((west + east) / 2, (south + north) / 2),
        ((east - west) / 2, (north - south) / 2),
    )
    weights = rng.pareto(1.2, 60) + 0.1
    spots = rng.normal(middle, np.array(half) / 3, (60, 2))
    spot = rng.choice(60, 4 * count, p=weights / weights.sum())
    places = spots[spot] + rng.normal(0, 0.007, (len(spot), 2))
    anywhere = rng.random(len(spot)) < 0.3
    places[anywhere] = rng.uniform((west, south), (east, north), (anywhere.sum(), 2))
    lon, lat = np.round(places * 1e6).T
    inside = ground.holds(lon / 1e6, lat / 1e6).cumsum()
    end = min(len(lon), int(np.searchsorted(inside, count)) + 1)
    return Service(lon[:end], lat[:end], rng.integers(1_100_000_000, SNAPSHOT, end))


def searched(ground, service, box_total=20_000):
    """Return the cells of a walk, its list, and the expected list."""
    lon, lat = service.lon / 1e6, service.lat / 1e6
    inside = ground.holds(lon, lat)

    def ask(query):
        page = service(query)
        numbers = [int(entry.id) for entry in page.entries]
        entries = [
            Entry(str(n), int(service.upload[n]), "" if inside[n] else "out", lon[n], lat[n])
            for n in numbers
        ]
        return Page(page.total, page.pages, page.per_page, entries)

    cover = Cover(ground)
    rules = WalkRules(snapshot=SNAPSHOT, box_total=box_total, cover=cover)
    tree = walk(ask, cover.roots[0], LICENSES, rules)
    return tree, {str(n) for n in np.flatnonzero(inside)}


def test_a_polygon_of_five_thousand_corners_takes_few_more_calls_than_its_photos():
    ground = shapes.of(polygon(5000, 0), 0)
    service = photos(ground, 45_000, 0)
    tree, expected = searched(ground, service)
    assert set(tree.listed) == expected
    assert len(expected) == 45_000 and len(service.upload) > 47_000
    calls = len(service.calls)
    print(f"{calls} calls, {calls / math.ceil(45_000 / 250):.3f} times the least")
    assert calls <= 1.1 * math.ceil(45_000 / 250)
    # No query concerns a box outside the area, let alone beyond its bounding box.
    boxes = {query.box for query in service.calls}
    assert all(Cover(ground).trimmed(box) is not None for box in boxes)


@pytest.mark.long
@pytest.mark.parametrize(("count", "seed"), list(itertools.product([45_000, 160_000], range(1, 6))))
def test_other_polygons_take_as_few(count, seed):
    ground = shapes.of(polygon(5000, seed), 0)
    service = photos(ground, count, seed)
    tree, expected = searched(ground, service)
    assert set(tree.listed) == expected
    print(f"{len(service.calls) / math.ceil(count / 250):.3f} times the least")
    assert len(service.calls) <= 1.12 * math.ceil(count / 250)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("box_total", [600, 20_000])
def test_every_photo_of_any_shape_is_listed_and_no_other(seed, box_total):
    rng = np.random.default_rng(seed)
    rows = [
        [*(CENTRE + HALF * a).tolist(), *(CENTRE + HALF * (a + b)).tolist()]
        for a, b in zip(rng.uniform(-1, 0.8, (6, 2)), rng.uniform(0.02, 0.5, (6, 2)), strict=True)
    ]
    for area in (rows, polygon(40, seed)):
        ground = shapes.of(area, 0)
        tree, expected = searched(ground, photos(ground, 3000, seed), box_total)
        assert set(tree.listed) == expected


def test_the_cheapest_cut_is_the_cheapest():
    """Compared with all ways to cut a 3 x 3 grid, enumerated."""

    def every(top, end, left, right):
        yield [(top, end, left, right)]
        for at in range(top + 1, end):
            for a in every(top, at, left, right):
                for b in every(at, end, left, right):
                    yield a + b
        for at in range(left + 1, right):
            for a in every(top, end, left, at):
                for b in every(top, end, at, right):
                    yield a + b

    def price(rects, needed, pages):
        return sum(
            max(1.0, 0.5 + pages[a:b, c:d].sum()) for a, b, c, d in rects if needed[a:b, c:d].any()
        )

    rng = np.random.default_rng(1)
    ways = list(every(0, 3, 0, 3))
    for _ in range(20):
        needed, pages = rng.random((3, 3)) < 0.5, rng.uniform(0, 4, (3, 3))
        needed[0, 0] = True
        cuts, gain = cheapest(needed, pages)
        least = min(price(rects, needed, pages) for rects in ways)
        whole = price([(0, 3, 0, 3)], needed, pages)
        assert price(cuts, needed, pages) == pytest.approx(least)
        assert gain == pytest.approx(whole - least)
        covered = np.zeros((3, 3), bool)
        for a, b, c, d in cuts:
            covered[a:b, c:d] = True
        assert not (needed & ~covered).any()


def test_an_area_across_the_180th_meridian_begins_with_two_boxes():
    roots = Cover(shapes.Ground((179.0, -17.0, 181.0, -16.0))).roots
    assert [box.degrees for box in roots] == [
        pytest.approx((179, -17, 180, -16), abs=2e-6),
        pytest.approx((-180, -17, -179, -16), abs=2e-6),
    ]
    assert all(abs(v) <= 180 for box in roots for v in box.degrees)
    wide = shapes.of([[179.5, 0], [180.5, 0.5], [179.5, 1]], 0)
    first, second = Cover(wide).roots
    assert first.degrees == pytest.approx((179.5, 0, 180, 1), abs=2e-6)
    assert second.degrees == pytest.approx((-180, 0.25, -179.5, 0.75), abs=2e-6)
    assert Cover(wide).trimmed(Box.around((0, 0, 1, 1))) is None
