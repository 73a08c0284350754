"""Augmentation on tensors: drawn on the CPU, applied where the pictures are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from witw.cvig.network.degrade import blur, grey, jpeg
from witw.settings.train import Train

JPEG_QUALITY = (30, 90)
BLUR_SIGMA = (0.3, 1.5)  # [px] of the packed picture


@dataclass(frozen=True)
class Jitter:
    """Random numbers of one batch."""

    shift: Tensor  # (B, 2) of the chip's centre, in half sides
    zoom: Tensor  # (B,) factor on distances
    turn_deg: Tensor  # (B,) where the chip's columns begin
    fov: Tensor  # (B,) factor on the field of view taken
    mirror: Tensor  # (B,) bool, both pictures
    photo_colour: Tensor  # (B, 2, 3) gain and offset of each channel
    chip_colour: Tensor  # (B, 2, 3)
    erase: Tensor  # (B, 2) first and last erased column, in widths; equal is none
    noise: Tensor  # (B,) int64, seeds of the dropout inside the towers
    crop_deg: Tensor  # (B,) field of view of the shown part of a photo; 360 is all [degrees]
    crop_at: Tensor  # (B,) where that part lies, -1 leftmost to 1
    photo_wear: Tensor  # (B, 3) JPEG quality, sigma of blur [px], whether grey; 0: not; or (B, 0)
    chip_wear: Tensor  # (B, 3) or (B, 0)

    def to(self, device: torch.device) -> Jitter:
        """Return the numbers on ``device``."""
        return Jitter(**{name: value.to(device) for name, value in vars(self).items()})

    def __getitem__(self, rows: slice) -> Jitter:
        """Return the numbers of some pairs."""
        return Jitter(**{name: value[rows] for name, value in vars(self).items()})


def draw(count: int, settings: Train, chip_m: float, seed: int) -> Jitter:
    """Draw the random numbers of a batch; a seed gives the same numbers on every device.

    Args:
        count: number of pairs in the batch.
        settings: ranges of the augmentation.
        chip_m: side of a chip on the ground [m].
        seed: seed of this step, so an interrupted run continues identically.
    """
    rng = torch.Generator().manual_seed(seed)

    def spread(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=rng) * 2 - 1

    def colour() -> Tensor:
        # Exposure and haze shift all channels; white balance shifts each channel, by half as much.
        both = settings.colour * (spread(2, 1) + 0.5 * spread(2, 3))
        return torch.stack([both[:, 0].exp(), both[:, 1] * 2], dim=1)

    def chosen(share: float) -> Tensor:
        return torch.rand(count, generator=rng) < share

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=rng)

    def worn() -> Tensor:
        if not (settings.jpeg or settings.blur or settings.grey):
            return torch.zeros(count, 0)
        quality = between(*JPEG_QUALITY).round() * chosen(settings.jpeg)
        sigma = between(*BLUR_SIGMA) * chosen(settings.blur)
        return torch.stack([quality, sigma, chosen(settings.grey).float()], dim=1)

    start = torch.rand(count, generator=rng)
    length = torch.rand(count, generator=rng) * 0.4
    length = length * (torch.rand(count, generator=rng) < settings.erase)
    return Jitter(
        shift=torch.randn(count, 2, generator=rng) * settings.shift_m / (chip_m / 2),
        zoom=1 + settings.zoom * spread(),
        # Headings are unknown, so all turns are equivalent. Columns are several pixels wide, and
        # the towers must not learn where they begin.
        turn_deg=180 * spread(),
        fov=1 + settings.fov_jitter * spread(),
        mirror=torch.rand(count, generator=rng) < 0.5,
        photo_colour=colour(),
        chip_colour=colour(),
        erase=torch.stack([start, start + length], dim=1),
        noise=torch.randint(2**62, (count,), generator=rng),
        crop_deg=torch.where(chosen(settings.fov_crop), between(*settings.fov_crop_deg), 360.0),
        crop_at=spread(),
        photo_wear=worn(),
        chip_wear=worn(),
    )


def wear(pictures: Tensor, how: Tensor) -> Tensor:
    """Blur, grey and compress ``(B, 3, h, w)``, 0 to 255, by the numbers of :class:`Jitter`."""
    if how.shape[1] == 0:
        return pictures
    quality, sigma, is_grey = how.unbind(1)
    return jpeg(grey(blur(pictures, sigma), is_grey > 0), quality)


def recolour(pictures: Tensor, colour: Tensor) -> Tensor:
    """Apply gain and offset, ``(B, 2, 3)``, to normalised ``(B, 3, h, w)``."""
    return pictures * colour[:, 0, :, None, None] + colour[:, 1, :, None, None]


def mirror(views: Tensor, which: Tensor) -> Tensor:
    """Flip the headings of some views.

    Photo and chip are mirrored together: a mirrored town is a town. Flipping the columns of a
    polar view is mirroring its chip east to west.
    """
    return torch.where(which[:, None, None, None], views.flip(-1), views)


def erase(views: Tensor, span: Tensor) -> Tensor:
    """Blank the columns of ``(B, 3, h, w)`` that lie in ``span`` ``(B, 2)``, in widths.

    Parts of a photo, such as a passer-by, a bus or a tree, are not in the imagery.
    """
    at = (torch.arange(views.shape[-1], device=views.device) + 0.5) / views.shape[-1]
    keep = (at[None] < span[:, :1]) | (at[None] >= span[:, 1:])  # (B, w)
    return views * keep[:, None, None, :]
