"""Memory that a worker of a ``DataLoader`` lends to its parent, and uses again when it is back.

New shared memory costs a page fault, and a cleared page, for each 4 kB: half as much time as the
decoding of the pictures in it.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

_MARK = 1  # bytes behind the values: 1 while the parent has them


class _Piece:
    """Shared memory of some size, for one tensor at a time."""

    def __init__(self, size: int) -> None:
        new = torch.UntypedStorage._new_shared  # as torch's own collating makes it
        storage = new(size + _MARK, device="cpu")  # type: ignore[no-untyped-call]
        self.size = size
        self.whole = torch.empty(0, dtype=torch.uint8).set_(storage)
        self.mark = self.whole[-_MARK:].numpy()
        self.is_here = False

    @property
    def is_free(self) -> bool:
        return not self.is_here and not self.mark[0]

    def tensor(self, shape: tuple[int, ...]) -> Tensor:
        """Return a tensor of this memory, which is free when its last tensor is gone."""
        values = self.whole.numpy()[: math.prod(shape)]
        self.is_here = True
        _at_end(values, self._end)
        return torch.from_numpy(values).view(shape)

    def _end(self) -> None:
        self.is_here = False


_pieces: list[_Piece] = []  # of this process


class Batch(dict[str, Any]):
    """A batch whose tensors go to the parent without a copy; a plain dict arrives."""


def space(shape: tuple[int, ...]) -> Tensor:
    """Return an uninitialised uint8 tensor; in a worker, its parent sees the memory."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    size = math.prod(shape)
    piece = next((one for one in _pieces if one.size >= size and one.is_free), None)
    if piece is None:
        piece = _Piece(size)
        _pieces.append(piece)
    return piece.tensor(shape)


def _lent(batch: Batch) -> tuple[Any, ...]:
    """Prepare a batch for another process: send each piece of memory once."""
    handed: dict[str, Any] = {}
    for name, value in batch.items():
        piece = _piece_of(value) if isinstance(value, Tensor) else None
        if piece is None or piece.mark[0]:
            handed[name] = value
            continue
        piece.mark[0] = 1
        handed[name] = _Lent(piece.whole, value.shape, value.stride(), value.storage_offset())
    return _received, (handed,)


class _Lent:
    """A tensor in a piece of memory, on its way."""

    def __init__(
        self, whole: Tensor, shape: Sequence[int], stride: Sequence[int], offset: int
    ) -> None:
        self.whole, self.shape, self.stride, self.offset = whole, shape, stride, offset

    def tensor(self) -> Tensor:
        """Return the tensor; its deletion gives the memory back."""
        values, mark = self.whole.numpy()[:-_MARK], self.whole[-_MARK:].numpy()
        _at_end(values, mark.fill, 0)
        return torch.from_numpy(values).as_strided(self.shape, self.stride, self.offset)


def _received(handed: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.tensor() if isinstance(value, _Lent) else value
        for name, value in handed.items()
    }


def _piece_of(tensor: Tensor) -> _Piece | None:
    start = tensor.untyped_storage().data_ptr()
    return next((one for one in _pieces if one.whole.data_ptr() == start), None)


def _at_end(values: NDArray[np.uint8], call: Any, *args: Any) -> None:
    """Call when the last tensor that shares an array's memory is gone; not at a process's end."""
    weakref.finalize(values, call, *args).atexit = False


ForkingPickler.register(Batch, _lent)
