import math

import numpy as np
import pytest
import torch
from made_pairs import write_pack

from witw.cvig.batches import read
from witw.cvig.training.loss import chosen, false_negative_mask, info_nce, triplet
from witw.dataset.packed import Packed
from witw.settings.train import Train


def naive_loss(scores, scale, position, radius_m):
    """Compute masked symmetric InfoNCE, candidate by candidate."""
    n, total = len(scores), 0.0
    for i in range(n):
        for across in (False, True):
            terms = 0.0
            for j in range(n):
                near = math.dist(position[i], position[j]) < radius_m
                if i == j or not near:
                    terms += math.exp(scale * (scores[j, i] if across else scores[i, j]))
            total += math.log(terms) - scale * scores[i, i]
    return total / (2 * n)


@pytest.mark.parametrize("radius_m", [0.0, 60.0, 1e6])
def test_the_loss_equals_a_naive_loop(radius_m):
    rng = np.random.default_rng(3)
    scores = rng.uniform(-1, 1, (12, 12))
    position = np.array([4.2e6, 1.7e5, 4.8e6]) + rng.uniform(0, 200, (12, 3))
    hide = false_negative_mask(torch.from_numpy(position), radius_m)
    found = info_nce(torch.from_numpy(scores), torch.tensor(7.0), hide)
    assert found.item() == pytest.approx(naive_loss(scores, 7.0, position, radius_m), rel=1e-9)


def test_neighbours_are_hidden():
    position = torch.tensor([[0, 0, 0], [59, 0, 0], [61, 0, 0], [0, 0, 90]], dtype=torch.float64)
    expected = [[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert false_negative_mask(position, 60.0).int().tolist() == expected


@pytest.mark.parametrize("aois", [("a",), ("a", "b")])
def test_neighbours_of_two_areas_are_not_each_others_negatives(tmp_path, aois):
    """Photos are 40 m apart in a row, so the previous and the next one are within 60 m."""
    write_pack(tmp_path, 6, 0, aois=aois, spacing_m=40.0)
    batch = read(Packed.open(tmp_path), np.arange(6))
    apart = np.abs(np.arange(6)[:, None] - np.arange(6))
    assert false_negative_mask(batch.position, 60.0).numpy().tolist() == (apart == 1).tolist()


def test_a_hidden_candidate_has_no_gradient():
    scores = torch.rand(3, 3, requires_grad=True)
    hide = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    info_nce(scores, torch.tensor(5.0), hide).backward()
    assert scores.grad[0, 1] == 0
    assert scores.grad[0, 2] > 0 > scores.grad[0, 0]


def random_batch(n=9, seed=5):
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.uniform(-1, 1, (n, n)))
    hide = torch.from_numpy(rng.random((n, n)) < 0.3)
    return scores, (hide | hide.T).fill_diagonal_(False)


def test_decoupled_leaves_the_own_pair_out_of_the_sum():
    scores, hide = random_batch()
    total = 0.0
    for i in range(9):
        for row, out in ((scores[i], hide[i]), (scores[:, i], hide[:, i])):
            others = [math.exp(6 * row[j]) for j in range(9) if j != i and not out[j]]
            total += math.log(sum(others)) - 6 * row[i].item()
    found = info_nce(scores, torch.tensor(6.0), hide, decoupled=True)
    assert found.item() == pytest.approx(total / 18, rel=1e-9)


def test_smoothing_spreads_over_candidates_that_are_not_hidden():
    scores, hide = random_batch()
    total = 0.0
    for i in range(9):
        for row, out in ((scores[i], hide[i]), (scores[:, i], hide[:, i])):
            left = [j for j in range(9) if not out[j]]
            log_sum = math.log(sum(math.exp(6 * row[j]) for j in left))
            for j in left:
                target = 0.2 / len(left) + 0.8 * (j == i)
                total += target * (log_sum - 6 * row[j].item())
    found = info_nce(scores, torch.tensor(6.0), hide, smoothing=0.2)
    assert found.item() == pytest.approx(total / 18, rel=1e-9)


@pytest.mark.parametrize("decoupled", [False, True])
def test_a_pair_without_candidates_teaches_nothing(decoupled):
    scores = torch.rand(4, 4, requires_grad=True)
    hide = (torch.eye(4) == 0) & torch.tensor([True, False, False, False])
    hide = hide | hide.T
    found = info_nce(scores, torch.tensor(3.0), hide, 0.1, decoupled)
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[0, 1:] == 0).all()


def test_the_triplet_loss_equals_the_originals():
    """Over all negatives in both directions, with squared chords."""
    scores, hide = random_batch()
    terms = []
    for i in range(9):
        for j in range(9):
            if i != j and not hide[i, j]:
                other = 2 * (1 - scores[i, j].item())
                for own in (scores[i, i], scores[j, j]):
                    chord = 2 * (1 - own.item())
                    terms.append(math.log(1 + math.exp(10 * (chord - other))))
    found = triplet(scores, torch.tensor(1.0), hide, 10.0)
    assert found.item() == pytest.approx(sum(terms) / len(terms), rel=1e-9)


def test_the_settings_choose_the_loss():
    scores, hide = random_batch()
    scale = torch.tensor(4.0)
    cases = [
        (Train(loss="info_nce"), info_nce(scores, scale, hide)),
        (Train(loss="info_nce", label_smoothing=0.1), info_nce(scores, scale, hide, 0.1)),
        (Train(loss="decoupled"), info_nce(scores, scale, hide, decoupled=True)),
        (Train(loss="triplet", triplet_alpha=3.0), triplet(scores, scale, hide, 3.0)),
    ]
    values = [chosen(settings)(scores, scale, hide) for settings, _ in cases]
    assert len({value.item() for value in values}) == 4
    for value, (_, expected) in zip(values, cases, strict=True):
        assert value.item() == pytest.approx(expected.item())
