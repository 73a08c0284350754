import numpy as np
import pytest
import torch
import torch.nn.functional as F

from witw.cvig.network.heads import correlate
from witw.cvig.search.compact import CELL_BYTES, Packing, pack_vectors


def columns(count, dim, headings, seed=0, rank=None):
    """Return columns that vary slowly around the ring, of approximately ``rank`` dimensions."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, rank or dim, headings // 4, generator=rng)
    code = coarse.repeat_interleave(4, dim=2)
    if rank:
        basis = torch.randn(dim, rank, generator=torch.Generator().manual_seed(9))
        code = basis @ code + 0.05 * torch.randn(count, dim, headings, generator=rng)
    return code * torch.rand(count, 1, 1, generator=rng).exp()


@pytest.mark.parametrize(
    ("dim", "headings", "vector", "bits", "kept"),
    [(24, 64, 256, 8, 24), (48, 64, 256, 4, 48), (128, 64, 256, 4, 55), (64, 64, 0, 4, 63)],
)
def test_a_cell_fits_and_its_scores_stay(dim, headings, vector, bits, kept):
    cells = columns(200, dim, headings, rank=12)
    packing = Packing.fit(columns(100, dim, headings, 1, rank=12).numpy(), vector)
    assert (packing.bits, packing.dim) == (bits, kept)
    packed = packing.pack(cells)
    assert packed.shape == (200, packing.size)
    assert packing.size + vector + 12 <= CELL_BYTES
    photos = cells[:20, :, 3:15] + 2 * torch.randn(20, dim, 12)
    mask = torch.ones(20, 12)
    exact = correlate(photos, mask, cells)
    found = correlate(packing.project(photos), mask, packing.unpack(packed).transpose(1, 2))
    for a, b in zip(exact.amax(dim=2), found.amax(dim=2), strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.98
    assert (found.amax(dim=2).argmax(1) == exact.amax(dim=2).argmax(1)).float().mean() >= 0.9


def test_equal_codes_pack_to_equal_bytes_and_zeros_to_a_constant():
    packing = Packing.fit(np.zeros((1, 48, 64)), 256)
    code = columns(3, 48, 64)
    assert (packing.pack(code) == packing.pack(code.clone())).all()
    flat = packing.unpack(packing.pack(torch.zeros(2, 48, 64)))
    assert flat.unique().numel() == 1


def test_packed_vectors_have_length_one():
    vectors = torch.randn(50, 96, generator=torch.Generator().manual_seed(3)) * 7
    whole, scale = pack_vectors(vectors)
    assert whole.dtype == np.int8
    again = torch.from_numpy(whole * scale[:, None])
    torch.testing.assert_close(again.norm(dim=1), torch.ones(50), atol=1e-5, rtol=0)
    assert F.cosine_similarity(again, vectors).min() > 0.9995
    none, scale = pack_vectors(torch.zeros(4, 0))
    assert none.shape == (4, 0)
    assert np.isfinite(scale).all()
