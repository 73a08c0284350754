"""Training losses, with a geographic mask of false negatives."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from witw.settings.train import Train


class Loss(Protocol):
    """A loss of scores ``(B, B)``, the factor from score to logit, and hidden candidates."""

    def __call__(self, scores: Tensor, scale: Tensor, mask: Tensor) -> Tensor:
        """Return a scalar."""
        ...


def chosen(settings: Train) -> Loss:
    """Return the loss that the settings name."""
    if settings.loss == "triplet":
        return partial(triplet, alpha=settings.triplet_alpha)
    return partial(
        info_nce, smoothing=settings.label_smoothing, decoupled=settings.loss == "decoupled"
    )


def false_negative_mask(position: Tensor, radius_m: float) -> Tensor:
    """Mark pairs that are too near to be each other's negatives.

    Photos taken a few metres apart show the same place, and geotags err by tens of metres, so such
    negatives would be noise. Area borders have no influence.

    Args:
        position: ``(B, 3)`` float64, see :func:`witw.geo.geocentric` [m].
        radius_m: distance below which a pair is masked [m].

    Returns:
        ``(B, B)`` bool, False on the diagonal.
    """
    apart = torch.cdist(position, position, compute_mode="donot_use_mm_for_euclid_dist")
    return (apart < radius_m).fill_diagonal_(False)


def info_nce(
    scores: Tensor, scale: Tensor, mask: Tensor, smoothing: float = 0.0, decoupled: bool = False
) -> Tensor:
    """Return the cross-entropy of finding the chip among the photo's candidates, and vice versa.

    InfoNCE of van den Oord et al. 2018, in both directions as in CLIP (Radford et al. 2021).

    Args:
        scores: ``(B, B)`` photo by chip, own pairs on the diagonal.
        scale: factor from score to logit.
        mask: ``(B, B)`` bool, masked candidates.
        smoothing: share of the target spread evenly over all candidates that are not masked
            (Szegedy et al. 2016).
        decoupled: exclude the own pair from the sum over candidates (Yeh et al. 2022).

    Returns:
        Scalar loss [nats].
    """
    logits = scores * scale
    return (
        _one_way(logits, mask, smoothing, decoupled)
        + _one_way(logits.T, mask.T, smoothing, decoupled)
    ) / 2


def _one_way(logits: Tensor, mask: Tensor, smoothing: float, decoupled: bool) -> Tensor:
    own = logits.diagonal()
    left_out = mask.clone().fill_diagonal_(True) if decoupled else mask
    total = logits.masked_fill(left_out, -torch.inf).logsumexp(dim=1)  # (B,)
    # A pair all of whose candidates are hidden teaches nothing.
    total = total.where(total > -torch.inf, own)
    mean = logits.masked_fill(mask, 0).sum(dim=1) / (~mask).sum(dim=1)
    return (total - (1 - smoothing) * own - smoothing * mean).mean()


def triplet(scores: Tensor, scale: Tensor, mask: Tensor, alpha: float = 10.0) -> Tensor:
    """Return the soft-margin triplet loss over all negatives, in both directions (Hu et al. 2018).

    ``log(1 + exp(alpha (d_own - d_other)))``, ``d = 2 (1 - score)`` being the squared chord.

    Args:
        scores: ``(B, B)`` photo by chip, own pairs on the diagonal.
        scale: unused; other losses learn it.
        mask: ``(B, B)`` bool, masked candidates.
        alpha: sharpness, 10 in the original.

    Returns:
        Scalar loss, the mean over all triplets [nats].
    """
    others = ~mask.clone().fill_diagonal_(True)
    own = scores.diagonal()
    gaps = torch.stack([scores - own[:, None], scores - own[None, :]])  # (2, B, B)
    terms = F.softplus(2 * alpha * gaps) * others
    return terms.sum() / (2 * others.sum()).clamp(min=1)
