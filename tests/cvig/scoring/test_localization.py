import numpy as np
import pytest

from witw.cvig.grid import Grid
from witw.cvig.metrics import values
from witw.cvig.scoring.localization import (
    APART_M,
    PICKS,
    RADII_M,
    Placed,
    chance,
    curve,
    distances,
    metrics,
    non_max_suppression,
    place,
    random_picks,
)

SIDE, STEP = 40, 28.0


@pytest.fixture(scope="module")
def grid():
    """Return a square of 1.1 km with one corner without imagery."""
    row, column = np.divmod(np.arange(SIDE * SIDE), SIDE)
    cells = np.flatnonzero((row > 8) | (column < 30))
    return Grid(32631, STEP, 5e5, 5e6, SIDE, SIDE, cells)


@pytest.fixture(scope="module")
def guesses(grid):
    return random_picks(grid)


def tags(grid, count, seed=0):
    rng = np.random.default_rng(seed)
    at = rng.integers(0, len(grid.cells), count)
    return grid.centres()[at] + rng.uniform(-14, 14, (count, 2))


def told(scores, places, grid, guesses):
    placed = place(scores, places, grid, guesses)
    return values(metrics(placed)), chance(placed), placed


def naive_picks(key, grid, count):
    """Pick cells by greedy suppression, one photo and one cell at a time."""
    centres, picks = grid.centres(), []
    for cell in np.argsort(-key):
        if all(np.hypot(*(centres[cell] - centres[p])) >= APART_M for p in picks):
            picks.append(cell)
    return (picks + [-1] * count)[:count]


def test_suppression_equals_the_greedy_one(grid):
    key = np.random.default_rng(3).random((3, len(grid.cells)))
    picks = non_max_suppression(key, grid, 100)
    for row, got in zip(key, picks, strict=True):
        assert got.tolist() == naive_picks(row, grid, 100)


def test_picks_end_when_no_cell_is_left():
    small = Grid(32631, STEP, 5e5, 5e6, 3, 3, np.arange(9))
    key = np.arange(9.0)[None]
    assert non_max_suppression(key, small, 6)[0].tolist() == [
        *naive_picks(key[0], small, 4),
        -1,
        -1,
    ]


def test_a_perfect_model_gets_perfect_figures(grid, guesses):
    places = tags(grid, 60)
    found, _, _ = told(-distances(places, grid), places, grid, guesses)
    assert found["recall_at_1_within_25m"] == 100
    assert found["median_error_m"] < 14
    assert found["median_area_pct"] == pytest.approx(100 / len(grid.cells), abs=1e-3)
    assert found["area_auc"] > 99.9


def test_a_constant_model_is_not_above_chance(grid, guesses):
    places = tags(grid, 80)
    found, by_chance, _ = told(np.zeros((80, len(grid.cells))), places, grid, guesses)
    for k in PICKS:
        for r in RADII_M:
            name = f"recall_at_{k}_within_{r}m"
            assert found[name] <= by_chance[name]
    assert found["recall_at_1_within_500m"] == 0
    assert found["median_error_m"] > by_chance["median_error_m"]
    assert found["median_area_pct"] == 100
    assert found["area_auc"] == 0


def test_scores_of_nan_never_help(grid, guesses):
    places = tags(grid, 30)
    scores = -distances(places, grid)
    for poison in (scores < -60, scores > -60):  # only far cells are numbers, or only near ones
        scored = np.where(poison, np.nan, scores)
        found, _, _ = told(scored, places, grid, guesses)
        assert found["recall_at_10_within_100m"] == 0
        assert found["area_auc"] == 0


def test_random_scores_are_chance(grid, guesses):
    """All figures, including suppression and the cut corner, use the same code."""
    count = 1200
    places = tags(grid, count)
    scores = np.random.default_rng(5).random((count, len(grid.cells)))
    found, by_chance, placed = told(scores, places, grid, guesses)
    for k in PICKS:
        for r in RADII_M:
            p = by_chance[f"recall_at_{k}_within_{r}m"] / 100
            spread = 400 * np.sqrt(p * (1 - p) * (1 / count + 1 / len(guesses)))
            assert found[f"recall_at_{k}_within_{r}m"] == pytest.approx(100 * p, abs=spread + 0.5)
    assert found["median_error_m"] == pytest.approx(by_chance["median_error_m"], rel=0.05)
    assert found["median_area_pct"] == pytest.approx(by_chance["median_area_pct"], rel=0.08)
    assert found["area_auc"] == pytest.approx(by_chance["area_auc"], abs=1)
    got, guessed = curve(placed, np.array([0, 1, 5, 20, 50, 100.0]))
    np.testing.assert_allclose(got, guessed, atol=4)
    assert guessed[[0, -1]].tolist() == [0, 100]


