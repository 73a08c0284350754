"""The polar head: a photo's columns slid around the overhead code's headings."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Temperature of the soft maximum over headings in training.
SOFT_MAX_T = 0.05


def correlate(photo: Tensor, mask: Tensor, overhead: Tensor) -> Tensor:
    """Normalised circular correlation of every photo with every overhead code, at every shift.

    ``c(s) = <g, o_s> / (|g| |o_s|)``, ``o_s`` being the overhead columns from ``s`` on under the
    photo's seen columns: a cosine, so shifts and photos of any width compare.

    Args:
        photo: ``(P, D, w)``.
        mask: ``(P, w)``, 1 for columns the photo sees; the others do not count.
        overhead: ``(C, D, W)``, ``w <= W``.

    Returns:
        ``(P, C, W)`` float32 in [-1, 1].
    """
    photo = photo.float() * mask.float()[:, None, :]
    photo = F.normalize(photo.flatten(1), dim=1).view_as(photo)
    overhead = overhead.float()
    ring = F.pad(overhead, (0, photo.shape[-1] - 1), mode="circular")  # (C, D, W + w - 1)
    dots = F.conv1d(ring, photo)  # (C, P, W)
    energy = F.conv1d(ring.square().sum(dim=1, keepdim=True), mask.float()[:, None, :])  # (C, P, W)
    scores: Tensor = (dots * (energy + 1e-12).rsqrt()).transpose(0, 1)
    return scores


def soft_score(correlation: Tensor) -> Tensor:
    """Soft maximum over shifts, so that every heading near the best one learns.

    Args:
        correlation: ``(P, C, W)``.

    Returns:
        ``(P, C)``: ``t logsumexp(c / t) - t log W``, at most the maximum.
    """
    bias = SOFT_MAX_T * math.log(correlation.shape[-1])
    return SOFT_MAX_T * torch.logsumexp(correlation / SOFT_MAX_T, dim=-1) - bias


def best(correlation: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Score and heading of the best shift.

    Args:
        correlation: ``(..., W)``.
        columns: columns of the photo's code, ``w``.

    Returns:
        The maximum, ``(...)``; and the heading of the photo's middle, clockwise from grid north,
        ``(...)`` in [0, 360) degrees, refined by a parabola through the best shift's neighbours.
    """
    score, shift = correlation.max(dim=-1)
    headings = correlation.shape[-1]
    around = torch.stack([(shift + d) % headings for d in (-1, 1)], dim=-1)
    left, right = correlation.gather(-1, around).unbind(-1)
    bend = (2 * score - left - right).clamp_min(1e-9)
    offset = ((right - left) / (2 * bend)).clamp(-0.5, 0.5)
    return score, (shift + offset + columns / 2) * (360 / headings) % 360
