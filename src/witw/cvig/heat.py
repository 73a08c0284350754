"""Heat map of a photo, or of several photos of one place, over an area's cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from witw.cvig.network.model import Model, autocast, device
from witw.cvig.network.towers import PhotoCode
from witw.cvig.scoring.calibration import Calibration, chances, sharpened
from witw.cvig.scoring.localization import likeliest
from witw.cvig.search import two_steps
from witw.cvig.search.index_file import Index
from witw.cvig.search.two_steps import Scores

NAMED = 20  # places whose headings are known, candidates or not


@dataclass(frozen=True)
class Heat:
    """What the network says of every cell.

    Attributes:
        probability: ``(N,)``, sums to 1.
        heading_deg: ``(N,)`` of the first photo's middle, clockwise from grid north; NaN at cells
            that are neither candidates nor among the :data:`NAMED` likeliest places [degrees].
        score: ``(N,)`` float32, see :mod:`witw.cvig.search.two_steps`.
    """

    probability: NDArray[np.float64]
    heading_deg: NDArray[np.float64]
    score: NDArray[np.float32]

    @property
    def order(self) -> NDArray[np.int64]:
        """Cells by decreasing probability; ties keep their order."""
        return np.argsort(-self.probability, kind="stable")


@torch.inference_mode()
def encode_photos(
    model: Model,
    photos: Sequence[NDArray[np.uint8]],
    sizes: Sequence[tuple[int, int]],
    fov_deg: Sequence[float],
) -> PhotoCode:
    """Encode photos.

    Args:
        model: network.
        photos: each ``(photo_px, photo_px, 3)``, centred in its square.
        sizes: width and height inside the square [px].
        fov_deg: field of view along each photo's long side, NaN if unknown [degrees].
    """
    where = device()
    pixels = torch.from_numpy(np.stack(photos)).to(where)
    inside, known = torch.tensor(sizes, device=where), torch.tensor(fov_deg, device=where)
    with autocast(where):
        code = model.network.encode_photos(pixels, inside, fov_deg=known)
    return PhotoCode(*(value.float() for value in code))


def heat(
    model: Model,
    photos: PhotoCode,
    index: Index,
    calibration: Calibration,
    turn_deg: NDArray[np.floating] | None = None,
) -> Heat:
    """Compute the map of one photo, or of several photos of one place.

    Args:
        model: network.
        photos: codes from :func:`encode_photos`.
        index: the area's cells.
        calibration: temperature and blur.
        turn_deg: ``(P,)`` heading of each photo minus that of the first, if known [degrees].
    """
    found = two_steps.together(photos, index, model.blend, turn_deg)
    probability = chances(found.values, index.grid, sharpened(calibration, len(photos.mask)))[0]
    first = photos.some(slice(1))
    likely = likeliest(probability, index.grid, NAMED)
    return Heat(probability, headings(first, index, found, likely)[0], found.values[0])


def headings(
    photos: PhotoCode, index: Index, found: Scores, likely: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return headings of photos ``(P, N)``, NaN at cells that are neither candidates nor likely.

    A blurred map may be highest between candidates.

    Args:
        photos: codes of ``P`` photos.
        index: ``N`` cells.
        found: scores of these photos: one row per photo, or one row for all.
        likely: cells that are likely by the map, see :func:`likeliest`.
    """
    out = np.full((len(photos.columns), len(index)), np.nan)
    if len(found.values) == len(out):
        np.put_along_axis(out, found.candidates, found.heading_deg, axis=1)
    likely = np.sort(likely)
    missing = likely[np.isnan(out[:, likely]).any(axis=0)]
    if len(missing):
        out[:, missing] = two_steps.headings(photos, index, missing)
    return out
