import numpy as np
import pytest
import torch
from made_pairs import write_pack

from witw.cvig.batches import draw, split
from witw.cvig.retrieval import Codes
from witw.cvig.training import mining
from witw.dataset.packed import Packed

KINDS, EACH = 8, 20


@pytest.fixture
def data(tmp_path):
    write_pack(tmp_path, KINDS * EACH, 1, aois=("a", "b"), spacing_m=10.0)
    return Packed.open(tmp_path)


@pytest.fixture
def codes():
    """Pairs of eight kinds, every eighth pair of one; those of a kind look alike."""
    rng = torch.Generator().manual_seed(0)
    kinds = torch.randn(KINDS, 16, generator=rng).repeat(EACH, 1)
    noisy = kinds + 0.1 * torch.randn(len(kinds), 16, generator=rng)
    none = torch.zeros(len(kinds), 0)
    return Codes(noisy[:, :, None], torch.ones(len(kinds), 1), noisy[:, :, None], none, none)


def composed(data, codes, radius_m=0.0, share=0.5, batch=20):
    rows = draw(data.buckets(0), 3, 5)
    return rows, split(mining.compose(rows, codes, data, batch, share, radius_m), batch)


def test_every_pair_is_taken_once(data, codes):
    rows, batches = composed(data, codes)
    assert len(batches) == KINDS * EACH // 20
    assert sorted(np.concatenate(batches)) == sorted(rows)


def test_half_a_batch_looks_alike_and_half_is_random(data, codes):
    _, batches = composed(data, codes)

    def purity(rows):
        return np.unique(rows % KINDS, return_counts=True)[1].max() / len(rows)

    hard = [purity(rows[:10]) for rows in batches]
    rest = [purity(rows[10:]) for rows in batches]
    assert np.mean(hard) > 0.75  # the last clusters take what is left
    assert np.mean(rest) < 0.45


def test_members_are_farther_apart_than_the_mask(data, codes):
    # Pairs of a kind lie 80 m apart in a row of 1600 m: within 100 m there is a neighbour.
    def closest(rows):
        apart = np.abs(data.places[rows, 0][:, None] - data.places[rows, 0])
        return np.where(~np.eye(len(rows), dtype=bool), apart, np.inf).min()

    free = [closest(rows[:5]) for rows in composed(data, codes, 0.0, 0.25)[1]]
    kept = [closest(rows[:5]) for rows in composed(data, codes, 100.0, 0.25)[1]]
    assert np.median(free) < 100 <= np.median(kept)
    assert sum(apart < 100 for apart in kept) <= 2  # the last clusters take what is left


def test_the_same_codes_give_the_same_order(data, codes):
    first, again = composed(data, codes)[1], composed(data, codes)[1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_nothing_changes_without_a_share_or_a_whole_batch(data, codes):
    rows, batches = composed(data, codes, share=0.0)
    assert np.array_equal(np.concatenate(batches), rows)
    rows = np.arange(5)
    assert np.array_equal(mining.compose(rows, codes, data, 20, 0.5, 60.0), rows)


def test_likeness_is_the_mean_of_both_ways(codes):
    rows = np.array([3, 40, 11])
    alike = mining.likeness(codes, rows)
    photos, chips = (
        torch.nn.functional.normalize(v[rows, :, 0]) for v in (codes.photos, codes.chips)
    )
    scores = photos @ chips.T
    assert np.allclose(alike, (scores + scores.T) / 2, atol=1e-5)
