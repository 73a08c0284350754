"""AdamW, the learning-rate schedule and the moving average of the weights."""

from __future__ import annotations

import copy
import math
from collections import defaultdict

import torch
from torch import Tensor, nn

from witw.cvig.network.towers import Network
from witw.errors import UserError
from witw.settings.train import Train


def optimizer(network: Network, settings: Train, fused: bool) -> torch.optim.AdamW:
    """Create AdamW with weight decay for matrices only, not for norms, biases and the scale.

    Each group's ``scale`` is its share of the learning rate, see :func:`scales`.
    """
    scale = scales(network, settings)
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, p in network.named_parameters():
        if p.requires_grad:
            decay = settings.weight_decay if p.ndim > 1 else 0.0
            groups[scale.get(name, 1.0), decay].append(p)
    return torch.optim.AdamW(
        [{"params": ps, "weight_decay": d, "scale": s} for (s, d), ps in groups.items()],
        fused=fused,
    )


def scales(network: Network, settings: Train) -> dict[str, float]:
    """Return name -> share of the learning rate, for each parameter of the backbones.

    The last block has ``backbone_rate``; each earlier block has ``layer_decay`` times the share of
    the next block (Bao et al. 2022, BEiT).
    """
    out = {}
    for tower, depths in _depths(network):
        top = max(depths.values())
        for name, depth in depths.items():
            share = settings.layer_decay ** (top - depth)
            out[f"{tower}.backbone.{name}"] = settings.backbone_rate * share
    return out


def freeze(network: Network, blocks: int) -> None:
    """Freeze the first blocks of the backbones, and the layers before them.

    Raises:
        UserError: the backbone has fewer blocks.
    """
    if not blocks:
        return
    for tower, depths in _depths(network):
        top = max(depths.values())
        if blocks > top:
            raise UserError(f"`train.freeze` {blocks}: the backbone has {top} blocks in all.")
        learned = dict(getattr(network, tower).backbone.named_parameters())
        for name, depth in depths.items():
            if depth <= blocks:
                learned[name].requires_grad_(False)


def _depths(network: Network) -> list[tuple[str, dict[str, int]]]:
    """Return the depths of each backbone's parameters; a shared backbone counts once."""
    shared = network.photo.backbone is network.overhead.backbone
    towers = ("photo",) if shared else ("photo", "overhead")
    return [(tower, getattr(network, tower).backbone.depths()) for tower in towers]


def learning_rate(step: int, total: int, settings: Train) -> float:
    """Return the learning rate of a step."""
    if settings.schedule == "cosine":
        return one_cycle(step, total, settings.learning_rate, settings.warm_up)
    rise = settings.warm_up * total
    return settings.learning_rate * min(1.0, (step + 1) / (rise + 1))


def one_cycle(step: int, total: int, peak: float, warm: float = 0.25) -> float:
    """Return the learning rate of a step: a cosine up from a 25th of the peak, then one down to 0.

    Smith and Topin 2019, with the shape of fastai's one-cycle policy.
    """
    rise = max(1.0, warm * total)
    if step < rise:
        low, high, at = peak / 25, peak, step / rise
    else:
        low, high, at = peak, peak / 1e4, (step - rise) / max(1.0, total - rise)
    return low + (high - low) * (1 - math.cos(math.pi * min(1.0, at))) / 2


class Average:
    """Moving average of a module's weights (Polyak and Juditsky 1992).

    Args:
        module: module to average; :attr:`module` is the averaged copy.
        decay: share of the old average that a step keeps; in the first steps at most ``(1 + n) /
            (10 + n)``, to forget the random initial weights soon.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Update the average with the weights after step ``step``, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        old, new = self.module.state_dict(), module.state_dict()
        floats = [name for name, value in new.items() if value.is_floating_point()]
        torch._foreach_lerp_([old[n] for n in floats], [new[n] for n in floats], 1 - decay)
        for name in new.keys() - set(floats):
            old[name].copy_(new[name])

    def state(self) -> dict[str, Tensor]:
        """Return the average's tensors."""
        return self.module.state_dict()
