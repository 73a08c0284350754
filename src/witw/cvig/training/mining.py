"""Mine hard batches: pairs that look alike to the network but lie too far apart to match.

The whole epoch is one pool. Each pair has two vectors, so comparing all pairs is a matrix product
in blocks; only the largest scores of each pair are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from witw.cvig import retrieval
from witw.cvig.network.towers import Network
from witw.cvig.retrieval import Codes
from witw.dataset.packed import Packed

ENCODED = 4096  # pairs whose columns are held in memory at a time
SCORES = 2**25  # scores held at a time: 134 MB
NEIGHBOURS = 64  # kept of each pair, or as many as a cluster has


@dataclass(frozen=True)
class Vectors:
    """One vector for each photo and each chip, of length 1, on the network's device."""

    photos: Tensor  # (N, V)
    chips: Tensor  # (N, V)

    @classmethod
    def of(cls, codes: Codes) -> Vectors:
        """Return the vectors of codes, or the mean of their columns, which ignores headings."""
        if codes.has_vectors:
            photos, chips = codes.photo_vectors.float(), codes.chip_vectors.float()
            return cls(F.normalize(photos, dim=1), F.normalize(chips, dim=1))
        photos = (codes.photos.float() * codes.masks.float()[:, None]).sum(dim=-1)
        chips = codes.chips.float().sum(dim=-1)
        return cls(F.normalize(photos, dim=1), F.normalize(chips, dim=1))


def describe(network: Network, data: Packed, where: torch.device) -> Vectors:
    """Compute the vectors of all pairs with the current network."""
    parts = []
    for start in range(0, len(data), ENCODED):
        rows = np.arange(start, min(start + ENCODED, len(data)))
        parts.append(Vectors.of(retrieval.encode(network, data, where, rows)))
    return Vectors(torch.cat([p.photos for p in parts]), torch.cat([p.chips for p in parts]))


def compose(
    rows: NDArray[np.int64],
    vectors: Vectors,
    data: Packed,
    batch: int,
    share: float,
    radius_m: float,
) -> NDArray[np.int64]:
    """Order an epoch's rows so that every batch is partly a hard cluster and partly random.

    The random part keeps mislabelled geotags, which are hard for good reason, from dominating the
    gradients.

    Args:
        rows: rows of the epoch, in random order.
        vectors: vectors of all pairs.
        data: the split.
        batch: pairs per batch.
        share: share of a batch that is a cluster.
        radius_m: minimum distance of pairs in a cluster.

    Returns:
        The same rows without an incomplete last batch.
    """
    count = len(rows) // batch
    size = round(share * batch)
    if size < 2 or count == 0:
        return rows
    hard, rest = np.split(rows[: count * batch], [count * size])
    near, scores = neighbours(vectors, hard, max(NEIGHBOURS, size))
    clusters = [hard[c] for c in _partition(near, scores, data.positions[hard], size, radius_m)]
    order = np.random.default_rng(rows[:1]).permutation(count)  # neighbours in time, not in kind
    parts = [np.concatenate([clusters[k], other]) for k, other in zip(
        order, np.split(rest, count), strict=True)]  # fmt: skip
    return np.concatenate(parts)


@torch.inference_mode()
def neighbours(
    vectors: Vectors, rows: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Find the pairs most similar to each pair, by the mean of photo-chip and chip-photo scores.

    Args:
        vectors: vectors of all pairs.
        rows: the pairs to compare, ``P``.
        count: number of neighbours of each pair.

    Returns:
        Positions in ``rows`` and scores, each ``(P, count)``, the best first.
    """
    at = torch.from_numpy(rows).to(vectors.photos.device)
    photos, chips = vectors.photos[at], vectors.chips[at]
    # The product of the concatenated vectors is the sum of both directions.
    one, other = torch.cat([photos, chips], dim=1), torch.cat([chips, photos], dim=1)
    few, count = max(1, SCORES // len(rows)), min(count, len(rows) - 1)
    near = np.empty((len(rows), count), np.int32)
    scores = np.empty((len(rows), count), np.float32)
    for start in range(0, len(rows), few):
        block = one[start : start + few] @ other.T / 2
        own = torch.arange(len(block), device=block.device)
        block[own, own + start] = -torch.inf
        best = block.topk(count, dim=1)
        scores[start : start + few] = best.values.cpu().numpy()
        near[start : start + few] = best.indices.cpu().numpy()
    return near, scores


def _partition(
    near: NDArray[np.int32],
    scores: NDArray[np.float32],
    positions: NDArray[np.float64],
    size: int,
    radius_m: float,
) -> list[NDArray[np.int64]]:
    """Divide pairs into clusters of ``size``, each grown from a random pair.

    As in Fervers et al. 2024, the pair that is most similar to the cluster and far from its members
    joins next.
    """
    free, total = np.ones(len(near), bool), np.zeros(len(near), np.float32)
    first, clusters = 0, []
    for _ in range(len(near) // size):
        while not free[first]:
            first += 1
        members, known = [first], np.empty(0, np.int32)
        free[first] = False
        while len(members) < size:
            new = members[-1]
            total[near[new]] += scores[new]
            fresh = near[new][free[near[new]]]
            fresh = fresh[_is_far(positions, fresh, members, radius_m)]
            known = np.union1d(known[_is_far(positions, known, [new], radius_m)], fresh)
            members.append(_next(total, known, free, positions, members, radius_m, first))
            free[members[-1]] = False
            known = known[known != members[-1]]
        total[near[members]] = 0
        clusters.append(np.array(members, np.int64))
    return clusters


def _next(
    total: NDArray[np.float32],
    known: NDArray[np.int32],
    free: NDArray[np.bool_],
    positions: NDArray[np.float64],
    members: list[int],
    radius_m: float,
    first: int,
) -> int:
    """Return the best known neighbour, or the first free pair, far from all members if possible."""
    if len(known):
        return int(known[total[known].argmax()])
    left = np.flatnonzero(free[first:]) + first
    far = left[_is_far(positions, left, members, radius_m)]
    # If all remaining pairs are near, the loss masks them.
    return int(far[0] if len(far) else left[0])


def _is_far(
    positions: NDArray[np.float64], some: NDArray[np.integer], others: list[int], radius_m: float
) -> NDArray[np.bool_]:
    """Return whether each of some pairs is at least the radius away from all others."""
    far = np.ones(len(some), bool)
    for one in others:
        away = positions[some] - positions[one]
        far &= (away * away).sum(axis=1) >= radius_m**2
    return far