def test_chance_of_one_pick_is_the_share_of_the_circle(grid, guesses):
    """In the middle of the area it is 1 - (1 - pi r^2 / A)."""
    middle = np.array([[5e5 + 560, 5e6 - 560]]) + np.random.default_rng(0).uniform(
        -14, 14, (500, 2)
    )
    _, by_chance, _ = told(np.zeros((500, len(grid.cells))), middle, grid, guesses)
    area = len(grid.cells) * STEP**2
    for r in (50, 100, 250, 500):
        expected = 100 * np.pi * r**2 / area
        assert by_chance[f"recall_at_1_within_{r}m"] == pytest.approx(expected, rel=0.03)


def test_a_second_pick_beside_the_first_is_suppressed(grid, guesses):
    """The best cells surround one wrong place; without suppression they would use up the picks."""
    places = grid.centres()[[700]]
    wrong = np.hypot(*(grid.centres() - grid.centres()[100]).T)
    scores = -wrong[None]
    scores[0, 700] = -40.0  # just behind the wrong place and its neighbours
    found, _, _ = told(scores, places, grid, guesses)
    assert found["recall_at_1_within_25m"] == 0
    assert found["recall_at_5_within_25m"] == 100


def test_the_share_to_search_counts_ties_by_half(grid, guesses):
    """Ten cells score above the place and five equal it: sixteen cells must be searched."""
    scores = np.zeros((1, len(grid.cells)))
    distance_m = distances(grid.centres()[[600]], grid)[0]
    far = np.flatnonzero(distance_m > 300)
    scores[0, far[:10]], scores[0, far[10:15]] = 0.9, 0.5
    scores[0, 600] = 0.5
    found, _, _ = told(scores, grid.centres()[[600]], grid, guesses)
    assert found["median_area_pct"] == pytest.approx(100 * 16 / len(grid.cells), abs=1e-4)


def test_a_geotag_far_from_any_cell_takes_the_whole_area(grid, guesses):
    off = np.array([[5e5 + 35 * STEP, 5e6 - 2 * STEP]])  # in the corner without imagery
    found, _, _ = told(-distances(off, grid), off, grid, guesses)
    assert found["median_area_pct"] == 100
    assert found["recall_at_100_within_50m"] == 0


def test_of_nearly_equal_scores_the_farthest_is_picked_first():
    """This also holds if more cells tie than a partial search would keep."""
    row = Grid(32631, 60.0, 5e5, 5e6, 1, 3000, np.arange(3000))
    scores = np.full((1, 3000), 0.5, np.float32)
    scores[0, :1500] += 2e-7
    scores[0, 40:60] = 0.4
    place = row.centres()[[10]]
    placed = place_of(scores, place, row)
    assert placed.nearest_m[0].tolist() == [60.0 * (2999 - 10 - n) for n in (0, 4, 9, 99)]
    assert placed.area_pct[0] == pytest.approx(100 * 2980 / 3000)


def place_of(scores, places, grid):
    return place(scores, places, grid, random_picks(grid, 3))


def test_chance_of_the_median_error_weighs_every_photo_and_cell(grid):
    """Two areas of different size: all distances, weighted by the probability of a guess."""
    row, column = np.divmod(np.arange(100), 10)
    little = Grid(32631, STEP, 6e5, 5e6, 10, 10, np.flatnonzero(row + column > 2))
    parts, metres, weights = [], [], []
    for cells, count in ((grid, 30), (little, 50)):
        places = tags(cells, count)
        scores = np.zeros((count, len(cells.cells)))
        picks = random_picks(cells, 3)
        half = count // 2
        parts += [place(scores[:half], places[:half], cells, picks),
                  place(scores[half:], places[half:], cells, picks)]  # fmt: skip
        far = distances(places, cells)
        metres.append(far.ravel())
        weights.append(np.full(far.size, 1 / far.shape[1]))
    order = np.argsort(np.concatenate(metres))
    below = np.cumsum(np.concatenate(weights)[order])
    exact = np.concatenate(metres)[order][(below >= below[-1] / 2).argmax()]
    assert chance(Placed.join(parts))["median_error_m"] == pytest.approx(exact, abs=0.1)
