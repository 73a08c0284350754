"""Encode pictures, and rank every photo against every overhead code in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from witw.cvig import batches
from witw.cvig.batches import Batch
from witw.cvig.metrics import TIE
from witw.cvig.network.augment import Jitter
from witw.cvig.network.heads import best, correlate
from witw.cvig.network.model import Network, autocast
from witw.dataset.packed import Packed

PICTURES = 256  # encoded at a time
PHOTOS, CELLS = 64, 1024  # scored at a time: 64 x 1024 x 64 shifts are 17 MB
FLAT_PHOTOS, FLAT_CELLS = 1024, 8192  # the same for codes without headings: 34 MB
SCORES = 2**24  # of photos at cells held at a time: 67 MB


@dataclass(frozen=True)
class Codes:
    """Codes of a split's pairs, row by row, on the network's device."""

    photos: Tensor  # (N, D, w)
    masks: Tensor  # (N, w)
    chips: Tensor  # (N, D, W)

    def take(self, rows: NDArray[np.int64]) -> Codes:
        """Codes of some rows."""
        at = torch.from_numpy(rows).to(self.photos.device)
        return Codes(self.photos[at], self.masks[at], self.chips[at])


@dataclass(frozen=True)
class Ranking:
    """How each photo's own chip was found among the chips of its area."""

    rank: NDArray[np.int64]  # (N,)
    gallery: NDArray[np.int64]  # (N,)
    heading_deg: NDArray[np.float64]  # (N,) at the own chip


def encode_batch(
    network: Network, batch: Batch, jitter: Jitter | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Encode a batch under autocast.

    Args:
        network: on the batch's device.
        batch: ``b`` pairs.
        jitter: augmentation of each pair; default: none.

    Returns:
        Codes of the photos ``(b, D, w)``, their masks ``(b, w)``, codes of the chips ``(b, D, W)``.
    """
    with autocast(batch.photos.device):
        photo, mask = network.encode_photos(batch.photos, batch.sizes, jitter, batch.fov_deg)
        return photo, mask, network.encode_chips(batch.chips, jitter)


@torch.inference_mode()
def encode(
    network: Network, data: Packed, where: torch.device, rows: NDArray[np.int64] | None = None
) -> Codes:
    """Codes of a split's pairs, of all or of some rows."""
    network.eval()
    rows = np.arange(len(data)) if rows is None else rows
    parts = (rows[i : i + PICTURES] for i in range(0, len(rows), PICTURES))
    photos: list[Tensor] = []
    masks: list[Tensor] = []
    chips: list[Tensor] = []
    for batch in batches.ahead(batches.read(data, part) for part in parts):
        batch = batch.to(where)
        photo, mask, chip = encode_batch(network, batch)
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


@torch.inference_mode()
def find(codes: Codes, areas: NDArray[np.int64]) -> Ranking:
    """Rank every photo's own chip among the chips of its area, and say where the photo looks."""
    rank, gallery = np.zeros((2, len(areas)), np.int64)
    heading = np.zeros(len(areas))
    for area in np.unique(areas):
        rows = np.flatnonzero(areas == area)
        some = codes.take(rows)
        ranks, headings = rank_rows(some.photos, some.masks, some.chips)
        rank[rows], heading[rows], gallery[rows] = ranks, headings, len(rows)
    return Ranking(rank, gallery, heading)


@torch.inference_mode()
def rank_rows(
    photos: Tensor, masks: Tensor, chips: Tensor
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rank of chip i for photo i among all chips, as :func:`witw.cvig.metrics.rank_own` counts.

    Block by block: what is held beside the codes does not grow with their number.

    Args:
        photos: ``(N, D, w)``.
        masks: ``(N, w)``.
        chips: ``(N, D, W)``; with ``W = 1``, codes without headings, plain matrix products.

    Returns:
        Ranks ``(N,)`` and headings at the own chips [degrees] ``(N,)``.
    """
    flat = chips.shape[-1] == 1
    few, many = (FLAT_PHOTOS, FLAT_CELLS) if flat else (PHOTOS, CELLS)
    # Made at once: small arrays left between large freed ones would keep the heap from shrinking.
    ranks, headings = np.empty(len(photos), np.int64), np.empty(len(photos))
    for start in range(0, len(photos), few):
        part = slice(start, start + few)
        photo, mask = photos[part], masks[part]
        mine, heading = _own(photo, mask, chips[part])
        worst = torch.zeros(len(photo), dtype=torch.int64, device=photo.device)
        for at in range(0, len(chips), many):
            block = chips[at : at + many]
            # Not "at least as good": what is no number has to count against the model.
            worse = strongest(photo, mask, block) < (mine - TIE)[:, None]
            worst += len(block) - worse.sum(dim=1)
        ranks[part], headings[part] = worst.cpu().numpy(), heading.double().cpu().numpy()
    return ranks, headings


def strongest(photos: Tensor, masks: Tensor, cells: Tensor) -> Tensor:
    """Best score over headings of every photo at every cell, ``(P, C)`` float32; a block of both.

    A photo's score is its cosine with the cell's columns under it.
    """
    if cells.shape[-1] > 1:
        return correlate(photos, masks, cells).amax(dim=-1)
    photo = F.normalize((photos.float() * masks.float()[:, None]).flatten(1), dim=1)
    return photo @ F.normalize(cells.float().flatten(1), dim=1).T


def _own(photos: Tensor, masks: Tensor, chips: Tensor) -> tuple[Tensor, Tensor]:
    """Score and heading of each photo at its own chip, ``(P,)``."""
    if chips.shape[-1] == 1:
        pair = F.normalize((photos.float() * masks.float()[:, None]).flatten(1), dim=1)
        score = (pair * F.normalize(chips.float().flatten(1), dim=1)).sum(dim=1)
        return score, torch.zeros_like(score)
    scores, headings = best(correlate(photos, masks, chips), photos.shape[-1])
    return scores.diagonal(), headings.diagonal()


@torch.inference_mode()
def over_cells(
    photos: Tensor, masks: Tensor, cells: NDArray[np.float16]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Every photo's best score at every cell of an index, a few photos at a time.

    Args:
        photos: ``(P, D, w)``.
        masks: ``(P, w)``.
        cells: ``(C, D, W)``, as mapped from the stage ``index``.

    Yields:
        Which photos, and their scores ``(p, C)``: at most 16 million, or one photo's.
    """
    few = max(1, min(PHOTOS, SCORES // len(cells)))
    for start in range(0, len(photos), few):
        part = slice(start, min(start + few, len(photos)))
        photo, mask = photos[part], masks[part]
        scores = np.empty((len(photo), len(cells)), np.float32)
        for at in range(0, len(cells), CELLS):
            block = torch.from_numpy(np.array(cells[at : at + CELLS])).to(photo.device)
            scores[:, at : at + CELLS] = strongest(photo, mask, block.float()).cpu().numpy()
        yield part, scores


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
