"""Score photos at all cells of a gallery: vectors at every cell, columns at candidates.

A cell's score is the weighted mean of two cosines: that of its vector, and that of its columns at
the best heading. The latter is computed only for the candidates, the cells with the largest vector
cosines. For other cells it is replaced by the average of the worst candidates. All cells thus stay
comparable, and no cell is ruled out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import batched
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from witw.cvig.network.heads import best
from witw.cvig.network.model import Blend
from witw.cvig.network.towers import PhotoCode

CANDIDATES, SHARE = 2000, 0.02  # minimum number, and share of the cells
WORST = 0.25  # share of the candidates that stand for the cells beyond them
SCORES = 2**23  # scores held at a time: 34 MB
COSINES = 2**25  # cosines from one reading of the vectors: 134 MB
type _Found = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]
_NORMAL = 1.4826  # spread of a normal distribution by the median of its deviations
CELLS = 512  # whose columns are compared at a time: 6 MB of 48 x 64


class Gallery(Protocol):
    """Cells or chips to compare photos with."""

    def __len__(self) -> int: ...

    @property
    def headings(self) -> int:
        """Number of columns of each item; 0: none."""
        ...

    @property
    def has_vectors(self) -> bool:
        """Whether items have vectors."""
        ...

    def cosines(self, vectors: Tensor) -> NDArray[np.float32]:
        """Return the cosines of vectors ``(P, V)`` with those of all items, ``(P, N)``."""
        ...

    def columns(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return columns ``(n, W, D')`` float32 of items, and their squared lengths ``(n, W)``."""
        ...

    def project(self, columns: Tensor) -> Tensor:
        """Project columns of photos ``(P, D, w)`` to those of the items, ``(P, D', w)``."""
        ...


