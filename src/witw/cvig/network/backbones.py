"""Backbones: the convolutional part of a tower, from a view to a feature map."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from witw.cvig.network import weights_file
from witw.cvig.network.dropout import Dropout
from witw.cvig.network.sizes import STEM
from witw.cvig.network.timm_backbone import Timm
from witw.errors import UserError

OWN = ("small", "original")  # all others are timm's

GROUP = 8  # channels normalised together; unlike a batch's statistics, no other pair's business


def norm(width: int) -> nn.GroupNorm:
    """Group normalisation (Wu and He 2018)."""
    return nn.GroupNorm(width // GROUP, width)


class Conv(nn.Module):
    """3x3 convolution; the heading axis is a ring overhead and has edges in a photo."""

    def __init__(self, width: int, ring: bool) -> None:
        super().__init__()
        self.ring = ring
        self.conv = nn.Conv2d(width, width, 3, padding=(1, 0 if ring else 1), bias=False)
        self.norm = norm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, width, h, w)`` to the same shape."""
        if self.ring:
            x = torch.cat([x[..., -1:], x, x[..., :1]], dim=-1)
        return cast(Tensor, self.norm(self.conv(x)))


class Block(nn.Module):
    """Residual block of two convolutions (He et al. 2016)."""

    def __init__(self, width: int, ring: bool) -> None:
        super().__init__()
        self.first, self.second = Conv(width, ring), Conv(width, ring)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, width, h, w)`` to the same shape."""
        return F.relu(x + self.second(F.relu(self.first(x))))


class Small(nn.Module):
    """Patch stem and residual blocks, with halvings down to the required number of columns.

    Args:
        pixels: columns of the view: ``columns`` times 4 times a power of two.
        columns: columns of the features.
        width: channels at the first resolution.
        blocks: residual blocks at each resolution.
        ring: whether the columns go all the way round.
    """

    def __init__(self, pixels: int, columns: int, width: int, blocks: int, ring: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, STEM, STEM), norm(width)]
        layers += [nn.ReLU(), *(Block(width, ring) for _ in range(blocks))]
        pixels //= STEM
        while pixels > columns:
            layers += [nn.Conv2d(width, 2 * width, 2, 2), norm(2 * width), nn.ReLU()]
            pixels, width = pixels // 2, 2 * width
            layers += [Block(width, ring) for _ in range(blocks)]
        self.channels = width
        self.layers = nn.Sequential(*layers)

    def forward(self, view: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Map ``(B, 3, rows, pixels)`` to ``(B, channels, h, columns)``."""
        return cast(Tensor, self.layers(view))

    def depths(self) -> dict[str, int]:
        """Return the number of each parameter's layer, counted from the input, by its name."""
        return {name: int(name.split(".")[1]) for name, _ in self.named_parameters()}


class Original(nn.Module):
    """VGG16 up to its tenth convolution, of stride 8, as in the original *Where in the World*.

    Layers below 17 keep their initial weights; 17, 19 and 21 have 20 % channel dropout.

    Args:
        weights: ``none``, or torchvision's file of VGG16.
    """

    channels = 512
    FROZEN, DROPPED, END = 17, (17, 19, 21), 23

    def __init__(self, weights: str) -> None:
        super().__init__()
        # Slow to import, and few networks need it.
        from torchvision.models import vgg16

        whole = vgg16(weights=None)
        if weights != "none":
            weights_file.fill(whole, weights_file.read(weights), "original", weights)
        self.layers = whole.features[: self.END]
        if weights != "none":
            self.layers[: self.FROZEN].requires_grad_(False)
        self.drop = nn.ModuleDict(
            {str(at): Dropout(0.2, channels=True, salt=at) for at in self.DROPPED}
        )

    def forward(self, view: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Map ``(B, 3, rows, pixels)`` to ``(B, 512, rows / 8, pixels / 8)``."""
        for at, layer in enumerate(self.layers):
            view = layer(view)
            if at in self.DROPPED:
                view = self.drop[str(at)](view, seeds)
        return view

    def depths(self) -> dict[str, int]:
        """Return the number of each parameter's layer, counted from the input, by its name."""
        return {name: int(name.split(".")[1]) for name, _ in self.named_parameters()}


Backbone = Small | Original | Timm


def build(
    name: str,
    weights: str,
    stride: int,
    view: tuple[int, int],
    columns: int,
    small: tuple[int, int],
    ring: bool,
    drop_path: float = 0.0,
) -> Backbone:
    """Return a backbone by its name in the config; ``small`` gives width and blocks.

    Raises:
        UserError: the backbone does not exist, or its weights are unreadable.
    """
    if name in OWN and drop_path:
        raise UserError(f"`train.drop_path`: {name!r} has no blocks to skip; leave it out.")
    if name == "small":
        if weights != "none":
            raise UserError(
                "`train.weights`: the small backbone has no pretrained weights; set `none`."
            )
        return Small(view[1], columns, *small, ring)
    if name == "original":
        return Original(weights)
    return Timm(name, weights, stride, view, ring, drop_path)


def mixes_pairs(module: nn.Module) -> bool:
    """Return whether a pair's features depend on other pairs of its batch (batch normalisation)."""
    kind = nn.modules.batchnorm._BatchNorm
    return any(isinstance(part, kind) for part in module.modules())
