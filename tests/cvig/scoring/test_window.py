"""Windows of 420 m, checked by hand: their position, the photos grouped in them, the figures."""

import numpy as np
import pytest
import torch

from witw.cvig.grid import Grid
from witw.cvig.metrics import Metric, values
from witw.cvig.network.model import Blend
from witw.cvig.network.towers import PhotoCode
from witw.cvig.retrieval import Codes
from witw.cvig.scoring import window
from witw.cvig.scoring.calibration import Calibration
from witw.cvig.scoring.intervals import intervals

STEP, SIDE = 28.0, 60
FITTED = Calibration(0.02, 10.0)


class Cells(Codes):
    """An index in memory."""

    grid = None

    def take(self, rows):
        some = Cells(**{n: v[torch.from_numpy(rows)] for n, v in vars(self).items() if n != "grid"})
        grid = Grid(32631, STEP, 5e5, 5e6, SIDE, SIDE, self.grid.cells[rows])
        object.__setattr__(some, "grid", grid)
        return some


def city(count, noise, seed=0):
    """Return a city of vectors only, and photos of some of its cells."""
    rng = torch.Generator().manual_seed(seed)
    vectors = torch.randn(SIDE * SIDE, 32, generator=rng)
    flat = torch.zeros(len(vectors), 1, 1)
    cells = Cells(flat, flat[..., 0], flat, vectors, vectors)
    grid = Grid(32631, STEP, 5e5, 5e6, SIDE, SIDE, np.arange(SIDE * SIDE))
    object.__setattr__(cells, "grid", grid)
    own = np.random.default_rng(seed).permutation(SIDE * SIDE)[:count]
    seen = vectors[own] + noise * torch.randn(count, 32, generator=rng)
    photos = PhotoCode(torch.zeros(count, 1, 1), torch.ones(count, 1), seen)
    return cells, photos, grid.centres(own)


def searched(noise, count=80):
    cells, photos, places = city(count, noise)
    ids = [str(n) for n in range(count)]
    queries = [np.array([n]) for n in range(count)]
    unknown = np.full(count, np.nan)
    return window.search(
        queries, ids, photos, places, unknown, cells, Blend(0.0, 0.05), FITTED
    ), places


def test_the_photo_is_in_its_window_and_not_in_the_middle():
    place = np.array([5.008e5, 4.9992e6])
    offsets = np.array([window.centre(str(n), place) - place for n in range(2000)])
    assert np.abs(offsets).max() <= window.OFF_M
    assert np.abs(offsets.mean(axis=0)).max() < 8
    assert offsets.std(axis=0) == pytest.approx(2 * window.OFF_M / np.sqrt(12), rel=0.05)
    assert (window.centre("7", place) == window.centre("7", place)).all()


def test_a_windows_cells_lie_in_its_square():
    grid = Grid(32631, STEP, 5e5, 5e6, SIDE, SIDE, np.arange(SIDE * SIDE)[::2])
    middle = np.array([5.0007e5, 4.9991e6])
    off = np.abs(grid.centres() - middle).max(axis=1)
    assert window.cells_of(grid, middle).tolist() == np.flatnonzero(off <= 210).tolist()


def test_a_good_model_and_a_useless_one():
    good, _ = searched(0.1)
    assert values(window.metrics(good)) == {"p90_error_m": 0, "median_error_m": 0}
    useless, places = searched(50.0, 300)
    told, guess = values(window.metrics(useless)), window.chance(useless)
    for name in told:
        assert told[name] == pytest.approx(guess[name], rel=0.12)
    # A guess takes any cell of the window: all distances from the photo to its cells.
    grid = Grid(32631, STEP, 5e5, 5e6, SIDE, SIDE, np.arange(SIDE * SIDE))
    far = []
    for n, place in enumerate(places):
        cells = window.cells_of(grid, window.centre(str(n), place))
        far.append(np.quantile(grid.distances(place, cells), np.linspace(0, 1, 1000)))
    assert guess["p90_error_m"] == pytest.approx(np.quantile(far, 0.9), rel=0.02)


def test_equal_cells_count_against_and_a_window_without_cells_is_its_side_off():
    cells, photos, places = city(5, 0.1)
    same = PhotoCode(photos.columns, photos.mask, torch.zeros_like(photos.vector))
    places[4] += 1e5
    queries = [np.array([n]) for n in range(5)]
    found = window.search(
        queries, list("abcde"), same, places, np.full(5, np.nan), cells, Blend(0.0, 0.05),
        Calibration(0.05, 0.0),
    )  # fmt: skip
    assert found.error_m[4] == window.WINDOW_M
    for n in range(4):
        near = window.cells_of(cells.grid, window.centre("abcde"[n], places[n]))
        assert found.error_m[n] == cells.grid.distances(places[n], near).max()


def test_up_to_eight_photos_of_a_square_form_one_query():
    places = np.array([[1.0, 1.0]] * 11 + [[30.0, 1.0], [24.0, 24.0]])
    groups = window.groups(np.array([3, 11]), places, 25.0)
    assert groups[0].tolist() == [3, 0, 1, 2, 4, 5, 6, 7]
    assert groups[1].tolist() == [11]


def test_a_quantile_has_the_interval_of_its_share():
    rng = np.random.default_rng(0)
    held, block = 0, np.repeat(np.arange(40), 10)
    for _ in range(200):
        drawn = rng.exponential(size=400)
        found = intervals({"p90": Metric(drawn, is_median=True, quantile=0.9)}, block)["p90"]
        held += found[0] <= np.log(10) <= found[1]
    assert 182 <= held <= 199  # 95 % of 200, by two spreads
    assert Metric(np.arange(101.0), is_median=True, quantile=0.9)() == 90
