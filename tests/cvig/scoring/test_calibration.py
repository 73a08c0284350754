from dataclasses import replace

import numpy as np
import pytest
import torch

from witw.cvig.grid import Grid
from witw.cvig.metrics import values
from witw.cvig.scoring import calibration
from witw.cvig.scoring.calibration import (
    Belief,
    Calibration,
    belief,
    blur,
    chances,
    evidence,
    fit,
    levels,
    metrics,
    nll,
)

T, SIGMA_M, STEP = 0.05, 35.0, 20.0


@pytest.fixture(scope="module")
def grid():
    return Grid(32631, STEP, 5e5, 5e6, 30, 34, np.arange(30 * 34)[:-40])


def drawn(grid, count, seed):
    """Return scores, and geotags drawn from their maps: a cell by its odds, then an error."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 0.15, (count, len(grid.cells))).clip(-1, 1)
    odds = np.exp(scores / T)
    odds /= odds.sum(axis=1, keepdims=True)
    cell = np.array([rng.choice(len(row), p=row) for row in odds])
    return scores, grid.centres()[cell] + rng.normal(0, SIGMA_M, (count, 2))


@pytest.fixture(scope="module")
def fitted(grid):
    scores, places = drawn(grid, 600, 0)
    return fit([evidence(scores[i : i + 64], places[i : i + 64], grid) for i in range(0, 600, 64)])


def test_the_fit_recovers_the_true_parameters(fitted):
    assert fitted.temperature == pytest.approx(T, rel=0.1)
    assert fitted.sigma_m == pytest.approx(SIGMA_M, rel=0.12)


def test_honest_maps_have_the_stated_coverage(grid, fitted):
    scores, places = drawn(grid, 1500, 1)
    found = values(metrics(belief(chances(scores, grid, fitted), places, grid)))
    for level in (50, 80, 95):
        assert found[f"coverage_{level}"] == pytest.approx(level, abs=5)
    assert found["bits"] > 1
    # An overconfident map covers less, and gains less.
    sharp = Calibration(T / 3, fitted.sigma_m)
    worse = values(metrics(belief(chances(scores, grid, sharp), places, grid)))
    assert worse["coverage_80"] < 70
    assert worse["bits"] < found["bits"]


def test_the_likelihood_is_the_formula(grid):
    scores, places = drawn(grid, 20, 2)
    got = nll([evidence(scores, places, grid)], np.array([0.07]), np.array([25.0]))[0, 0]
    share = torch.softmax(torch.from_numpy(scores) / 0.07, dim=1).numpy()
    square = ((places[:, None] - grid.centres()) ** 2).sum(axis=2)
    normal = np.exp(-square / (2 * 25**2)) / (2 * np.pi * 25**2)
    assert got == pytest.approx(-np.log((share * normal).sum(axis=1)).mean(), rel=1e-3)


def test_maps_sum_to_one_and_blurring_spreads_them(grid):
    scores, _ = drawn(grid, 5, 3)
    sharp, soft = (chances(scores, grid, Calibration(0.02, s)) for s in (0.0, 40.0))
    np.testing.assert_allclose(sharp.sum(axis=1), 1)
    np.testing.assert_allclose(soft.sum(axis=1), 1)
    assert (soft.max(axis=1) < sharp.max(axis=1)).all()


def test_blur_is_a_normal_distribution():
    one = torch.zeros(1, 41, 41, dtype=torch.float64)
    one[0, 20, 20] = 1
    out = blur(one, 3.0)[0]
    x = torch.arange(41).double() - 20
    assert float(out.sum()) == pytest.approx(1, abs=1e-3)
    assert float((out.sum(dim=0) * x**2).sum()) == pytest.approx(9, rel=0.01)
    assert torch.allclose(out, out.T)


def test_a_uniform_map_gains_and_covers_nothing(grid):
    """Cells are as likely after the geotag's evidence as before."""
    flat = np.full((7, len(grid.cells)), 1 / len(grid.cells))
    found = values(metrics(belief(flat, grid.centres()[:7], grid)))
    assert found["bits"] == pytest.approx(0, abs=1e-9)
    assert [found[f"coverage_{q}"] for q in calibration.LEVELS] == [0, 0, 0]


