"""Mine hard batches: pairs that look alike to the network but lie too far apart to match."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from witw.cvig import retrieval
from witw.cvig.retrieval import Codes
from witw.dataset.packed import Packed

POOL = 4096  # pairs among which clusters are sought: all against all are 16 million scores
BLOCK = 32  # photos scored at a time: 32 x 4096 x 64 shifts are 34 MB


def compose(
    rows: NDArray[np.int64],
    codes: Codes,
    data: Packed,
    batch: int,
    share: float,
    radius_m: float,
) -> NDArray[np.int64]:
    """Put an epoch's rows in an order in which every batch is part one hard cluster, part random.

    The random part keeps wrong geotags, which are hard for good reason, from ruling the gradients.

    Args:
        rows: of the epoch, in random order.
        codes: of all pairs, by the network as it is.
        data: the split.
        batch: pairs a batch.
        share: of a batch that is a cluster.
        radius_m: pairs nearer than this do not meet in a cluster.

    Returns:
        The same rows but for the rest that fills no batch.
    """
    count = len(rows) // batch
    size = round(share * batch)
    if size < 2 or count == 0:
        return rows
    hard, rest = np.split(rows[: count * batch], [count * size])
    pool = max(1, POOL // size) * size
    clusters = [
        cluster
        for start in range(0, len(hard), pool)
        for cluster in _partition(hard[start : start + pool], codes, data, size, radius_m)
    ]
    order = np.random.default_rng(rows[:1]).permutation(count)  # neighbours in time, not in kind
    parts = [np.concatenate([clusters[k], other]) for k, other in zip(
        order, np.split(rest, count), strict=True)]  # fmt: skip
    return np.concatenate(parts)


def _partition(
    rows: NDArray[np.int64], codes: Codes, data: Packed, size: int, radius_m: float
) -> list[NDArray[np.int64]]:
    """Divide rows into clusters of ``size``, each grown from a random pair.

    As Fervers et al. 2024: what is most like the cluster so far, and far from each of it, joins.
    """
    alike = likeness(codes, rows)
    positions = data.positions[rows]
    free = np.ones(len(rows), bool)
    clusters = []
    for _ in range(len(rows) // size):
        members: list[int] = []
        total, near = np.zeros(len(rows)), np.zeros(len(rows), bool)
        new = int(free.argmax())
        while True:
            members.append(new)
            free[new] = False
            if len(members) == size:
                break
            total += alike[new]
            near |= np.linalg.norm(positions - positions[new], axis=1) < radius_m
            # Where all that is left is near, the loss hides what does not teach.
            allowed = free & ~near if (free & ~near).any() else free
            new = int(np.where(allowed, total, -np.inf).argmax())
        clusters.append(rows[members])
    return clusters


@torch.inference_mode()
def likeness(codes: Codes, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """How much each pair's photo is like the other's chip, and the other way round, ``(P, P)``."""
    at = torch.from_numpy(rows).to(codes.photos.device)
    photos, masks, chips = codes.photos[at], codes.masks[at], codes.chips[at]
    parts = [
        retrieval.strongest(photos[k : k + BLOCK], masks[k : k + BLOCK], chips)
        for k in range(0, len(rows), BLOCK)
    ]
    scores = torch.cat(parts)
    return np.asarray((scores + scores.T).cpu().numpy() / 2, np.float32)
