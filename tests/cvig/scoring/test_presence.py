"""Whether a photo belongs to an area at all: detected if the scores show it, never just claimed."""

from dataclasses import asdict

import numpy as np
import pytest

from witw.cvig.scoring import presence
from witw.cvig.scoring.presence import Presence, auroc, signs

CELLS = 400


def scores(count, seed, here, lift=0.5):
    """Return scores of photos; photos taken in the area have one outstanding cell."""
    rng = np.random.default_rng(seed)
    out = rng.normal(0.3, 0.1, (count, CELLS))
    if here:
        out[np.arange(count), rng.integers(0, CELLS, count)] += rng.normal(lift, 0.05, count)
    return out


def maps(values, temperature=0.03):
    odds = np.exp((values - values.max(axis=1, keepdims=True)) / temperature)
    return odds / odds.sum(axis=1, keepdims=True)


def seen(count, seed, here, lift=0.5):
    values = scores(count, seed, here, lift)
    return signs(values, maps(values))


@pytest.fixture(scope="module")
def fitted():
    return presence.fit(seen(300, 1, True), seen(200, 2, False))


def test_outstanding_cells_are_detected(fitted):
    told = presence.figures(fitted, [seen(200, 3, True)], [seen(300, 4, False)])
    assert told["own"] == 200
    assert told["strangers"] == 300
    assert told["auroc"] > 0.9
    assert told["own_kept_pct"] == pytest.approx(95, abs=4)
    assert told["strangers_pct"] == pytest.approx(fitted.strangers_pct, abs=10)


def test_the_probability_is_honest(fitted):
    """Among equally many photos of both kinds, the share of own photos equals the probability."""
    values = fitted.probability(np.concatenate([seen(3000, 5, True), seen(3000, 6, False)]))
    own = np.arange(6000) < 3000
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        at = (values >= low) & (values < low + 0.2)
        assert own[at].mean() == pytest.approx(values[at].mean(), abs=0.08), low


def test_indistinguishable_photos_keep_even_odds():
    found = presence.fit(seen(300, 1, False), seen(300, 2, False))
    values = found.probability(seen(500, 3, False))
    assert values == pytest.approx(0.5, abs=0.2)
    assert values.mean() == pytest.approx(0.5, abs=0.02)
    assert found.strangers_pct > 80
    assert 0.4 < found.auroc < 0.6


def test_a_sign_reversed_by_one_city_is_ignored():
    """Strangers score higher by chance; no sign is used then, rather than its reverse."""
    found = presence.fit(seen(300, 1, False), seen(300, 2, True))
    assert set(found.weights) == {0.0}
    assert found.probability(seen(9, 3, True)) == pytest.approx(0.5, abs=1e-6)


def test_an_indoor_scene_is_hardly_ever_here(fitted):
    own, same = seen(200, 7, True), seen(200, 7, True)
    outdoor = fitted.probability(own)
    indoor = fitted.probability(same, np.ones(200, bool))
    assert (indoor < outdoor).all()
    odds = indoor / (1 - indoor) / (outdoor / (1 - outdoor))
    assert odds == pytest.approx(presence.INDOOR_ODDS, rel=1e-6)


def test_signs_match_their_names():
    values = np.array([[0.1, 0.2, 0.9, 0.0], [0.5, 0.5, 0.5, 0.5], [np.nan, 1, 2, 3]])
    flat = np.full((3, 4), 0.25)
    flat[0] = [0, 0, 1, 0]
    best, above, bits = signs(values, flat).T
    assert best == pytest.approx([0.9, 0.5, 0])
    assert above == pytest.approx([(0.9 - 0.3) / np.std([0.1, 0.2, 0.9, 0]), 0, 0])
    assert bits == pytest.approx([2, 0, 0])


def test_auroc_counts_pairs():
    own, others = np.array([0.1, 0.5, 0.5, 0.9]), np.array([0.5, 0.2, 0.9])
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in own for b in others]
    assert auroc(own, others) == pytest.approx(np.mean(pairs))
    assert np.isnan(auroc(own, others[:0]))


def test_the_fit_is_restored_from_its_file(fitted):
    told = asdict(fitted) | {"test": {}, "fitted_on": ["c"]}
    assert Presence.read(told) == fitted
    for damaged in ({**told, "weights": [1.0]}, {**told, "offset": "x"}, {"weights": [1, 2, 3]}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            Presence.read(damaged)


def test_without_test_photos_there_is_no_figure(fitted):
    told = presence.figures(fitted, [seen(5, 1, True)], [])
    assert (told["strangers"], told["auroc"], told["strangers_pct"]) == (0, None, None)