def test_useless_scores_are_fitted_to_the_uniform_map(grid):
    rng = np.random.default_rng(4)
    scores = rng.normal(0, 0.15, (300, len(grid.cells)))
    places = grid.centres()[rng.integers(0, len(grid.cells), 300)]
    found = fit([evidence(scores, places, grid)])
    bits = values(metrics(belief(chances(scores, grid, found), places, grid)))["bits"]
    assert found.temperature > 0.5
    assert abs(bits) < 0.1


def test_scores_of_nan_give_the_uniform_map(grid):
    scores, places = drawn(grid, 3, 5)
    scores[1, 7] = np.nan
    maps = chances(scores, grid, Calibration(0.05, 0.0))
    np.testing.assert_allclose(maps[1], 1 / len(grid.cells))
    assert np.isfinite(nll([evidence(scores, places, grid)], np.array([0.05]), np.array([30.0])))


def test_a_geotag_off_the_imagery_is_not_impossible(grid):
    scores, _ = drawn(grid, 1, 6)
    far = np.array([[6e5, 5e6]])
    assert np.isfinite(nll([evidence(scores, far, grid)], np.array([0.05]), np.array([30.0])))
    assert np.isfinite(belief(chances(scores, grid, Calibration(0.05, 30.0)), far, grid).bits)


def test_a_region_holds_the_likeliest_cells_and_those_as_likely():
    probability = np.array([0.1, 0.4, 0.1, 0.25, 0.15])
    entry = Calibration(0.05, 0.0).entry_pct(probability)
    assert entry == pytest.approx([80, 0, 80, 40, 65])
    assert Calibration(0.05, 0.0).entry_pct(np.full(7, 1 / 7)).tolist() == [0] * 7


def test_regions_are_cut_at_levels_from_validation_photos(grid):
    """Maps are too sharp for half of the photos, yet regions keep their coverage on others."""

    def two_kinds(seed):
        rng = np.random.default_rng(seed)
        scores, places = drawn(grid, 800, seed)
        scores[rng.random(800) < 0.5] *= 1.8
        return scores, places

    sharp = Calibration(T, SIGMA_M)
    scores, places = two_kinds(10)
    found = belief(chances(scores, grid, sharp), places, grid)
    held = replace(sharp, held=levels(found))
    scores, places = two_kinds(11)
    maps = chances(scores, grid, sharp)
    found = belief(maps, places, grid)
    plain, cut = (values(metrics(found, c)) for c in (sharp, held))
    assert plain["coverage_50"] < 44
    for level in (50, 80, 95):
        assert cut[f"coverage_{level}"] == pytest.approx(level, abs=4)
    own = np.hypot(*(places[:, None] - grid.centres()).transpose(2, 0, 1)).argmin(axis=1)
    entry = np.array([held.entry_pct(row) for row in maps])
    # The same regions, cell by cell.
    inside = entry[np.arange(800), own] < 80
    assert 100 * inside.mean() == pytest.approx(cut["coverage_80"], abs=0.3)


def test_levels_of_few_photos_are_on_the_safe_side():
    found = Belief(np.zeros(3), np.array([0.2, 0.5, 0.7]))
    held = levels(found)
    assert len(held) == len(calibration.STEPS)
    assert np.all(np.diff(held) > 0)
    # The second of three photos holds one half of four; the last levels hold everything.
    assert held[calibration.STEPS.index(50)] == pytest.approx(0.5, abs=1e-4)
    assert held[-1] > 0.9999
    again = Calibration.read({"temperature": 1, "sigma_m": 2, "held": list(held)})
    assert again.held == held
    with pytest.raises(ValueError, match="levels"):
        Calibration.read({"temperature": 1, "sigma_m": 2, "held": [0.5]})
