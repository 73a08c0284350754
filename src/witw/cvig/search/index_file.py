"""The index of an area: one safetensors file of its cells, written and read in blocks.

Tensors: ``cells`` (N,) int64, see :class:`witw.cvig.grid.Grid`; ``scales`` (N,) float32 and
``vectors`` (N, V) int8, their product of length 1; ``basis`` (D', D) float32 and ``columns``
(N, bytes) uint8, see :class:`witw.cvig.search.compact.Packing`. The metadata hold the grid, the
packing and the fingerprint of the network.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from witw import files
from witw.cvig.grid import Grid
from witw.cvig.network.model import Model
from witw.cvig.network.towers import ChipCode
from witw.cvig.search import two_steps
from witw.cvig.search.compact import Packing, pack_vectors
from witw.errors import UserError

BLOCK = 16_384  # vectors multiplied at a time
HELD = 2**28  # bytes of columns kept unpacked: 3 x 3 km at 28 m are 0.19 GB
_TYPES = {"int64": "I64", "float32": "F32", "int8": "I8", "uint8": "U8"}
_DTYPES = {name: np.dtype(dtype) for dtype, name in _TYPES.items()}
_GRID = ("epsg", "step_m", "west", "north", "rows", "columns")


@dataclass(frozen=True)
class Rows:
    """A tensor in a file, read by rows."""

    path: Path
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def some(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Read consecutive rows, or any rows.

        Raises:
            UserError: the file has been truncated since it was opened.
        """
        picked = rows.indices(self.shape[0])[:2] if isinstance(rows, slice) else None
        count = picked[1] - picked[0] if picked else len(rows)  # type: ignore[arg-type]
        out = np.empty((max(0, count), *self.shape[1:]), self.dtype)
        parts = out.reshape(1, out.size) if picked else out.reshape(len(out), out[:1].size)
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        starts = [picked[0]] if picked else rows.tolist()  # type: ignore[union-attr]
        with self.path.open("rb", buffering=0) as file:
            handle = file.fileno()
            for part, row in zip(parts, starts, strict=True):
                if os.preadv(handle, [part], self.offset + row * size) != part.nbytes:
                    raise UserError(f"{self.path} is not a whole index; delete it and run again.")
        return out


