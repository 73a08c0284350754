"""Codes of cells in few bytes: vectors of 8 bits a value, columns of 8 or 4.

All scores are cosines, so a cell's own scale may go, and rounding is noise that a sum over some
hundred values averages out. What does not fit even so is projected onto fewer dimensions first:
those of the largest singular values of some cells' columns, which keep products best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CELL_BYTES = 2048  # of a cell: its number, scale, vector and columns
_FIXED = 12  # of its number and scale
# Step of the best even quantiser of 16 levels for a normal distribution, in spreads (Max 1960).
_STEP = 0.335


@dataclass(frozen=True)
class Packing:
    """How the columns of a network lie in bytes.

    Attributes:
        basis: ``(D', D)`` float32, orthonormal rows that columns are projected onto.
        headings: columns of a code, W.
        bits: of a value.
    """

    basis: NDArray[np.float32]
    headings: int
    bits: Literal[4, 8]

    @classmethod
    def fit(cls, sample: NDArray[np.floating], vector_dim: int) -> Packing:
        """Choose what keeps most of codes like these within :data:`CELL_BYTES`.

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
        # Turned at random, so that all values have much the same spread: 16 levels are for one.
        turn = np.linalg.qr(np.random.default_rng(0).normal(size=(len(kept), len(kept))))[0]
        return cls(np.ascontiguousarray(turn @ kept, np.float32), headings, 4)

    @staticmethod
    def must_see(sample: NDArray[np.floating], vector_dim: int) -> bool:
        """Whether :meth:`fit` looks at the values of the sample, not only at its shape."""
        room = CELL_BYTES - _FIXED - vector_dim
        return bool(sample.shape[1] * sample.shape[2] > 2 * room)

    @property
    def dim(self) -> int:
        """Values of a column, D'."""
        return len(self.basis)

    @property
    def size(self) -> int:
        """Bytes of a cell's columns."""
        return -(-self.dim * self.headings * self.bits // 8)

    def project(self, columns: Tensor) -> Tensor:
        """``(n, D, w)`` to ``(n, D', w)`` float32, of photos as of cells."""
        return torch.from_numpy(self.basis).to(columns.device) @ columns.float()

    def pack(self, columns: Tensor) -> NDArray[np.uint8]:
        """Columns ``(n, D, W)`` as bytes ``(n, size)``, heading after heading."""
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
        """Bytes ``(n, size)`` as columns ``(n, W, D')`` float32, up to a factor a cell."""
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
    """Vectors ``(n, V)`` as whole numbers, and the factors ``(n,)`` that make their length 1."""
    vectors = vectors.float()
    top = vectors.abs().amax(dim=1, keepdim=True).clamp(min=1e-20) if vectors.shape[1] else 1
    whole = (vectors * (127 / top)).round()
    length = whole.norm(dim=1).clamp(min=1e-20)
    return whole.to(torch.int8).cpu().numpy(), (1 / length).cpu().numpy().astype(np.float32)
