"""Encode pictures, and rank every photo against the chips of its area in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from witw.cvig import batches
from witw.cvig.batches import Batch
from witw.cvig.metrics import TIE, rank_own
from witw.cvig.network.augment import Jitter
from witw.cvig.network.heads import best, correlate
from witw.cvig.network.model import Blend, autocast
from witw.cvig.network.towers import ChipCode, Network, PhotoCode
from witw.cvig.search import two_steps
from witw.dataset.packed import Packed

PICTURES = 256  # encoded at a time
FITTED = 1000  # photos of an area that temperature and weight are fitted on
_WEIGHTS = np.array([0, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3])
_TEMPERATURES = np.geomspace(0.01, 0.5, 81)
PHOTOS, CELLS = 64, 1024  # scored at a time: 64 x 1024 x 64 shifts are 17 MB
FLAT_PHOTOS, FLAT_CELLS = 1024, 8192  # the same for codes without headings: 34 MB


@dataclass(frozen=True)
class Codes:
    """Codes of a split's pairs, row by row, on the network's device; a gallery of its chips."""

    photos: Tensor  # (N, D, w)
    masks: Tensor  # (N, w)
    chips: Tensor  # (N, D, W)
    photo_vectors: Tensor  # (N, V)
    chip_vectors: Tensor  # (N, V)

    def __len__(self) -> int:
        return len(self.chips)

    def take(self, rows: NDArray[np.int64]) -> Codes:
        """Return the codes of some rows."""
        at = torch.from_numpy(rows).to(self.photos.device)
        return Codes(**{name: value[at] for name, value in vars(self).items()})

    @property
    def photo_codes(self) -> PhotoCode:
        """Codes of the photos."""
        return PhotoCode(self.photos, self.masks, self.photo_vectors)

    @property
    def headings(self) -> int:
        """Number of columns of a chip; 0: chips have only a vector."""
        return self.chips.shape[-1] if self.chips.shape[-1] > 1 else 0

    @property
    def has_vectors(self) -> bool:
        """Whether chips have vectors."""
        return self.chip_vectors.shape[1] > 0

    def cosines(self, vectors: Tensor) -> NDArray[np.float32]:
        """Return the cosines of vectors ``(P, V)`` with those of all chips, ``(P, N)``."""
        photos, chips = (F.normalize(v.float(), dim=1) for v in (vectors, self.chip_vectors))
        return np.asarray((photos @ chips.T).cpu().numpy())

    def columns(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return columns ``(n, W, D)`` float32 of chips, and their squared lengths ``(n, W)``."""
        at = torch.from_numpy(rows).to(self.chips.device)
        return two_steps.with_energy(self.chips[at].float().transpose(1, 2))

    def project(self, columns: Tensor) -> Tensor:
        """Return the columns of photos unchanged, because chips are not compressed."""
        return columns.float()


@dataclass(frozen=True)
class Ranking:
    """Rank of each photo's own chip among the chips of its area."""

    rank: NDArray[np.int64]  # (N,)
    gallery: NDArray[np.int64]  # (N,)
    heading_deg: NDArray[np.float64]  # (N,) at the own chip


def encode_batch(
    network: Network, batch: Batch, jitter: Jitter | None = None
) -> tuple[PhotoCode, ChipCode]:
    """Encode a batch of ``b`` pairs under autocast.

    Args:
        network: on the batch's device.
        batch: the pairs.
        jitter: augmentation of each pair; default: none.
    """
    with autocast(batch.photos.device):
        photo = network.encode_photos(batch.photos, batch.sizes, jitter, batch.fov_deg)
        return photo, network.encode_chips(batch.chips, jitter)


@torch.inference_mode()
def encode(
    network: Network, data: Packed, where: torch.device, rows: NDArray[np.int64] | None = None
) -> Codes:
    """Encode a split's pairs, all or some rows."""
    network.eval()
    rows = np.arange(len(data)) if rows is None else rows
    parts = (rows[i : i + PICTURES] for i in range(0, len(rows), PICTURES))
    found: list[Codes] = []
    for batch in batches.ahead(batches.read(data, part) for part in parts):
        photo, chip = encode_batch(network, batch.to(where))
        # Columns as float16: 0.3 GB for 45,000 chips.
        found.append(
            Codes(
                photo.columns.half(), photo.mask, chip.columns.half(),
                photo.vector.float(), chip.vector.float(),
            )
        )  # fmt: skip
    names = [field.name for field in fields(Codes)]
    return Codes(**{name: torch.cat([getattr(f, name) for f in found]) for name in names})


@torch.inference_mode()
def find(codes: Codes, areas: NDArray[np.int64], blend: Blend) -> Ranking:
    """Rank every photo's own chip among the chips of its area, and estimate its heading."""
    rank, gallery = np.zeros((2, len(areas)), np.int64)
    heading = np.zeros(len(areas))
    for area in np.unique(areas):
        rows = np.flatnonzero(areas == area)
        some = codes.take(rows)
        rank[rows], heading[rows] = ranks(some, blend), own_headings(some)
        gallery[rows] = len(rows)
    return Ranking(rank, gallery, heading)


