"""Symmetric InfoNCE with a geographic mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def hidden(area: Tensor, place: Tensor, radius_m: float) -> Tensor:
    """Which pairs are too near to be each other's negatives.

    Photos taken a few metres apart show the same place, and geotags err by tens of metres: to
    call such a chip wrong would teach noise.

    Args:
        area: ``(B,)`` integer area of each pair.
        place: ``(B, 2)`` float64 easting and northing, comparable within an area [m].
        radius_m: distance under which a pair is hidden [m].

    Returns:
        ``(B, B)`` bool, False on the diagonal.
    """
    near = torch.cdist(place, place, compute_mode="donot_use_mm_for_euclid_dist") < radius_m
    mask = near & (area[:, None] == area[None, :])
    return mask.fill_diagonal_(False)


def info_nce(scores: Tensor, scale: Tensor, hide: Tensor) -> Tensor:
    """Cross-entropy of finding the chip among the photo's candidates, and the other way round.

    InfoNCE of van den Oord et al. 2018, in both directions as in CLIP (Radford et al. 2021).

    Args:
        scores: ``(B, B)`` photo by chip, own pairs on the diagonal.
        scale: factor from score to logit.
        hide: ``(B, B)`` bool, candidates left out.

    Returns:
        Scalar loss [nats].
    """
    logits = (scores * scale).masked_fill(hide, -torch.inf)
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
