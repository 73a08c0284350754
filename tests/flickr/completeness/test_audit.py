"""The audit's interval has the stated coverage."""

import numpy as np
import pytest
from answers import ROOT

from witw.flickr.completeness import audit as module
from witw.flickr.completeness.audit import LEAST, VIEWS, audit, wilson
from witw.flickr.crawl.pages import PER_PAGE, Entry, Page

NAMES = [str(number) for number in range(8_000)]


class Made:
    """A service of ``count`` photos at random dates, whose replicas each lack some of them."""

    def __init__(self, count, seed, servers=1, lag=0.0):
        self.rng = np.random.default_rng(seed)
        self.count = count
        # Newest first; a photo's name is its place.
        self.dates = np.sort(self.rng.integers(1_100_000_000, ROOT.high, count))[::-1]
        self._ages = ROOT.high - self.dates
        self._seconds = self.dates.tolist()
        self.has = [np.flatnonzero(self.rng.random(count) >= lag) for _ in range(servers)]
        self.asked = []

    def server(self):
        return self.has[self.rng.integers(len(self.has))]

    def ask(self, query):
        self.asked.append(query)
        has = self.server()
        newer = np.searchsorted(self._ages, ROOT.high - query.high)
        first = np.searchsorted(has, newer)
        places = has[first : first + PER_PAGE].tolist()
        entries = [Entry(NAMES[place], self._seconds[place]) for place in places]
        return Page(self.count, -(-self.count // PER_PAGE), PER_PAGE, entries)

    def audit(self, listed, calls, share=0.05):
        uploads = self.dates[sorted(map(int, listed))][::-1].tolist() if listed else []
        return audit(self.ask, ROOT, listed, uploads, calls, share)

    def listed(self, missing):
        """Return all photos except a random share."""
        return {NAMES[n] for n in np.flatnonzero(self.rng.random(self.count) >= missing)}

    def swept(self):
        """Return the photos found by a search that asks one replica per page."""
        found = set()
        for place in range(0, self.count, PER_PAGE):
            has = self.server()
            low, high = np.searchsorted(has, [place, place + PER_PAGE])
            found |= {NAMES[n] for n in has[low:high]}
        return found


# Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3; 95 %.
@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_s_interval_has_the_published_values(monkeypatch, hits, count, low, high):
    monkeypatch.setattr(module, "Z", 1.959964)
    assert wilson(hits, count) == pytest.approx((low, high), abs=5e-5)


def test_wilson_s_interval_keeps_within_shares():
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 1)[0] == 0
    assert wilson(7, 7)[1] == pytest.approx(1)
    for count in (1, 10, 1_000):
        widths = [high - low for low, high in (wilson(hits, count) for hits in (0, count // 2))]
        assert all(0 < width < 1 for width in widths)
    lows, highs = zip(*(wilson(hits, 50) for hits in range(51)), strict=True)
    assert list(lows) == sorted(lows)
    assert list(highs) == sorted(highs)


@pytest.mark.parametrize("missing", [0.0, 0.003, 0.05])
def test_the_interval_holds_the_share_that_is_missing(missing):
    held = widths = 0
    for seed in range(100):
        made = Made(5_000, seed)
        listed = made.listed(missing)
        found = made.audit(listed, calls=25)
        truth = 1 - len(listed) / made.count
        held += found.low <= truth <= found.high
        widths += found.high - found.low
    assert held >= 95
    # The interval is not trivially wide.
    assert widths / 100 < 0.02 + missing


@pytest.mark.parametrize(("servers", "lag"), [(3, 0.003), (2, 0.01)])
def test_the_interval_contains_photos_hidden_by_lagging_replicas(servers, lag):
    held = 0
    for seed in range(100):
        made = Made(8_000, seed, servers, lag)
        listed = made.swept()
        found = made.audit(listed, calls=36)
        held += found.low <= 1 - len(listed) / made.count <= found.high
    assert held >= 95


def test_its_finds_are_unknown_and_real():
    made = Made(5_000, seed=1)
    listed = made.listed(0.05)
    found = made.audit(listed, calls=25)
    assert found.unknown == sorted(set(found.unknown))
    assert found.unknown
    assert not set(found.unknown) & listed
    assert set(found.unknown) <= set(NAMES[: made.count])
    assert found.shown >= len(found.unknown)
    assert found.low <= len(found.unknown) / found.shown <= found.high


def test_without_a_share_no_call_is_made():
    made = Made(5_000, seed=1)
    found = made.audit(made.listed(0.0), calls=25, share=0)
    assert (found.calls, found.shown, found.unknown, made.asked) == (0, 0, [], [])
    assert (found.low, found.high) == (0.0, 1.0)


def test_without_a_photo_no_call_is_made():
    made = Made(5_000, seed=1)
    assert made.audit(set(), calls=25).calls == len(made.asked) == 0


@pytest.mark.parametrize(
    ("calls", "share", "spent"),
    [(1, 0.05, 1), (2, 0.05, 2), (4, 0.05, 3), (25, 0.05, LEAST), (1_000, 0.05, 48), (30, 1.0, 30)],
)
def test_it_costs_its_share_of_the_search_s_calls(calls, share, spent):
    made = Made(5_000, seed=1)
    found = made.audit(made.listed(0.0), calls, share)
    assert found.calls == len(made.asked) == spent
    assert found.calls <= calls


def test_the_same_search_is_audited_alike():
    one, two, other = Made(3_000, seed=4), Made(3_000, seed=4), Made(3_000, seed=5)
    for made in (one, two, other):
        made.audit(made.listed(0.01), calls=40)
    assert one.asked == two.asked
    assert one.asked != other.asked
    # Every view is a distinct query, so that the journal does not answer it.
    assert len({query.key for query in one.asked}) == len(one.asked)
    assert len({query.high for query in one.asked}) <= len(one.asked) // VIEWS


def test_flawed_records_do_not_count():
    made = Made(2_000, seed=2)

    def ask(query):
        page = made.ask(query)
        flawed = [entry._replace(flaw="no geotag") for entry in page.entries]
        return Page(page.total, page.pages, page.per_page, flawed)

    found = audit(ask, ROOT, {"x"}, made.dates.tolist(), 10, 0.05)
    assert (found.shown, found.unknown) == (0, [])