def ranks(codes: Codes, blend: Blend, most: int | None = None) -> NDArray[np.int64]:
    """Rank of chip i for photo i among all chips, as :func:`witw.cvig.metrics.rank_own` counts.

    Args:
        codes: ``N`` pairs.
        blend: weights of the two cosines.
        most: number of candidates; default: as in :mod:`witw.cvig.search.two_steps`.
    """
    if not codes.has_vectors or not codes.headings:
        return _whole_ranks(codes)
    out = np.empty(len(codes), np.int64)
    for part, found in two_steps.scored(codes.photo_codes, codes, blend, most):
        out[part] = rank_own(found.values, np.arange(part.start, part.stop))
    return out


@torch.inference_mode()
def _whole_ranks(codes: Codes) -> NDArray[np.int64]:
    """Rank as :func:`ranks`, for codes of one kind: compare photos and chips in blocks."""
    flat = codes.chips.shape[-1] == 1
    few, many = (FLAT_PHOTOS, FLAT_CELLS) if flat else (PHOTOS, CELLS)
    # Allocated at once: small arrays between large freed ones would fragment the heap.
    out = np.empty(len(codes), np.int64)
    for start in range(0, len(codes), few):
        part = slice(start, start + few)
        photo, mask = codes.photos[part], codes.masks[part]
        mine = _own(photo, mask, codes.chips[part])[0]
        worst = torch.zeros(len(photo), dtype=torch.int64, device=photo.device)
        for at in range(0, len(codes), many):
            block = codes.chips[at : at + many]
            # Not `>=`: a NaN must count against the model.
            worse = strongest(photo, mask, block) < (mine - TIE)[:, None]
            worst += len(block) - worse.sum(dim=1)
        out[part] = worst.cpu().numpy()
    return out


@torch.inference_mode()
def own_headings(codes: Codes) -> NDArray[np.float64]:
    """Return the heading of each photo at its own chip [degrees], ``(N,)``."""
    out = np.empty(len(codes))
    for start in range(0, len(codes), PHOTOS):
        part = slice(start, start + PHOTOS)
        own = _own(codes.photos[part], codes.masks[part], codes.chips[part])[1]
        out[part] = own.double().cpu().numpy()
    return out


def strongest(photos: Tensor, masks: Tensor, cells: Tensor) -> Tensor:
    """Return the best score over headings of a block of photos and cells, ``(P, C)`` float32.

    A photo's score is its cosine with the cell's columns under it.
    """
    if cells.shape[-1] > 1:
        return correlate(photos, masks, cells).amax(dim=-1)
    photo = F.normalize((photos.float() * masks.float()[:, None]).flatten(1), dim=1)
    return photo @ F.normalize(cells.float().flatten(1), dim=1).T


def _own(photos: Tensor, masks: Tensor, chips: Tensor) -> tuple[Tensor, Tensor]:
    """Return score and heading of each photo at its own chip, ``(P,)``."""
    if chips.shape[-1] == 1:
        pair = F.normalize((photos.float() * masks.float()[:, None]).flatten(1), dim=1)
        score = (pair * F.normalize(chips.float().flatten(1), dim=1)).sum(dim=1)
        return score, torch.zeros_like(score)
    scores, headings = best(correlate(photos, masks, chips), photos.shape[-1])
    return scores.diagonal(), headings.diagonal()


def learned_blend(network: Network) -> Blend:
    """Return the blend of a network in training: both cosines, scaled as in its losses."""
    scale = float(network.scale.detach())
    weight = float(network.vector_scale.detach()) / scale if network.has_both else 0.0
    return Blend(weight, 1 / (scale * (1 + weight)))


@torch.inference_mode()
def fit_blend(codes: Codes, areas: NDArray[np.int64]) -> Blend:
    """Fit weight and temperature by the likelihood of the own chips among their area's chips.

    Temperature scaling (Guo et al. 2017) of two cosines, on at most :data:`FITTED` photos and chips
    of each area.
    """
    loss = np.zeros((len(_WEIGHTS), len(_TEMPERATURES)))
    for area in np.unique(areas):
        rows = np.flatnonzero(areas == area)
        some = codes.take(rows[:: -(-len(rows) // FITTED)])
        vectors = torch.from_numpy(some.cosines(some.photo_vectors)).double()
        columns = torch.zeros_like(vectors)
        if some.headings:
            parts = (slice(i, i + PHOTOS) for i in range(0, len(some), PHOTOS))
            columns = torch.cat(
                [strongest(some.photos[p], some.masks[p], some.chips).double().cpu() for p in parts]
            )
        for n, weight in enumerate(_WEIGHTS):
            score = (columns + weight * vectors) / (1 + weight)
            score = vectors if not some.headings else score if some.has_vectors else columns
            for m, t in enumerate(_TEMPERATURES):
                loss[n, m] += float((torch.logsumexp(score / t, 1) - score.diagonal() / t).sum())
    n, m = divmod(int(loss.argmin()), len(_TEMPERATURES))
    return Blend(float(_WEIGHTS[n]), round(float(_TEMPERATURES[m]), 6))
