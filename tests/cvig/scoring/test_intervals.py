from math import log

import numpy as np
import pytest

from benchmarks import intervals as simulation
from witw.cvig.metrics import Metric, share
from witw.cvig.scoring import intervals as module
from witw.cvig.scoring.intervals import blocks, even_blocks, intervals


def test_blocks_are_squares_of_half_a_kilometre_whatever_the_area():
    step = 500 / 6_371_008.8 * 180 / np.pi  # degrees of latitude
    lat = np.array([0.1, 0.9, 1.1, -0.1, 0.1]) * step
    lon = np.array([0.1, 0.9, 0.1, 0.1, 1.1]) * step
    block = blocks(np.stack([lon, lat], axis=1))
    assert block[0] == block[1]
    assert len(set(block[[0, 2, 3, 4]])) == 4
    assert sorted(set(block)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("blocks", "correlation", "sizes"),
    [
        pytest.param(10, 0.0, "even", marks=pytest.mark.long),
        (10, 0.3, "even"),
        pytest.param(20, 0.1, "uneven", marks=pytest.mark.long),
    ],
)
def test_intervals_have_the_stated_coverage(blocks, correlation, sizes):
    """Uses about the fewest blocks that get an interval, and a model other than the intervals' own.

    With 250 trials, two standard errors are 2.8 %, which separates 95 % from the 88 % of the old
    intervals.
    """
    row = simulation.Row(blocks, sizes, correlation)
    held, given = simulation.coverage(row, 250)
    assert given > 125
    for name, count in held.items():
        assert 0.915 <= count / given <= 1, name


def test_the_percentile_bootstrap_covered_less():
    """The simulation detects that the old intervals were wrong."""
    held = simulation.peer_coverage(simulation.Row(4, "even", 0.0), 150)
    assert held["50 %"] < 90


@pytest.mark.parametrize("count", [1, 4, module.MIN_BLOCKS - 1])
def test_few_blocks_get_no_interval(count):
    block = np.arange(20 * count) % count
    assert intervals({"x": Metric(np.arange(20.0 * count))}, block) == {}


def test_a_block_that_holds_nearly_all_photos_gets_no_interval():
    block = np.concatenate([np.zeros(1000, int), np.arange(50)])
    assert even_blocks(np.bincount(block)) == pytest.approx(1.1, abs=0.1)
    assert intervals({"x": share(np.arange(1050) % 3 == 0)}, block) == {}


def test_numbers_of_blocks_do_not_matter():
    figure = {"x": Metric(np.random.default_rng(0).random(60))}
    block = np.arange(60) % 12
    assert intervals(figure, block) == intervals(figure, 1000 - 7 * block)


def test_without_a_hit_the_upper_end_is_above_zero():
    """Independent photos follow the rule of three, 3 / n; photos of a block may be correlated."""
    block = np.arange(300) % 30
    low, high = intervals({"x": share(np.zeros(300, bool))}, block)["x"]
    assert low == 0
    assert 0.6 < high < 6
    low, high = intervals({"x": share(np.ones(300, bool))}, block)["x"]
    assert high == 100
    assert 94 < low < 99.4


def test_the_likelihood_of_a_correlation_is_that_of_beta_binomial_blocks():
    """Computed block by block and hit by hit, as in Polya's urn."""
    rng = np.random.default_rng(2)
    block = np.repeat(np.arange(6), [3, 9, 4, 4, 7, 5])
    hit = rng.random(len(block)) < rng.random(6)[block]
    angle = (np.arange(module._SHARES) + 0.5) / module._SHARES * np.pi / 2
    found = []
    for rho in module._correlations()[8:]:
        logs = []
        for p in np.sin(angle) ** 2:
            a, b = p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho
            total = 0.0
            for n in range(6):
                of, hits = int((block == n).sum()), int(hit[block == n].sum())
                total += sum(log((a + i) / (a + b + i)) for i in range(hits))
                total += sum(log((b + i) / (a + b + hits + i)) for i in range(of - hits))
            logs.append(total)
        found.append(np.exp(logs).sum())
    got = module._correlation(hit, block)[8:]
    np.testing.assert_allclose(got / got.sum(), np.array(found) / sum(found), rtol=1e-6)


def test_a_mean_of_even_blocks_has_students_interval():
    """Blocks of one size: the blocks' means, and Student's t with 11 degrees of freedom."""
    rng = np.random.default_rng(3)
    values = np.repeat(rng.normal(size=12), 20) + rng.normal(size=240)
    means = values.reshape(12, 20).mean(axis=1)
    reach = 2.200985 * means.std(ddof=1) / np.sqrt(12)  # from a printed table
    found = intervals({"x": Metric(values)}, np.repeat(np.arange(12), 20))["x"]
    assert found == pytest.approx([means.mean() - reach, means.mean() + reach], abs=2e-4)


def test_degrees_of_freedom_are_those_of_the_matrix():
    """The residuals' covariance written out: squared trace divided by the sum of squares."""
    sizes = np.array([30.0, 2, 11, 7, 1, 16])
    part, variance = sizes / sizes.sum(), sizes + 0.2 * sizes * (sizes - 1)
    make = np.diag(1 / np.sqrt(1 - part)) @ (np.eye(6) - part[:, None])
    cov = make @ np.diag(variance) @ make.T
    expected = np.trace(cov) ** 2 / np.square(cov).sum()
    assert module._degrees(part, variance) == pytest.approx(expected)


@pytest.mark.parametrize(("degrees", "expected"), [(2, 4.302653), (3, 3.182446), (60, 2.000298)])
def test_students_quantile_matches_the_table(degrees, expected):
    assert module._student(degrees) == pytest.approx(expected, rel=2e-4)


def test_the_interval_of_a_median_follows_order_statistics():
    values = np.random.default_rng(1).exponential(1, 400)
    low, high = intervals({"x": Metric(values, is_median=True)}, np.arange(400) % 40)["x"]
    assert low < np.median(values) < high
    # The order statistics of independent values: 180 to 220 of 400.
    assert low == pytest.approx(np.sort(values)[180], abs=0.06)
    assert high == pytest.approx(np.sort(values)[220], abs=0.12)
