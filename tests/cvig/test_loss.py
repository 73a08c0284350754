import math

import numpy as np
import pytest
import torch

from witw.cvig.loss import hidden, info_nce


def naive_loss(scores, scale, area, place, radius_m):
    """Masked symmetric InfoNCE, candidate by candidate."""
    n, total = len(scores), 0.0
    for i in range(n):
        for across in (False, True):
            terms = 0.0
            for j in range(n):
                near = area[i] == area[j] and math.dist(place[i], place[j]) < radius_m
                if i == j or not near:
                    terms += math.exp(scale * (scores[j, i] if across else scores[i, j]))
            total += math.log(terms) - scale * scores[i, i]
    return total / (2 * n)


@pytest.mark.parametrize("radius_m", [0.0, 60.0, 1e6])
def test_equals_a_naive_loop(radius_m):
    rng = np.random.default_rng(3)
    scores = rng.uniform(-1, 1, (12, 12))
    area = rng.integers(0, 2, 12)
    place = np.array([5e5, 5.4e6]) + rng.uniform(0, 200, (12, 2))
    hide = hidden(torch.from_numpy(area), torch.from_numpy(place), radius_m)
    found = info_nce(torch.from_numpy(scores), torch.tensor(7.0), hide)
    assert found.item() == pytest.approx(naive_loss(scores, 7.0, area, place, radius_m), rel=1e-9)


def test_hides_neighbours_of_the_same_area_only():
    area = torch.tensor([0, 0, 0, 1])
    place = torch.tensor([[0, 0], [59, 0], [61, 0], [0, 0]], dtype=torch.float64)
    expected = [[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert hidden(area, place, 60.0).int().tolist() == expected


def test_a_hidden_candidate_has_no_gradient():
    scores = torch.rand(3, 3, requires_grad=True)
    hide = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    info_nce(scores, torch.tensor(5.0), hide).backward()
    assert scores.grad[0, 1] == 0
    assert scores.grad[0, 2] > 0 > scores.grad[0, 0]
