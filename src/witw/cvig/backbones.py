"""The convolutional tower that turns a view (rows by headings) into heading columns."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEM = 4  # a patch stem: small channels at full resolution are what is slow on a CPU


def view_columns(columns: int, pixels: int) -> int:
    """Columns of a view nearest to ``pixels`` that a tower can halve down to ``columns``."""
    size = columns * STEM
    while size * 1.5 <= pixels:
        size *= 2
    return size


class Conv(nn.Module):
    """3x3 convolution; the heading axis is a ring overhead and has edges in a photo."""

    def __init__(self, width: int, ring: bool) -> None:
        super().__init__()
        self.ring = ring
        self.conv = nn.Conv2d(width, width, 3, padding=(1, 0 if ring else 1), bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, h, w)`` -> the same."""
        if self.ring:
            x = torch.cat([x[..., -1:], x, x[..., :1]], dim=-1)
        return cast(Tensor, self.norm(self.conv(x)))


class Block(nn.Module):
    """Residual block of two convolutions (He et al. 2016)."""

    def __init__(self, width: int, ring: bool) -> None:
        super().__init__()
        self.first, self.second = Conv(width, ring), Conv(width, ring)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, h, w)`` -> the same."""
        return F.relu(x + self.second(F.relu(self.first(x))))


class Tower(nn.Module):
    """Patch stem, residual blocks, halvings, and one convolution over all remaining rows.

    Args:
        rows: rows of the view, a multiple of 4.
        pixels: columns of the view: ``columns`` times 4 times a power of two.
        columns: heading columns of the code.
        width: channels at the first resolution.
        blocks: residual blocks at each resolution.
        embed_dim: length of a column's descriptor.
        ring: whether the columns go all the way round.
        dropout: dropout of the descriptors in training.
    """

    def __init__(
        self,
        rows: int,
        pixels: int,
        columns: int,
        width: int,
        blocks: int,
        embed_dim: int,
        ring: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, STEM, STEM), nn.BatchNorm2d(width)]
        layers += [nn.ReLU(), *(Block(width, ring) for _ in range(blocks))]
        rows, pixels = rows // STEM, pixels // STEM
        while pixels > columns:
            layers += [nn.Conv2d(width, 2 * width, 2, 2), nn.BatchNorm2d(2 * width), nn.ReLU()]
            rows, pixels, width = rows // 2, pixels // 2, 2 * width
            layers += [Block(width, ring) for _ in range(blocks)]
        layers += [nn.Conv2d(width, embed_dim, (rows, 1)), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)

    def forward(self, view: Tensor) -> Tensor:
        """``(B, 3, rows, pixels)`` -> ``(B, embed_dim, columns)``."""
        return cast(Tensor, self.layers(view)).squeeze(2)
