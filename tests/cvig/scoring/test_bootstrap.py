import numpy as np
import pytest

from witw.cvig.metrics import Metric
from witw.cvig.scoring import bootstrap
from witw.cvig.scoring.bootstrap import blocks, intervals


def test_blocks_are_squares_of_half_a_kilometre_of_one_area():
    places = np.array([[0, 0], [499, 499], [500, 0], [0, -1], [10, 10]], float)
    block = blocks(np.array([0, 0, 0, 0, 1]), places)
    assert block[0] == block[1]
    assert len(set(block[[0, 2, 3, 4]])) == 4
    assert sorted(set(block)) == [0, 1, 2, 3]


def test_the_interval_covers_the_truth_as_often_as_it_says(monkeypatch):
    """Photos of a block share a fate: the mean of blocks is known, those of photos mislead."""
    monkeypatch.setattr(bootstrap, "DRAWS", 300)
    rng = np.random.default_rng(0)
    by_block, by_photo, block = 0, 0, np.repeat(np.arange(40), 25)
    for trial in range(150):
        values = np.repeat(rng.normal(0, 1, 40), 25) + rng.normal(0, 0.2, 1000)
        for unit in ("block", "photo"):
            units = block if unit == "block" else np.arange(1000)
            low, high = intervals({"mean": Metric(values)}, units, seed=trial)["mean"]
            by_block += unit == "block" and low <= 0 <= high
            by_photo += unit == "photo" and low <= 0 <= high
    assert 0.88 < by_block / 150 <= 1
    assert by_photo / 150 < 0.5


@pytest.mark.parametrize("is_median", [False, True])
def test_equals_a_plain_bootstrap_of_blocks(is_median, monkeypatch):
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 500)  # several rounds
    rng = np.random.default_rng(1)
    block, values = rng.integers(0, 12, 90), rng.exponential(1, 90).round(1)
    block = np.unique(block, return_inverse=True)[1]
    count = block.max() + 1
    reduce = np.median if is_median else np.mean
    draws = np.random.default_rng(7).multinomial(count, np.full(count, 1 / count), bootstrap.DRAWS)
    naive = [
        reduce(np.concatenate([np.repeat(values[block == b], n) for b, n in enumerate(draw)]))
        for draw in draws
    ]
    got = intervals({"x": Metric(values, is_median)}, block, seed=7)["x"]
    assert got == pytest.approx(np.percentile(naive, [2.5, 97.5]), abs=1e-4)


def test_the_same_seed_gives_the_same_interval():
    figure = {"x": Metric(np.random.default_rng(0).random(50))}
    block = np.arange(50) // 5
    assert intervals(figure, block) == intervals(figure, block)
    assert intervals(figure, block, 1) != intervals(figure, block, 2)


def test_one_block_says_nothing():
    assert intervals({"x": Metric(np.arange(9.0))}, np.zeros(9, int)) == {}
