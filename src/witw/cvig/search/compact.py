"""Compress codes of cells: vectors with 8 bits per value, columns with 8 or 4 bits.

All scores are cosines, so the scale of a cell is irrelevant, and a sum over hundreds of values
averages out the rounding. Columns that still do not fit are first projected onto fewer dimensions:
those of the largest singular values of some cells' columns, which preserve products best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CELL_BYTES = 2048  # maximum per cell: number, scale, vector and columns
_FIXED = 12  # bytes of number and scale
# Step of the best even quantiser of 16 levels for a normal distribution, in spreads (Max 1960).
_STEP = 0.335


@dataclass(frozen=True)
class Packing:
    """Format of a network's compressed columns.

    Attributes:
        basis: ``(D', D)`` float32, orthonormal rows that columns are projected onto.
        headings: columns per code, W.
        bits: bits per value.
    """

    basis: NDArray[np.float32]
    headings: int
    bits: Literal[4, 8]

    @classmethod
    def fit(cls, sample: NDArray[np.floating], vector_dim: int) -> Packing:
        """Choose the most accurate packing of such codes within :data:`CELL_BYTES`.

        Args:
            sample: ``(n, D, W)`` columns of some cells.
            vector_dim: bytes taken by a cell's vector.
        """
        _, dim, headings = sample.shape
        room = CELL_BYTES - _FIXED - vector_dim
        if dim * headings <= room:
            return cls(np.eye(dim, dtype=np.float32), headings, 8)
        kept = np.eye(dim)
        if cls.must_see(sample, vector_dim):
            flat = sample.transpose(0, 2, 1).reshape(-1, dim).astype(np.float64)
            kept = np.linalg.eigh(flat.T @ flat)[1][:, ::-1][:, : 2 * room // headings].T
        # A random rotation equalizes the spread of all values, as the 16 levels require.
        turn = np.linalg.qr(np.random.default_rng(0).normal(size=(len(kept), len(kept))))[0]
        return cls(np.ascontiguousarray(turn @ kept, np.float32), headings, 4)

    @staticmethod
    def must_see(sample: NDArray[np.floating], vector_dim: int) -> bool:
        """Return whether :meth:`fit` needs the values of the sample, not only its shape."""
        room = CELL_BYTES - _FIXED - vector_dim
        return bool(sample.shape[1] * sample.shape[2] > 2 * room)

    @property
    def dim(self) -> int:
        """Number of values per column, D'."""
        return len(self.basis)

    @property
    def size(self) -> int:
        """Number of bytes of a cell's columns."""
        return -(-self.dim * self.headings * self.bits // 8)

    def project(self, columns: Tensor) -> Tensor:
        """Project columns of photos or cells from ``(n, D, w)`` to ``(n, D', w)`` float32."""
        return torch.from_numpy(self.basis).to(columns.device) @ columns.float()

    def pack(self, columns: Tensor) -> NDArray[np.uint8]:
        """Pack columns ``(n, D, W)`` into bytes ``(n, size)``, heading after heading."""
        values = self.project(columns).transpose(1, 2).flatten(1)
        if self.bits == 8:
            top = values.abs().amax(dim=1, keepdim=True).clamp(min=1e-20)
            whole = (values * (127 / top)).round().to(torch.int8).cpu().numpy()
            return np.asarray(whole.view(np.uint8))
        spread = values.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-20)
        levels = values.div_(_STEP * spread).floor_().clamp_(-8, 7).add_(8)
        codes = levels.to(torch.uint8).cpu().numpy()
        if codes.shape[1] % 2:
            codes = np.pad(codes, ((0, 0), (0, 1)))
        return np.asarray(codes[:, ::2] | codes[:, 1::2] << 4)

    def unpack(self, packed: NDArray[np.uint8]) -> Tensor:
        """Unpack bytes ``(n, size)`` to columns ``(n, W, D')`` float32, up to a factor per cell."""
        if self.bits == 8:
            values = torch.from_numpy(packed.view(np.int8).astype(np.float32))
        else:
            values = torch.from_numpy(_PAIRS[packed].view(np.float32))
        return values[:, : self.headings * self.dim].reshape(-1, self.headings, self.dim)


_LEVELS = np.arange(16, dtype=np.float32) - 7.5
# The two float32 values of each byte as one number of 64 bits: looked up in a seventh of the time.
_PAIRS = np.stack([_LEVELS[np.arange(256) & 15], _LEVELS[np.arange(256) >> 4]], axis=1).view(
    np.uint64
)[:, 0]


def pack_vectors(vectors: Tensor) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round vectors ``(n, V)`` to integers; return them with factors ``(n,)`` to length 1."""
    vectors = vectors.float()
    top = vectors.abs().amax(dim=1, keepdim=True).clamp(min=1e-20) if vectors.shape[1] else 1
    whole = (vectors * (127 / top)).round()
    length = whole.norm(dim=1).clamp(min=1e-20)
    return whole.to(torch.int8).cpu().numpy(), (1 / length).cpu().numpy().astype(np.float32)
