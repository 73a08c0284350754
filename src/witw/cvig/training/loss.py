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
    """The loss the settings name."""
    if settings.loss == "triplet":
        return partial(triplet, alpha=settings.triplet_alpha)
    return partial(
        info_nce, smoothing=settings.label_smoothing, decoupled=settings.loss == "decoupled"
    )


def false_negative_mask(position: Tensor, radius_m: float) -> Tensor:
    """Which pairs are too near to be each other's negatives.

    Photos taken a few metres apart show the same place, and geotags err by tens of metres: to
    call such a chip wrong would teach noise. Areas that touch or overlap make no difference.

    Args:
        position: ``(B, 3)`` float64, see :func:`witw.geo.geocentric` [m].
        radius_m: distance under which a pair is hidden [m].

    Returns:
        ``(B, B)`` bool, False on the diagonal.
    """
    apart = torch.cdist(position, position, compute_mode="donot_use_mm_for_euclid_dist")
    return (apart < radius_m).fill_diagonal_(False)


def info_nce(
    scores: Tensor, scale: Tensor, mask: Tensor, smoothing: float = 0.0, decoupled: bool = False
) -> Tensor:
    """Cross-entropy of finding the chip among the photo's candidates, and the other way round.

    InfoNCE of van den Oord et al. 2018, in both directions as in CLIP (Radford et al. 2021).

    Args:
        scores: ``(B, B)`` photo by chip, own pairs on the diagonal.
        scale: factor from score to logit.
        mask: ``(B, B)`` bool, candidates left out.
        smoothing: share of the target spread evenly over all candidates that are not hidden
            (Szegedy et al. 2016).
        decoupled: leave the own pair out of the sum over candidates (Yeh et al. 2022).

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
    """Soft-margin triplet loss over all negatives of a batch, both ways (Hu et al. 2018).

    ``log(1 + exp(alpha (d_own - d_other)))``, ``d = 2 (1 - score)`` being the squared chord.

    Args:
        scores: ``(B, B)`` photo by chip, own pairs on the diagonal.
        scale: not used; other losses learn it.
        mask: ``(B, B)`` bool, candidates left out.
        alpha: sharpness, 10 in the original.

    Returns:
        Scalar loss, the mean over all triplets [nats].
    """
    others = ~mask.clone().fill_diagonal_(True)
    own = scores.diagonal()
    gaps = torch.stack([scores - own[:, None], scores - own[None, :]])  # (2, B, B)
    terms = F.softplus(2 * alpha * gaps) * others
    return terms.sum() / (2 * others.sum()).clamp(min=1)
