"""How often equally sharp maps are right, recounted by hand."""

import numpy as np
import pytest

from witw.answer import content
from witw.cvig.grid import Grid
from witw.cvig.scoring import reliability
from witw.cvig.scoring.calibration import STEPS, Calibration
from witw.cvig.scoring.reliability import Outcome

GRID = Grid(32631, 60.0, 5e5, 5e6, 6, 6, np.arange(36))
PLAIN = Calibration(0.05, 0.0)


def peaked(cells, height):
    out = np.full((len(cells), 36), (1 - height) / 35)
    out[np.arange(len(cells)), cells] = height
    return out


def test_outcomes_equal_a_count_by_hand():
    centres = GRID.centres()
    # The first is right, the second is in the next cell (60 m), the third is across the area.
    places = centres[[7, 8, 35]]
    found = reliability.outcome(peaked([7, 7, 7], 0.9), places, GRID, PLAIN)
    assert found.first.tolist() == [True, True, False]
    # Nine tenths in one cell: the 80 % region is that cell, of 36.
    assert found.region_pct == pytest.approx(100 / 36)
    # All other cells are equal: 95 % needs one of them, so the region takes all.
    assert found.held.tolist() == [[True] * 3, [False, False, True], [False, False, True]]


def test_five_places_are_checked():
    values = np.full((1, 36), 1e-4)
    for rank, cell in enumerate((0, 5, 30, 35, 14, 20)):
        values[0, cell] = 0.3 / (rank + 1)
    values /= values.sum()
    centres = GRID.centres()
    for cell, among in ((14, True), (0, True), (24, True), (3, False)):
        found = reliability.outcome(values, centres[[cell]], GRID, PLAIN)
        # Cell 24 lies 60 m from 30.
        assert found.five[0] == among, cell
    assert not reliability.outcome(values, centres[[14]], GRID, PLAIN).first[0]


def made(count):
    rng = np.random.default_rng(0)
    region = np.sort(rng.uniform(1, 60, count))
    first = np.arange(count) < count / 3
    return Outcome(region, first, np.ones(count, bool), np.ones((count, 3), bool))


def test_classes_range_from_sharp_to_flat():
    told = reliability.tell(made(120))
    assert [c["n"] for c in told["classes"]] == [30] * 4
    assert [c["first"] for c in told["classes"]] == [100.0, pytest.approx(33.3, abs=0.1), 0, 0]
    assert told["all"]["first"] == pytest.approx(100 / 3, abs=0.1)
    sharpest, flattest = told["classes"][0], told["classes"][-1]
    assert content.as_sharp(told, 0.1) == sharpest
    assert content.as_sharp(told, sharpest["up_to_pct"]) == sharpest
    assert content.as_sharp(told, 99.0) == flattest


def test_few_photos_are_one_class():
    told = reliability.tell(made(40))
    assert told["classes"] == []
    assert content.as_sharp(told, 5.0) == told["all"]


def test_regions_use_the_calibrated_levels():
    """Regions are larger if they must hold more than their nominal level."""
    rng = np.random.default_rng(1)
    values = rng.dirichlet(np.full(36, 0.3), 1)
    wider = Calibration(0.05, 0.0, tuple(min(0.999, 0.2 + s / 120) for s in STEPS))
    places = GRID.centres()[:1]
    narrow, wide = (reliability.outcome(values, places, GRID, c) for c in (PLAIN, wider))
    assert wide.region_pct[0] > narrow.region_pct[0]
