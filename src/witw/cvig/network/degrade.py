"""Degradations of published pictures, on any device: JPEG compression, blur, greyscale."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 8  # side of JPEG's blocks [px]
# Quantisation of luminance and chrominance, ITU-T T.81, tables K.1 and K.2.
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# Rec. 601, as in JFIF: luminance, and two colour differences.
LUMA = (0.299, 0.587, 0.114)
TO_YCC = (LUMA, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
BLUR_PX = 4  # reach of the blur


def jpeg(pictures: Tensor, quality: Tensor) -> Tensor:
    """Simulate the JPEG compression of libjpeg, without chroma subsampling.

    Args:
        pictures: ``(B, 3, h, w)``, 0 to 255.
        quality: ``(B,)`` 1 to 100; 0 leaves a picture as it is.

    Returns:
        ``(B, 3, h, w)``, 0 to 255.
    """
    _, _, rows, columns = pictures.shape
    turn = pictures.new_tensor(TO_YCC)
    offset = pictures.new_tensor([0.0, 128.0, 128.0])[:, None, None]
    # Values are rounded at every step at which libjpeg stores bytes.
    colours = (torch.einsum("ij,bjhw->bihw", turn, pictures.round()) + offset).round()
    padding = (0, -columns % SIDE, 0, -rows % SIDE)
    blocks = F.pad(colours - 128, padding, mode="replicate")
    blocks = blocks.unfold(2, SIDE, SIDE).unfold(3, SIDE, SIDE)  # (B, 3, h / 8, w / 8, 8, 8)
    cosines = _cosines(pictures)
    step = _steps(pictures, quality)[:, :, None, None]
    values = (cosines @ blocks @ cosines.T / step).round() * step
    blocks = cosines.T @ values @ cosines
    # ``(B, 3, h / 8, 8, w / 8, 8)`` to rows and columns.
    whole = blocks.permute(0, 1, 2, 4, 3, 5).reshape(*pictures.shape[:2], rows + padding[3], -1)
    colours = (whole[..., :rows, :columns] + 128).round().clamp(0, 255) - offset
    out = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(turn), colours).round().clamp(0, 255)
    return torch.where((quality > 0)[:, None, None, None], out, pictures)


def _cosines(like: Tensor) -> Tensor:
    """Return the orthonormal cosine transform of eight values, ``(8, 8)``."""
    at = torch.arange(SIDE, device=like.device)
    angle = math.pi / SIDE * (at[None] + 0.5) * at[:, None]
    basis = angle.cos() * math.sqrt(2 / SIDE)
    basis[0] /= math.sqrt(2)
    return basis.to(like.dtype)


def _steps(like: Tensor, quality: Tensor) -> Tensor:
    """Return the quantisation steps ``(B, 3, 8, 8)`` of qualities (jpeg_quality_scaling)."""
    tables = like.new_tensor([LUMINANCE, CHROMINANCE, CHROMINANCE])
    quality = quality.to(like).clamp(min=1)
    scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    steps = ((tables[None] * scale[:, None, None, None] + 50) / 100).floor()
    return steps.clamp(1, 255)


def blur(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Apply a Gaussian blur.

    Args:
        pictures: ``(B, 3, h, w)``.
        sigma: ``(B,)`` [px]; 0: none.

    Returns:
        ``(B, 3, h, w)``.
    """
    at = torch.arange(-BLUR_PX, BLUR_PX + 1, device=pictures.device)
    weights = torch.exp(-(at[None] ** 2) / (2 * sigma[:, None].clamp(min=1e-3) ** 2))
    weights = (weights / weights.sum(dim=1, keepdim=True)).to(pictures.dtype)  # (B, taps)
    for axis in (2, 3):
        padding = [0, 0, 0, 0]
        padding[2 * (3 - axis) : 2 * (3 - axis) + 2] = [BLUR_PX, BLUR_PX]
        padded = F.pad(pictures, padding, mode="replicate")
        size = pictures.shape[axis]
        pictures = sum(
            (weights[:, n, None, None, None] * padded.narrow(axis, n, size)
             for n in range(weights.shape[1])),
            start=torch.zeros_like(pictures),
        )  # fmt: skip
    return pictures


def grey(pictures: Tensor, which: Tensor) -> Tensor:
    """Convert some pictures ``(B, 3, h, w)`` to grey; ``which`` is ``(B,)`` bool."""
    luma = torch.einsum("j,bjhw->bhw", pictures.new_tensor(LUMA), pictures)
    return torch.where(which[:, None, None, None], luma[:, None], pictures)