def with_energy(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return columns ``(n, W, D')`` and their squared lengths, ``(n, W)``."""
    return columns, torch.linalg.vector_norm(columns, dim=2).square()


@dataclass(frozen=True)
class Scores:
    """Scores of photos at all cells, and their headings at the candidates."""

    values: NDArray[np.float32]  # (P, N) in [-1, 1]
    candidates: NDArray[np.int64]  # (P, K) in order
    heading_deg: NDArray[np.float32]  # (P, K) of the photo's middle, clockwise from grid north

    def some(self, rows: slice) -> Scores:
        """Return the scores of some photos."""
        return Scores(self.values[rows], self.candidates[rows], self.heading_deg[rows])


def candidates_of(cells: int) -> int:
    """Return the number of candidates for a number of cells."""
    return min(cells, max(CANDIDATES, math.ceil(SHARE * cells)))


@torch.inference_mode()
def scored(
    photos: PhotoCode, gallery: Gallery, blend: Blend, most: int | None = None
) -> Iterator[tuple[slice, Scores]]:
    """Score photos one by one, a few at a time.

    Args:
        photos: codes of ``P`` photos.
        gallery: ``N`` cells.
        blend: weights of both cosines.
        most: number of candidates; default: :func:`candidates_of`.

    Yields:
        A range of photos and their scores: at most 8 million scores, or one photo.
    """
    few = max(1, SCORES // max(1, len(gallery)))
    many = max(few, COSINES // max(1, len(gallery)) // few * few)
    with _threads(photos) as pool:
        for start in range(0, len(photos.columns), many):
            block = photos.some(slice(start, start + many))
            cosines = gallery.cosines(block.vector) if gallery.has_vectors else None

            def one(n: int, block: PhotoCode = block, cosines: Any = cosines) -> _Found:
                photo = block.some(slice(n, n + 1))
                return _one(photo, None if cosines is None else cosines[n], gallery, blend, most)

            for some in batched(range(len(block.columns)), few):
                found = zip(*pool.map(one, some), strict=True)
                part = slice(start + some[0], start + some[-1] + 1)
                yield part, Scores(*(np.stack(values) for values in found))


@contextmanager
def _threads(photos: PhotoCode) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads that score one photo each: within a photo, torch parallelizes half.

    Each thread gives torch one thread. A GPU needs only one.
    """
    threads = torch.get_num_threads()
    count = 1 if photos.columns.is_cuda else threads
    try:
        with ThreadPoolExecutor(count, "score", torch.set_num_threads, (1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)  # torch keeps the last number for threads yet to come


@torch.inference_mode()
def together(
    photos: PhotoCode, gallery: Gallery, blend: Blend,
    turn_deg: NDArray[np.floating] | None = None, most: int | None = None,
) -> Scores:  # fmt: skip
    """Score several photos of one place as one query, by the mean of their scores.

    Args:
        photos: codes of ``P`` photos of one place.
        gallery: ``N`` cells.
        blend: weights of both cosines.
        turn_deg: ``(P,)`` heading of each photo minus that of the first, clockwise [degrees];
            default: headings are independent.
        most: number of candidates; default: :func:`candidates_of`.

    Returns:
        One row of values, with the headings of the first photo.
    """
    cosines = None
    if gallery.has_vectors:
        cosines = np.asarray(gallery.cosines(photos.vector).mean(axis=0), np.float32)
    values, rows, heading = _one(photos, cosines, gallery, blend, most, turn_deg)
    return Scores(values[None], rows[None], heading[None])


@torch.inference_mode()
def headings(photos: PhotoCode, gallery: Gallery, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the heading of each photo at some cells, ``(P, n)`` [degrees]."""
    if not gallery.headings:
        return np.zeros((len(photos.columns), len(rows)), np.float32)
    parts = [
        best(_correlations(photos, gallery, rows[at : at + CELLS]), photos.columns.shape[-1])[1]
        for at in range(0, len(rows), CELLS)
    ]
    return np.asarray(torch.cat(parts, dim=1).float().cpu().numpy())


@torch.inference_mode()
def _one(
    photos: PhotoCode, cosines: NDArray[np.float32] | None, gallery: Gallery, blend: Blend,
    most: int | None, turn_deg: NDArray[np.floating] | None = None,
) -> _Found:  # fmt: skip
    """Return values ``(N,)``, candidates ``(K,)`` and their headings of one query."""
    if cosines is not None and not gallery.headings:
        rows = _largest(cosines, most or candidates_of(len(cosines)))
        return cosines, rows, np.zeros(len(rows), np.float32)
    count = len(gallery)
    rows = np.arange(count)
    if cosines is not None:
        rows = _largest(cosines, most or candidates_of(count))
    scores, heading = _by_columns(photos, gallery, rows, turn_deg)
    if cosines is None:
        return scores, rows, heading
    values = np.full(count, _floor(scores, cosines[rows], blend), np.float32)
    values[rows] = scores
    values += np.float32(blend.weight) * cosines
    values /= np.float32(1 + blend.weight)
    return values, rows, heading


def _largest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the positions of the largest values, in order of position."""
    if count >= len(values):
        return np.arange(len(values))
    return np.sort(np.argpartition(-values, count - 1)[:count]).astype(np.int64)


def _by_columns(
    photos: PhotoCode, gallery: Gallery, rows: NDArray[np.int64],
    turn_deg: NDArray[np.floating] | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Return the photos' mean score at some cells, and the first photo's heading, each ``(n,)``."""
    width = photos.columns.shape[-1]
    scores, found = [], []
    for at in range(0, len(rows), CELLS):
        correlation = _correlations(photos, gallery, rows[at : at + CELLS])  # (P, n, W)
        if turn_deg is None:
            score, heading = best(correlation, width)
            score, heading = score.mean(dim=0), heading[0]
        else:
            score, heading = best(_turned(correlation, turn_deg).mean(dim=0), width)
        scores.append(score)
        found.append(heading)
    both = torch.stack([torch.cat(scores), torch.cat(found)]).float().cpu().numpy()
    return both[0], both[1]


def _turned(correlation: Tensor, turn_deg: NDArray[np.floating]) -> Tensor:
    """Shift correlations ``(P, n, W)`` to the first photo's heading, by linear interpolation."""
    size = correlation.shape[-1]
    out = []
    for one, turn in zip(correlation, turn_deg, strict=True):
        steps = float(turn) / 360 * size
        low = math.floor(steps)
        out.append(torch.lerp(one.roll(-low, -1), one.roll(-low - 1, -1), steps - low))
    return torch.stack(out)


def _correlations(photos: PhotoCode, gallery: Gallery, rows: NDArray[np.int64]) -> Tensor:
    """Return ``heads.correlate``, ``(P, n, W)``, by plain matrix products."""
    mask = photos.mask.float()
    photo = gallery.project(photos.columns * photos.mask[:, None])
    photo = F.normalize(photo.flatten(1), dim=1).view_as(photo)  # (P, D', w)
    cells, energy = (v.to(photo.device) for v in gallery.columns(rows))  # (n, W, D'), (n, W)
    out = []
    for one, seen in zip(photo, mask, strict=True):
        products = cells @ one  # (n, W, w)
        dots = products[..., 0]
        under = seen[0] * energy
        for column in range(1, products.shape[-1]):
            dots = dots + products[..., column].roll(-column, 1)
            under = under + seen[column] * energy.roll(-column, 1)
        out.append(dots / (under + 1e-12).sqrt())
    return torch.stack(out)


def _floor(scores: NDArray[np.float32], cosines: NDArray[np.float32], blend: Blend) -> float:
    """Return the column score for cells that are not candidates, from the worst candidates.

    A map weighs cells by exponentials, so the mean of exponentials counts: ``m + s^2 / 2 t`` of a
    normal distribution. Median and median deviation give ``m`` and ``s``, because the photo's own
    place may be among the worst candidates.

    Args:
        scores: ``(K,)`` column scores of the candidates.
        cosines: ``(K,)`` vector cosines of the candidates.
        blend: weights and temperature.
    """
    count = max(1, round(WORST * len(cosines)))
    worst = scores[np.argpartition(cosines, count - 1)[:count]].astype(np.float64)
    middle = float(np.median(worst))
    spread = _NORMAL * float(np.median(np.abs(worst - middle)))
    return middle + spread**2 / (2 * blend.temperature * (1 + blend.weight))
