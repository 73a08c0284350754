"""Two-step search against every photo at every cell: floors, several photos, blocks."""

import numpy as np
import torch
import torch.nn.functional as F

from witw.cvig.metrics import rank_own
from witw.cvig.network.heads import best, correlate
from witw.cvig.network.model import Blend
from witw.cvig.network.towers import PhotoCode
from witw.cvig.retrieval import Codes
from witw.cvig.search import two_steps

BLEND = Blend(0.5, 0.05)
N, DIM, HEADINGS, WIDTH, VECTOR = 400, 8, 16, 4, 24


def made(seed=0, noise=1.5, photos=60):
    """Return cells, and photos of the first cells from heading 3 on."""
    rng = torch.Generator().manual_seed(seed)
    chips = torch.randn(N, DIM, HEADINGS, generator=rng)
    vectors = torch.randn(N, VECTOR, generator=rng)
    seen = chips[:photos, :, 3 : 3 + WIDTH]
    seen = seen + noise * torch.randn(photos, DIM, WIDTH, generator=rng)
    own = vectors[:photos] + noise * torch.randn(photos, VECTOR, generator=rng)
    mask = torch.ones(photos, WIDTH)
    mask[::3, 0] = 0
    empty = torch.zeros(N, DIM, WIDTH), torch.zeros(N, WIDTH)
    return PhotoCode(seen, mask, own), Codes(*empty, chips, torch.zeros(N, VECTOR), vectors)


def oracle(photos, cells):
    """Score every photo at every cell by the formula."""
    columns = correlate(photos.columns, photos.mask, cells.chips).amax(dim=2)
    cosine = F.normalize(photos.vector, dim=1) @ F.normalize(cells.chip_vectors, dim=1).T
    return ((columns + BLEND.weight * cosine) / (1 + BLEND.weight)).numpy()


def gathered(photos, cells, most=None):
    parts = [found for _, found in two_steps.scored(photos, cells, BLEND, most)]
    return (
        np.concatenate([p.values for p in parts]),
        np.concatenate([p.candidates for p in parts]),
        np.concatenate([p.heading_deg for p in parts]),
    )


def test_with_all_cells_as_candidates_scores_are_those_of_the_formula(monkeypatch):
    photos, cells = made()
    values, rows, heading = gathered(photos, cells)
    assert (rows == np.arange(N)).all()
    np.testing.assert_allclose(values, oracle(photos, cells), atol=1e-5)
    expected = best(correlate(photos.columns, photos.mask, cells.chips), WIDTH)[1]
    turn = (heading - expected.numpy() + 180) % 360 - 180
    assert np.abs(turn).max() < 0.1
    monkeypatch.setattr(two_steps, "CELLS", 33)
    monkeypatch.setattr(two_steps, "SCORES", 3 * N)
    for got, one in zip(gathered(photos, cells), (values, rows, heading), strict=True):
        np.testing.assert_allclose(got, one, atol=1e-4)


def test_candidates_keep_their_scores_and_the_rest_a_floor():
    photos, cells = made()
    exact = oracle(photos, cells)
    values, rows, _ = gathered(photos, cells, 50)
    assert rows.shape == (60, 50)
    np.testing.assert_allclose(
        np.take_along_axis(values, rows, 1), np.take_along_axis(exact, rows, 1), atol=1e-5
    )
    cosine, errors = cells.cosines(photos.vector), []
    for n in range(60):
        rest = np.setdiff1d(np.arange(N), rows[n])
        assert cosine[n, rest].max() <= cosine[n, rows[n]].min()
        # One number replaces the columns of all other cells.
        floor = values[n, rest] * (1 + BLEND.weight) - BLEND.weight * cosine[n, rest]
        assert np.ptp(floor) < 1e-5
        # For a map: approximately the mean of exponentials over the other cells.
        columns = exact[n, rest] * (1 + BLEND.weight) - BLEND.weight * cosine[n, rest]
        t = BLEND.temperature * (1 + BLEND.weight)
        true = t * (np.logaddexp.reduce(columns / t) - np.log(len(rest)))
        errors.append(floor[0] - true)
    assert np.abs(np.median(errors)) < 0.02
    assert np.abs(errors).max() < 0.15  # scores lie 0.5 apart


