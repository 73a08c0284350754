import numpy as np
import pytest
import torch

from witw.cvig.network.heads import (
    GlobalHead,
    OriginalHead,
    best,
    correlate,
    plain_score,
    resample,
    soft_score,
)


def naive(photo, mask, overhead):
    """Return the cosine of the seen columns at every shift, by loops."""
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


def test_unseen_columns_do_not_count():
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


def test_plain_score_is_the_cosine_at_the_originals_shift():
    """The shift has the largest product without normalisation; the overhead is cropped there."""
    rng = np.random.default_rng(2)
    photo, overhead = rng.normal(size=(3, 5, 4)), rng.normal(size=(2, 5, 9)) + 0.3
    found = plain_score(torch.tensor(photo), torch.ones(3, 4), torch.tensor(overhead))
    ring = np.concatenate([overhead, overhead], axis=2)
    differs = False
    for p in range(3):
        for c in range(2):
            crops = [ring[c, :, s : s + 4].ravel() for s in range(9)]
            best_shift = int(np.argmax([photo[p].ravel() @ crop for crop in crops]))
            cosines = [
                photo[p].ravel() @ crop / np.linalg.norm(photo[p]) / np.linalg.norm(crop)
                for crop in crops
            ]
            assert found[p, c].item() == pytest.approx(cosines[best_shift], abs=1e-6)
            differs |= best_shift != int(np.argmax(cosines))
    assert differs  # else any score would do


def test_resampling_preserves_the_ring():
    code = torch.randn(2, 3, 8)
    assert torch.equal(resample(code, 8, True), code)
    fine = resample(code, 32, True)
    torch.testing.assert_close(resample(code.roll(1, -1), 32, True), fine.roll(4, -1))
    assert not torch.allclose(
        resample(code.roll(1, -1), 32, False), resample(code, 32, False).roll(4, -1)
    )
    wave = torch.cos(torch.arange(64) * 2 * torch.pi / 64)[None, None]
    assert (resample(wave, 48, True).abs().max() - 1).abs() < 0.01
    straight = resample(torch.arange(4.0)[None, None], 8, False)[0, 0]
    assert straight.tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]


@pytest.mark.parametrize("pooling", ["attention", "gem"])
def test_the_global_head_ignores_position(pooling):
    torch.manual_seed(0)
    head = GlobalHead(16, 32, 0.0, pooling)
    features = torch.rand(2, 16, 5, 5)
    code = head(features)
    assert code.shape == (2, 32, 1)
    torch.testing.assert_close(head(features.flip(-1)), code)
    assert not torch.allclose(code[0], code[1])


def test_attention_pools_values_of_places():
    """By definition: each map's mean of the values of all places."""
    torch.manual_seed(3)
    head = GlobalHead(12, 8, 0.0, "attention", maps=4).eval()
    features = torch.randn(2, 12, 5, 7)
    places = head.norm(features.flatten(2).transpose(1, 2))
    weights, values = head.maps(places).softmax(dim=1), head.values(places)
    expected = [
        (weights[:, :, d // 2, None] * values[:, :, d : d + 1]).sum(dim=1) for d in range(8)
    ]
    torch.testing.assert_close(head(features)[..., 0], torch.cat(expected, dim=1))


def test_gem_with_power_one_is_the_mean():
    torch.manual_seed(0)
    head = GlobalHead(8, 16, 0.0, "gem")
    head.power.data.fill_(1.0)
    features = torch.rand(3, 8, 4, 4)
    expected = head.values(head.norm(features.mean(dim=(2, 3))))
    torch.testing.assert_close(head(features)[..., 0], expected)


def test_the_original_head_keeps_rows():
    head = OriginalHead(32, 4, 12, False)
    code = head(torch.rand(2, 32, 16, 12))
    assert code.shape == (2, OriginalHead.dim(16), 12) == (2, 64, 12)
    rows = head.layers(torch.ones(1, 32, 16, 12))  # 16 channels of 4 rows
    assert rows.shape == (1, 16, 4, 12)
