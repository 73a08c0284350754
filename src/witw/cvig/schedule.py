"""Learning rates, and which weights decay."""

from __future__ import annotations

import math

import torch
from torch import nn

from witw.settings.train import Train


def optimizer(network: nn.Module, settings: Train, fused: bool) -> torch.optim.AdamW:
    """AdamW; weight decay is for matrices, not for norms, biases and the scale."""
    learned = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, fused=fused)


def rate(step: int, total: int, settings: Train) -> float:
    """Learning rate of a step."""
    if settings.schedule == "cosine":
        return one_cycle(step, total, settings.learning_rate, settings.warm_up)
    rise = settings.warm_up * total
    return settings.learning_rate * min(1.0, (step + 1) / (rise + 1))


def one_cycle(step: int, total: int, peak: float, warm: float = 0.25) -> float:
    """Learning rate of a step: a cosine up from a 25th of the peak, a cosine down to nearly zero.

    Smith and Topin 2019, with the shape of fastai's one-cycle policy.
    """
    rise = max(1.0, warm * total)
    if step < rise:
        low, high, at = peak / 25, peak, step / rise
    else:
        low, high, at = peak, peak / 1e4, (step - rise) / max(1.0, total - rise)
    return low + (high - low) * (1 - math.cos(math.pi * min(1.0, at))) / 2
