"""Detects a collapsed training, in which all pictures have the same code.

The loss is then that of equal scores, and validation is at chance. Both are also true at the start
of a training, so they count only after the warm-up, and only in several consecutive epochs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from witw.cvig.training.loss import Loss
from witw.settings.train import Train

EPOCHS = 3  # consecutive epochs
NEAR = 0.01  # share by which the loss differs from that of equal scores
CONSTANT = 1e-3  # spread of codes of length 1 below which they are one
ALIKE = 0.05  # spread below which they are on their way there; few pairs alone look like guessing


def equal_scores_loss(criterion: Loss, batch: int) -> float:
    """Return the loss of a batch with equal scores, ``ln B`` for InfoNCE [nats]."""
    none = torch.zeros(batch, batch, dtype=torch.bool)
    return float(criterion(torch.zeros(batch, batch), torch.tensor(1.0), none))


def spread(codes: Tensor) -> float:
    """Return the root mean square distance of codes ``(N, D, w)`` of length 1 from their mean."""
    flat = F.normalize(codes.float().flatten(1), dim=1)
    return float((flat - flat.mean(dim=0)).square().sum(dim=1).mean().sqrt())


def is_guessing(line: dict[str, float], photos: int) -> bool:
    """Return whether an epoch's median percentile is within two standard deviations of chance."""
    return line["val_median_percentile"] >= 50 - 100 / math.sqrt(photos)


def sentence(
    lines: Sequence[dict[str, float]], settings: Train, equal: float, spread: float, photos: int
) -> str:
    """Return the error message for a collapsed training; empty otherwise.

    Args:
        lines: figures of the epochs so far.
        settings: settings of the training.
        equal: loss from :func:`equal_scores_loss`.
        spread: spread of the validation codes after the last epoch, the smaller of photos and
            chips.
        photos: number of photos of the validation areas.
    """
    last = lines[-EPOCHS:]
    warm = math.ceil(settings.warm_up * settings.epochs)
    if len(lines) < warm + EPOCHS or not all(is_guessing(line, photos) for line in last):
        return ""
    near = all(abs(line["loss"] - equal) <= NEAR * equal for line in last)
    if spread >= (ALIKE if near else CONSTANT):
        return ""
    other = "`train.head: polar`" if settings.head == "global" else "a larger `train.batch`"
    return (
        f"Training collapsed: in the last {EPOCHS} of {len(lines)} epochs the loss stayed at "
        f"{last[-1]['loss']:.3f} (equal scores give {equal:.3f}), codes differ by {spread:.2g} of "
        f"their length, and validation is guessing (median percentile "
        f"{last[-1]['val_median_percentile']:.0f}); lower `train.learning_rate` "
        f"({settings.learning_rate:g}), to {settings.learning_rate / 5:g} at first, or set {other}."
    )
