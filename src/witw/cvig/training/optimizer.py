"""AdamW, the learning-rate schedule and the moving average of the weights."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from witw.settings.train import Train


def optimizer(network: nn.Module, settings: Train, fused: bool) -> torch.optim.AdamW:
    """AdamW; weight decay is for matrices, not for norms, biases and the scale."""
    learned = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, fused=fused)


def learning_rate(step: int, total: int, settings: Train) -> float:
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


class Average:
    """Moving average of a module's weights (Polyak and Juditsky 1992), smoother than any step's.

    Args:
        module: what is averaged; its copy is in :attr:`module`.
        decay: share of the old average a step keeps; fewer in the first steps, ``(1 + n) /
            (10 + n)``, that the random beginning is soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after step number ``step``, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        old, new = self.module.state_dict(), module.state_dict()
        floats = [name for name, value in new.items() if value.is_floating_point()]
        torch._foreach_lerp_([old[n] for n in floats], [new[n] for n in floats], 1 - decay)
        for name in new.keys() - set(floats):
            old[name].copy_(new[name])

    def state(self) -> dict[str, Tensor]:
        """The average's tensors."""
        return self.module.state_dict()
