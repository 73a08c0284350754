"""Codes of many pictures, and every photo against every overhead code in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from witw.cvig import batches
from witw.cvig.batches import Packed
from witw.cvig.heads import best, correlate
from witw.cvig.metrics import rank_own
from witw.cvig.model import Network

PICTURES = 256  # encoded at a time
PHOTOS, CELLS = 64, 1024  # scored at a time: 64 x 1024 x 64 shifts are 17 MB


@dataclass(frozen=True)
class Codes:
    """Codes of a split's pairs, row by row, on the network's device."""

    photos: Tensor  # (N, D, w)
    masks: Tensor  # (N, w)
    chips: Tensor  # (N, D, W)


@dataclass(frozen=True)
class Found:
    """How each photo's own chip was found among the chips of its area."""

    rank: NDArray[np.int64]  # (N,)
    gallery: NDArray[np.int64]  # (N,)
    heading_deg: NDArray[np.float64]  # (N,) at the own chip


def autocast(where: torch.device) -> torch.autocast:
    """bfloat16 on a GPU, nothing on a CPU."""
    return torch.autocast(where.type, dtype=torch.bfloat16, enabled=where.type == "cuda")


@torch.inference_mode()
def encode(network: Network, data: Packed, where: torch.device) -> Codes:
    """Codes of all pairs of a split."""
    network.eval()
    rows = np.arange(len(data))
    parts = (rows[i : i + PICTURES] for i in range(0, len(rows), PICTURES))
    photos: list[Tensor] = []
    masks: list[Tensor] = []
    chips: list[Tensor] = []
    for batch in batches.ahead(batches.read(data, part) for part in parts):
        batch = batch.to(where)
        with autocast(where):
            photo, mask = network.encode_photos(batch.photos, batch.sizes)
            chip = network.encode_chips(batch.chips)
        for store, value in ((photos, photo), (masks, mask), (chips, chip)):
            store.append(value.float())
    return Codes(torch.cat(photos), torch.cat(masks), torch.cat(chips))


@torch.inference_mode()
def score(photos: Tensor, masks: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Best score and heading of every photo at every cell.

    Args:
        photos: ``(P, D, w)``, a few.
        masks: ``(P, w)``.
        cells: ``(C, D, W)``, any number.

    Returns:
        Scores and headings [degrees], each ``(P, C)`` float32.
    """
    parts = [
        best(correlate(photos, masks, cells[i : i + CELLS]), photos.shape[-1])
        for i in range(0, len(cells), CELLS)
    ]
    scores, headings = zip(*parts, strict=True)
    return torch.cat(scores, dim=1), torch.cat(headings, dim=1)


def by_area(codes: Codes, areas: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Every photo against all chips of its own area, a block of photos at a time.

    Yields:
        Rows of the photos ``(P,)``, position of each one's own chip ``(P,)``, and their scores and
        headings ``(P, chips of the area)``.
    """
    for area in np.unique(areas):
        rows = np.flatnonzero(areas == area)
        cells = codes.chips[torch.from_numpy(rows)]
        for start in range(0, len(rows), PHOTOS):
            some = rows[start : start + PHOTOS]
            at = torch.from_numpy(some)
            scores, headings = score(codes.photos[at], codes.masks[at], cells)
            own = np.arange(start, start + len(some))
            yield some, own, scores.cpu().numpy(), headings.cpu().numpy()


def find(codes: Codes, areas: NDArray[np.int64]) -> Found:
    """Rank every photo's own chip among the chips of its area."""
    rank, gallery = np.zeros((2, len(areas)), np.int64)
    heading = np.zeros(len(areas))
    for rows, own, scores, headings in by_area(codes, areas):
        rank[rows] = rank_own(scores, own)
        gallery[rows] = scores.shape[1]
        heading[rows] = headings[np.arange(len(rows)), own]
    return Found(rank, gallery, heading)


def fit_temperature(codes: Codes, areas: NDArray[np.int64]) -> float:
    """Temperature that makes ``softmax(score / T)`` over an area's chips likeliest for the own one.

    One scalar, as in temperature scaling (Guo et al. 2017), taken from a logarithmic row of 0.01
    to 0.5.
    """
    temperatures = np.geomspace(0.01, 0.5, 81)
    loss = np.zeros(len(temperatures))
    for rows, own, scores, _ in by_area(codes, areas):
        values = torch.from_numpy(scores).double()
        mine = values[torch.arange(len(rows)), torch.from_numpy(own)]
        for i, t in enumerate(temperatures):
            loss[i] += float((torch.logsumexp(values / t, dim=1) - mine / t).sum())
    return round(float(temperatures[loss.argmin()]), 6)
