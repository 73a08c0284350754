"""A moving average of the weights (Polyak and Juditsky 1992), smoother than any step's."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average:
    """The average of a module's weights over its steps.

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
