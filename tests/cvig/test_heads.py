import numpy as np
import pytest
import torch

from witw.cvig.heads import best, correlate, soft_score


def naive(photo, mask, overhead):
    """Cosine of the seen columns at every shift, by loops."""
    out = np.zeros((len(photo), len(overhead), overhead.shape[2]))
    for p in range(len(photo)):
        seen = [k for k in range(photo.shape[2]) if mask[p, k]]
        for c in range(len(overhead)):
            for s in range(overhead.shape[2]):
                g = np.concatenate([photo[p, :, k] for k in seen])
                o = np.concatenate([overhead[c, :, (s + k) % overhead.shape[2]] for k in seen])
                out[p, c, s] = g @ o / np.linalg.norm(g) / np.linalg.norm(o)
    return out


def test_correlation_equals_cosines_of_every_window():
    rng = np.random.default_rng(0)
    photo, overhead = rng.normal(size=(3, 5, 4)), rng.normal(size=(2, 5, 9))
    mask = np.array([[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 1, 0]], float)
    found = correlate(*(torch.from_numpy(v) for v in (photo, mask, overhead)))
    np.testing.assert_allclose(found.numpy(), naive(photo, mask, overhead), atol=1e-5)


def test_what_a_photo_does_not_see_does_not_count():
    rng = torch.Generator().manual_seed(0)
    photo = torch.randn(1, 4, 3, generator=rng)
    overhead = torch.randn(2, 4, 8, generator=rng)
    mask = torch.tensor([[0.0, 1.0, 1.0]])
    other = photo.clone()
    other[:, :, 0] = 1e3
    torch.testing.assert_close(correlate(photo, mask, overhead), correlate(other, mask, overhead))


@pytest.mark.parametrize("turn", [0, 3, 15])
def test_rolling_the_overhead_code_rolls_the_heading(turn):
    rng = torch.Generator().manual_seed(1)
    overhead = torch.randn(1, 8, 16, generator=rng)
    photo = overhead[:, :, 5:9]
    score, heading = best(correlate(photo, torch.ones(1, 4), overhead.roll(turn, -1)), 4)
    assert score.item() == pytest.approx(1, abs=1e-5)
    # Columns 5 to 8 of 16: their middle is at 7/16 of the circle; refined by under half a column.
    error = (heading.item() - 360 * (7 + turn) / 16 + 180) % 360 - 180
    assert abs(error) <= 11.25


def test_heading_is_exact_where_the_peak_is_symmetric():
    scores = torch.tensor([[0.1, 0.5, 0.9, 0.5, 0.1, 0.0, 0.0, 0.0]])
    _, heading = best(scores, 2)
    assert heading.item() == pytest.approx(360 * (2 + 1) / 8)


def test_soft_score_is_a_lower_bound_that_is_tight_for_a_constant():
    flat = torch.full((1, 1, 32), 0.3)
    assert soft_score(flat).item() == pytest.approx(0.3, abs=1e-6)
    peak = torch.zeros(1, 1, 32)
    peak[..., 7] = 1.0
    assert 0.8 < soft_score(peak).item() < 1.0
