from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_pairs import write_pack

from witw.cvig.batches import draw, split
from witw.cvig.retrieval import Codes
from witw.cvig.training import mining
from witw.cvig.training.mining import Vectors
from witw.dataset.packed import Packed

KINDS, EACH = 8, 20


@pytest.fixture
def data(tmp_path):
    write_pack(tmp_path, KINDS * EACH, 1, aois=("a", "b"), spacing_m=10.0)
    return Packed.open(tmp_path)


@pytest.fixture
def codes():
    """Return pairs of eight kinds, every eighth pair of one kind; pairs of a kind look alike."""
    rng = torch.Generator().manual_seed(0)
    kinds = torch.randn(KINDS, 16, generator=rng).repeat(EACH, 1)
    noisy = kinds + 0.1 * torch.randn(len(kinds), 16, generator=rng)
    return Vectors(*[torch.nn.functional.normalize(noisy, dim=1)] * 2)


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
    assert np.mean(hard) > 0.75  # the last clusters take the rest
    assert np.mean(rest) < 0.45


def test_members_are_farther_apart_than_the_mask(data, codes):
    # Pairs of a kind are 80 m apart in a row of 1600 m, so each has a neighbour within 100 m.
    def closest(rows):
        apart = np.abs(data.places[rows, 0][:, None] - data.places[rows, 0])
        return np.where(~np.eye(len(rows), dtype=bool), apart, np.inf).min()

    free = [closest(rows[:5]) for rows in composed(data, codes, 0.0, 0.25)[1]]
    kept = [closest(rows[:5]) for rows in composed(data, codes, 100.0, 0.25)[1]]
    assert np.median(free) < 100 <= np.median(kept)
    assert sum(apart < 100 for apart in kept) <= 2  # the last clusters take the rest


def test_the_same_codes_give_the_same_order(data, codes):
    first, again = composed(data, codes)[1], composed(data, codes)[1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_nothing_changes_without_a_share_or_a_whole_batch(data, codes):
    rows, batches = composed(data, codes, share=0.0)
    assert np.array_equal(np.concatenate(batches), rows)
    rows = np.arange(5)
    assert np.array_equal(mining.compose(rows, codes, data, 20, 0.5, 60.0), rows)


def test_neighbours_follow_the_mean_of_both_directions(codes):
    rows = np.array([3, 40, 11, 12, 99])
    near, scores = mining.neighbours(codes, rows, 3)
    photos, chips = (np.asarray(v)[rows] for v in (codes.photos, codes.chips))
    alike = (photos @ chips.T + chips @ photos.T) / 2
    np.fill_diagonal(alike, -np.inf)
    for row in range(len(rows)):
        best = np.argsort(-alike[row])[:3]
        assert near[row].tolist() == best.tolist()
        assert np.allclose(scores[row], alike[row, best], atol=1e-6)


def test_blocks_do_not_change_the_neighbours(codes, monkeypatch):
    rows = np.arange(0, 160, 2)
    whole = mining.neighbours(codes, rows, 5)
    monkeypatch.setattr(mining, "SCORES", 7 * len(rows))
    for a, b in zip(whole, mining.neighbours(codes, rows, 5), strict=True):
        assert np.allclose(a, b, atol=1e-6)


def test_similar_pairs_meet_from_anywhere_in_the_epoch(tmp_path):
    """3,000 kinds of two pairs each: all twins meet, however far apart they were drawn."""
    write_pack(tmp_path, 4, 1)
    twins, kinds = 2, 3000
    rng = torch.Generator().manual_seed(1)
    alike = torch.nn.functional.normalize(torch.randn(kinds, 32, generator=rng)).repeat(twins, 1)
    data = SimpleNamespace(positions=np.arange(kinds * twins * 3.0).reshape(-1, 3) * 1e3)
    rows = np.random.default_rng(0).permutation(kinds * twins)
    order = mining.compose(rows, Vectors(alike, alike), data, twins, 1.0, 60.0)
    first, second = order.reshape(-1, twins).T % kinds
    assert np.array_equal(first, second)


def test_the_mean_of_columns_knows_no_heading():
    """A chip turned by some columns has the same vector; columns outside the photo do not count."""
    rng = torch.Generator().manual_seed(0)
    photos, chips = (torch.randn(3, 8, n, generator=rng) for n in (4, 16))
    masks = torch.tensor([[1.0, 1, 1, 1], [0, 1, 1, 0], [1, 1, 1, 1]])
    none = torch.zeros(3, 0)
    one = Vectors.of(Codes(photos, masks, chips, none, none))
    two = Vectors.of(Codes(photos, masks, chips.roll(5, dims=-1), none, none))
    assert torch.allclose(one.chips, two.chips, atol=1e-6)
    inner = torch.nn.functional.normalize(photos[1, :, 1:3].sum(dim=-1), dim=0)
    assert torch.allclose(one.photos[1], inner, atol=1e-6)


def test_the_networks_own_vectors_are_used_if_it_has_any():
    rng = torch.Generator().manual_seed(0)
    photos, chips = (torch.randn(3, 8, n, generator=rng) for n in (4, 16))
    mine, theirs = (torch.randn(3, 5, generator=rng) for _ in range(2))
    found = Vectors.of(Codes(photos, torch.ones(3, 4), chips, mine, theirs))
    assert torch.allclose(found.photos, torch.nn.functional.normalize(mine, dim=1))
    assert torch.allclose(found.chips, torch.nn.functional.normalize(theirs, dim=1))