@dataclass(frozen=True)
class Index:
    """An area's cells on disk; a gallery of :mod:`witw.cvig.search.two_steps`.

    The file is read, not mapped: mapped pages count as memory of the process.
    """

    path: Path
    grid: Grid
    packing: Packing
    vectors: Rows  # (N, V) int8
    scales: Rows  # (N,) float32
    packed: Rows  # (N, bytes) uint8
    fingerprint: str  # fingerprint of the network
    rows: NDArray[np.int64] | None = None  # rows of the cells in the file; None: all

    @classmethod
    def open(cls, path: Path, model: Model | None = None) -> Index:
        """Open an index.

        Args:
            path: file written by :func:`writer`.
            model: model that the index must belong to.

        Raises:
            UserError: the file is not an index, damaged, or of another network.
        """
        try:
            about, tensors = _tensors(path)
            told = json.loads(about["witw"])
            cells = tensors["cells"].some(slice(None))
            grid = Grid(**{n: told["grid"][n] for n in _GRID}, cells=cells)
            basis = tensors["basis"].some(slice(None))
            packing = Packing(basis, told["headings"], told["bits"])
            found = cls(
                path, grid, packing, tensors["vectors"], tensors["scales"], tensors["columns"],
                told["network"],
            )  # fmt: skip
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not a whole index; delete it and run again.") from error
        if model is not None and found.fingerprint != model.fingerprint:
            raise UserError(
                f"{path} is of another model than this one; delete it and run again, or give the "
                "model that it was made with."
            )
        return found

    def __len__(self) -> int:
        return len(self.grid.cells)

    def take(self, some: NDArray[np.int64]) -> Index:
        """Return an index of some cells, in order of position, without reading."""
        rows = some if self.rows is None else self.rows[some]
        return replace(self, grid=replace(self.grid, cells=self.grid.cells[some]), rows=rows)

    @property
    def headings(self) -> int:
        """Number of columns of a cell; 0: cells have only a vector."""
        return self.packing.headings

    @property
    def has_vectors(self) -> bool:
        """Whether cells have vectors."""
        return self.vectors.shape[1] > 0

    def cosines(self, vectors: Tensor) -> NDArray[np.float32]:
        """Return cosines of vectors ``(P, V)`` with those of all cells, ``(P, N)``, in blocks."""
        photos = torch.nn.functional.normalize(vectors.float(), dim=1)
        out = np.empty((len(photos), len(self)), np.float32)
        for at in range(0, len(self), BLOCK):
            part = slice(at, at + BLOCK)
            rows = part if self.rows is None else self.rows[part]
            block = torch.from_numpy(self.vectors.some(rows).astype(np.float32)).to(photos.device)
            scale = torch.from_numpy(self.scales.some(rows)).to(photos.device)
            out[:, part] = ((photos @ block.T) * scale).cpu().numpy()
        return out

    def columns(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return columns ``(n, W, D')`` float32 of cells, and their squared lengths ``(n, W)``."""
        if self._held is not None:
            at = torch.from_numpy(rows)
            return self._held[0][at], self._held[1][at]
        rows = rows if self.rows is None else self.rows[rows]
        return two_steps.with_energy(self.packing.unpack(self.packed.some(rows)))

    @cached_property
    def _held(self) -> tuple[Tensor, Tensor] | None:
        """As :meth:`columns`, of all cells of a small area: otherwise unpacked for every photo."""
        if 4 * len(self) * self.packing.headings * self.packing.dim > HELD:
            return None
        rows = slice(0, len(self)) if self.rows is None else self.rows
        return two_steps.with_energy(self.packing.unpack(self.packed.some(rows)))

    def project(self, columns: Tensor) -> Tensor:
        """Project columns of photos ``(P, D, w)`` to those of the cells, ``(P, D', w)``."""
        return self.packing.project(columns)


@dataclass(frozen=True)
class Writer:
    """Writes blocks of cells, in any order, without holding them."""

    handle: int
    at: Mapping[str, tuple[int, int]]  # offset of each tensor and bytes of a cell
    packing: Packing

    def put(self, first: int, code: ChipCode) -> None:
        """Write the codes of the cells from position ``first`` on."""
        vectors, scales = pack_vectors(code.vector)
        parts = {"vectors": vectors, "scales": scales}
        if self.packing.size:
            parts["columns"] = self.packing.pack(code.columns)
        for name, values in parts.items():
            start, size = self.at[name]
            _write(self.handle, np.ascontiguousarray(values).tobytes(), start + first * size)


@contextmanager
def writer(path: Path, grid: Grid, packing: Packing, model: Model) -> Iterator[Writer]:
    """Open an index for writing; the file appears under its name when complete."""
    count, vector_dim = len(grid.cells), model.network.vector_dim
    shapes = {
        "cells": ((count,), "int64"),
        "scales": ((count,), "float32"),
        "basis": (packing.basis.shape, "float32"),
        "vectors": ((count, vector_dim), "int8"),
        "columns": ((count, packing.size), "uint8"),
    }
    told = {
        "grid": {name: getattr(grid, name) for name in _GRID},
        "headings": packing.headings,
        "bits": packing.bits,
        "network": model.fingerprint,
    }
    header: dict[str, Any] = {"__metadata__": {"witw": json.dumps(told, sort_keys=True)}}
    offset, at = 0, {}
    for name, (shape, dtype) in shapes.items():
        size = math.prod(shape) * np.dtype(dtype).itemsize
        header[name] = {
            "dtype": _TYPES[dtype],
            "shape": list(shape),
            "data_offsets": [offset, offset + size],
        }
        at[name] = offset, size // max(1, shape[0])
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    base = 8 + len(text)
    at = {name: (base + start, size) for name, (start, size) in at.items()}
    with files.atomic(path) as part:
        handle = os.open(part, os.O_RDWR)
        try:
            os.truncate(handle, base + offset)
            _write(handle, len(text).to_bytes(8, "little") + text, 0)
            _write(handle, grid.cells.astype(np.int64).tobytes(), at["cells"][0])
            _write(handle, packing.basis.tobytes(), at["basis"][0])
            yield Writer(handle, at, packing)
        finally:
            os.close(handle)


def _write(handle: int, data: bytes, offset: int) -> None:
    """Write all bytes to a plain file: pages of a mapped file would count as memory."""
    view = memoryview(data)
    while view:
        done = os.pwrite(handle, view, offset)
        view, offset = view[done:], offset + done


def _tensors(path: Path) -> tuple[dict[str, str], dict[str, Rows]]:
    """Read metadata and tensor positions of a safetensors file.

    Raises:
        ValueError: the file is not a safetensors file, or damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size, 1 << 20):
            raise ValueError("no header")
        header = json.loads(file.read(length))
    about, base, out = header.pop("__metadata__"), 8 + length, {}
    for name, entry in header.items():
        dtype, shape = _DTYPES[entry["dtype"]], tuple(entry["shape"])
        start, end = entry["data_offsets"]
        if end - start != math.prod(shape) * dtype.itemsize or base + end > size:
            raise ValueError(f"{name} is cut off")
        out[name] = Rows(path, base + start, dtype, shape)
    return about, out
