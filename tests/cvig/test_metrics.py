import numpy as np
import pytest

from witw.cvig.metrics import chance, curve, of_ranks, rank_own, summary


def test_ranks_count_ties_against():
    scores = np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.5], [0.2, 0.2, 0.2]])
    assert rank_own(scores, np.array([0, 1, 2])).tolist() == [1, 3, 3]


def test_nearly_equal_is_a_tie():
    assert rank_own(np.array([[0.5, 0.5 - 1e-8, 0.4]]), np.array([0])).tolist() == [2]


def test_scores_of_nan_never_help():
    nan = np.nan
    scores = np.array([[nan, 0.5, 0.1], [0.9, nan, nan], [nan, nan, 0.9], [nan, nan, nan]])
    assert rank_own(scores, np.array([0, 0, 2, 1])).tolist() == [3, 3, 3, 3]


def test_a_constant_model_ranks_last():
    gallery = np.full(200, 200)
    figures = summary(rank_own(np.zeros((200, 200)), np.arange(200)), gallery)
    guess = chance(gallery)
    for key in ("recall_at_1", "recall_at_5", "recall_at_10", "recall_at_1pct"):
        assert figures[key] == 0 <= guess[key]
    assert figures["median_percentile"] > 99
    assert figures["mean_rank"] == figures["median_rank"] == 200


def test_random_scores_are_chance():
    rng = np.random.default_rng(0)
    gallery = np.full(1500, 1500)
    figures = summary(rank_own(rng.random((1500, 1500)), np.arange(1500)), gallery)
    for key, value in chance(gallery).items():
        if key.startswith("recall"):
            spread = 3 * 100 * np.sqrt(value / 100 * (1 - value / 100) / 1500)
            assert figures[key] == pytest.approx(value, abs=spread + 0.1)
        else:
            assert figures[key] == pytest.approx(value, rel=0.08)


def test_known_ranks_give_known_figures():
    rank, gallery = np.array([1, 2, 5, 10, 11, 200]), np.full(6, 200)
    figures = summary(rank, gallery)
    assert figures["n"] == 6
    assert figures["recall_at_1"] == pytest.approx(100 / 6, abs=1e-3)
    assert figures["recall_at_5"] == 50
    assert figures["recall_at_10"] == pytest.approx(400 / 6, abs=1e-3)
    assert figures["recall_at_1pct"] == pytest.approx(200 / 6, abs=1e-3)  # 100 * 2 <= 200
    assert figures["median_percentile"] == 100 * (7.5 - 0.5) / 200
    assert figures["median_rank"] == 7.5
    assert figures["mean_rank"] == pytest.approx(229 / 6, abs=1e-4)
    assert figures["mean_percentile"] == pytest.approx(100 * (229 / 6 - 0.5) / 200, abs=1e-4)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (200, (0.5, 2.5, 5.0, 1.0)),
        (7, (100 / 7, 500 / 7, 100.0, 0.0)),
        (150, (2 / 3, 10 / 3, 20 / 3, 2 / 3)),
    ],
)
def test_chance_follows_from_the_size_of_the_gallery(size, expected):
    guess = chance(np.full(3, size))
    keys = ("recall_at_1", "recall_at_5", "recall_at_10", "recall_at_1pct")
    assert [guess[key] for key in keys] == pytest.approx(expected, abs=1e-3)
    assert guess["median_percentile"] == guess["mean_percentile"] == 50
    assert guess["median_rank"] == guess["mean_rank"] == (size + 1) / 2


def test_chance_is_averaged_over_galleries_of_several_sizes():
    gallery = np.array([4, 4, 100, 100])
    guess = chance(gallery)
    assert guess["mean_rank"] == (2.5 + 50.5) / 2
    drawn = np.random.default_rng(0).integers(1, np.tile(gallery, 20_000) + 1)
    assert guess["median_rank"] == pytest.approx(np.median(drawn), abs=1)


def test_a_perfect_model_gets_perfect_figures():
    figures = of_ranks(np.ones(50, int), np.full(50, 50))
    assert figures["recall_at_1"]() == 100
    assert figures["median_percentile"]() == 1


def test_each_query_has_its_own_gallery():
    assert summary(np.array([1, 2]), np.array([100, 199]))["recall_at_1pct"] == 50
    assert summary(np.array([1, 1]), np.array([10, 2]))["median_percentile"] == 15


def test_the_curve_ends_at_100_percent():
    found, guess = curve(np.array([1, 4]), np.array([4, 4]), np.array([1, 2, 4]))
    assert found.tolist() == [50, 50, 100]
    assert guess.tolist() == [25, 50, 100]
