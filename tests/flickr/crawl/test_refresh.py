"""Photos of an earlier search are queried again in few calls, by themselves."""

import numpy as np
import pytest
from answers import BBOX, LICENSES, ROOT, row

from witw.flickr.crawl import refresh
from witw.flickr.crawl.pages import Entry, Page
from witw.ground.shapes import Ground


class Made:
    """Answers from rows as a service would, newest first, and counts."""

    def __init__(self, rows, answers=()):
        self.rows = sorted(rows, key=lambda one: (-one["date_upload"], one["id"]))
        self.answers, self.asked = list(answers), []

    def ask(self, query):
        self.asked.append(query)
        if self.answers:
            return self.answers.pop(0)
        west, south, east, north = query.box.degrees
        hits = [
            Entry(one["id"], one["date_upload"])
            for one in self.rows
            if query.low <= one["date_upload"] <= query.high
            and west <= one["lon"] <= east
            and south <= one["lat"] <= north
        ]
        return Page(len(hits), -(-len(hits) // 250), 250, hits[:250])


def made_rows(count, seed=0, span=10**8):
    rng = np.random.default_rng(seed)
    return [
        row(
            number,
            1_700_000_000 - int(rng.integers(0, span)),
            lon=round(float(rng.uniform(10, 10.2)), 6),
            lat=round(float(rng.uniform(50, 50.1)), 6),
        )
        for number in range(count)
    ]


def newest_first(rows):
    return sorted(rows, key=lambda one: (-one["date_upload"], one["id"]))


@pytest.mark.parametrize("span", [10**8, 2_000, 3])
@pytest.mark.parametrize("seed", range(3))
def test_each_photo_is_found_or_not(seed, span):
    rows = made_rows(1_500, seed, span)
    chance = np.random.default_rng(seed + 50)
    lacking = [one for one in rows if chance.random() < 0.04]
    there = {one["id"] for one in lacking if chance.random() < 0.5}
    service = Made([one for one in rows if one not in lacking or one["id"] in there])
    assert refresh.missed(service.ask, ROOT, newest_first(lacking)) == there
    assert len({query.key for query in service.asked}) == len(service.asked)


def test_neighbours_in_time_are_settled_by_one_call():
    rows = made_rows(200)
    service = Made(rows)
    assert refresh.missed(service.ask, ROOT, newest_first(rows)) == {one["id"] for one in rows}
    assert len(service.asked) == 1


def test_without_missing_photos_no_call_is_made():
    service = Made([])
    assert refresh.missed(service.ask, ROOT, []) == set()
    assert service.asked == []


def test_a_single_empty_response_is_not_trusted():
    rows = made_rows(100)
    service = Made(rows, [Page(0, 0, 250, [])])
    assert refresh.missed(service.ask, ROOT, newest_first(rows)) == {one["id"] for one in rows}
    service = Made([])
    assert refresh.missed(service.ask, ROOT, newest_first(rows)) == set()
    assert len(service.asked) == 2


def test_a_flawed_record_counts_as_missing():
    rows = made_rows(3)
    flawed = [Entry(one["id"], one["date_upload"], "another licence") for one in rows]
    service = Made(rows, [Page(3, 1, 250, flawed)] * 2)
    assert refresh.missed(service.ask, ROOT, newest_first(rows)) == set()


def test_candidates_lie_inside_and_have_a_licence_that_counts():
    west, south, east, north = BBOX
    rows = [
        row(1),
        row(2, lon=west, lat=south),
        row(3, lon=east, lat=north, date_upload=1_600_000_005),
        row(4, lon=east + 1e-6),
        row(5, lat=south - 1e-6),
        row(6, license_id=0),
        row(7),
        row(8, is_gone=True),
    ]
    found = refresh.candidates({one["id"]: one for one in rows}, {"7"}, Ground(BBOX), LICENSES)
    assert [one["id"] for one in found] == ["3", "1", "2", "8"]
