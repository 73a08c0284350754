"""Reproducible dropout: its noise depends on the row of the batch, not on device or process.

A batch split among processes, or processed in parts, drops the same values as the whole batch.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

# Steele et al. 2014, SplitMix64, as signed integers; products wrap around.
_GAMMA, _MIX_1, _MIX_2 = (
    value - 2**64 for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def uniform(seeds: Tensor, count: int) -> Tensor:
    """Draw numbers in [0, 1) for every row, equal on every device.

    Args:
        seeds: ``(B,)`` int64.
        count: numbers per row.

    Returns:
        ``(B, count)`` float32.
    """
    x = seeds[:, None] + _GAMMA * torch.arange(1, count + 1, device=seeds.device)
    x = (x ^ ((x >> 30) & (2**34 - 1))) * _MIX_1
    x = (x ^ ((x >> 27) & (2**37 - 1))) * _MIX_2
    return ((x >> 40) & (2**24 - 1)).float() / 2**24


class Dropout(nn.Module):
    """Dropout of single values, or of whole channels (Tompson et al. 2015).

    Args:
        share: share of the values dropped in training.
        channels: whether to drop whole channels.
        salt: distinguishes modules with the same row seeds.
    """

    def __init__(self, share: float, channels: bool = False, salt: int = 0) -> None:
        super().__init__()
        self.share, self.channels, self.salt = share, channels, salt

    def forward(self, x: Tensor, seeds: Tensor | None) -> Tensor:
        """Drop from ``(B, D, ...)``; do nothing without seeds or when not training."""
        if not self.training or seeds is None or self.share == 0:
            return x
        shape = x.shape[:2] if self.channels else x.shape
        keep = uniform(seeds + self.salt, shape[1:].numel()) >= self.share
        keep = keep.view(*shape, *(1,) * (x.ndim - len(shape)))
        return x * keep / (1 - self.share)


class Noise:
    """Holds the seeds of the current rows for layers inside a timm network."""

    seeds: Tensor | None = None  # (B,) int64


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016): rows skip the branch at random, by their own seeds.

    Args:
        share: share of the rows that skip the branch in training.
        noise: seeds of the enclosing network.
        salt: distinguishes modules with the same row seeds.
    """

    def __init__(self, share: float, noise: Noise, salt: int) -> None:
        super().__init__()
        self.share, self.noise, self.salt = share, noise, salt

    def forward(self, x: Tensor) -> Tensor:
        """Drop from ``(B, ...)``; do nothing without seeds or when not training."""
        seeds = self.noise.seeds
        if not self.training or seeds is None or self.share == 0:
            return x
        keep = uniform(seeds + self.salt, 1)[:, 0] >= self.share  # (B,)
        return x * (keep / (1 - self.share)).to(x.dtype).view(-1, *(1,) * (x.ndim - 1))

    @classmethod
    def take_over(cls, net: nn.Module, noise: Noise) -> list[Self]:
        """Replace timm's stochastic depth, whose noise depends on the device; return new layers."""
        # Slow to import, and only backbones of timm have them.
        from timm.layers.drop import DropPath as Foreign

        made: list[Self] = []
        for parent in list(net.modules()):
            for name, child in parent.named_children():
                if isinstance(child, Foreign):
                    # Far from the salts of the layers outside of the network.
                    layer = cls(child.drop_prob or 0.0, noise, 1000 + len(made))
                    setattr(parent, name, layer)
                    made.append(layer)
        return made