def test_ranks_of_two_steps_nearly_equal_exhaustive_ranks():
    photos, cells = made(noise=1.0)
    exact = rank_own(oracle(photos, cells), np.arange(60))
    found = rank_own(gathered(photos, cells, 100)[0], np.arange(60))
    for k in (1, 10):
        assert abs((found <= k).mean() - (exact <= k).mean()) <= 0.02
    assert (exact <= 1).mean() > 0.5


def test_photos_may_have_only_a_vector_or_only_columns():
    photos, cells = made()
    flat = Codes(cells.photos, cells.masks, cells.chips[..., :1], cells.photo_vectors,
                 cells.chip_vectors)  # fmt: skip
    values, _, heading = gathered(photos, flat, 30)
    np.testing.assert_allclose(values, cells.cosines(photos.vector), atol=1e-6)
    assert (heading == 0).all()
    none = torch.zeros(N, 0)
    bare = Codes(cells.photos, cells.masks, cells.chips, none, none)
    alone = PhotoCode(photos.columns, photos.mask, torch.zeros(60, 0))
    values, rows, _ = gathered(alone, bare, 30)
    assert rows.shape == (60, N)  # nothing finds candidates
    columns = correlate(photos.columns, photos.mask, cells.chips).amax(dim=2)
    np.testing.assert_allclose(values, columns.numpy(), atol=1e-5)


def of_one_place(noise, turns=(0.0, 90.0, 202.5, 270.0), seed=4, place=123):
    """Return photos of one cell with several headings, the first from column 3 on."""
    rng = torch.Generator().manual_seed(seed)
    _, cells = made()
    columns, vectors = [], []
    for turn in turns:
        rolled = cells.chips[place].roll(-3 - round(turn / 360 * HEADINGS), -1)[:, :WIDTH]
        columns.append(rolled + noise * torch.randn(DIM, WIDTH, generator=rng))
        vectors.append(cells.chip_vectors[place] + noise * torch.randn(VECTOR, generator=rng))
    code = PhotoCode(torch.stack(columns), torch.ones(len(turns), WIDTH), torch.stack(vectors))
    return code, cells, np.array(turns)


def test_several_photos_are_scored_by_their_mean():
    photos, cells, _ = of_one_place(1.0)
    found = two_steps.together(photos, cells, BLEND)
    np.testing.assert_allclose(found.values[0], oracle(photos, cells).mean(axis=0), atol=1e-5)
    one = two_steps.together(photos.some(slice(1)), cells, BLEND)
    np.testing.assert_allclose(one.values[0], gathered(photos.some(slice(1)), cells)[0][0])


def test_several_photos_find_a_place_that_one_does_not():
    alone, joined, tied, turned = [], [], [], []
    for seed in range(25):
        photos, cells, turns = of_one_place(2.5, seed=seed)
        alone.append(rank_own(gathered(photos.some(slice(1)), cells)[0], np.array([123]))[0])
        found = two_steps.together(photos, cells, BLEND)
        joined.append(rank_own(found.values, np.array([123]))[0])
        known = two_steps.together(photos, cells, BLEND, turns)
        tied.append(rank_own(known.values, np.array([123]))[0])
        turned.append(known.heading_deg[0, 123])
    assert np.median(joined) <= np.median(alone) / 2
    assert np.mean(tied) < np.mean(joined)
    expected = (3 + WIDTH / 2) * 360 / HEADINGS
    assert np.median(np.abs(np.array(turned) - expected)) < 12


def test_a_nan_affects_only_its_own_photo():
    photos, cells = made()
    photos.vector[4] = np.nan
    values = gathered(photos, cells, 50)[0]
    assert np.isnan(values[4]).all()
    assert np.isfinite(np.delete(values, 4, axis=0)).all()
