"""Tell indoor photos by a Places365 network, a few at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image

from witw.places365 import network
from witw.settings.scenes import PlacesArch


class Looker:
    """A Places365 network in memory.

    Args:
        checkpoint: in the published format.
        arch: its network; default: the one that the file is named after, or ResNet-18.

    Raises:
        UserError: the checkpoint is of no use.
    """

    def __init__(self, checkpoint: Path, arch: PlacesArch | None = None) -> None:
        self.arch = arch or named(checkpoint)
        self.net = network.fold(network.load(checkpoint, self.arch))
        self.net.to(memory_format=torch.channels_last)
        self.names = network.categories()

    @torch.inference_mode()
    def look(self, pictures: Sequence[Image.Image]) -> list[tuple[float, str]]:
        """Outdoor share of the ten likeliest scenes, and the likeliest scene, of RGB pictures."""
        pixels = np.stack([network.preprocess(picture, self.arch) for picture in pictures])
        logits = self.net(network.normalise(torch.from_numpy(pixels))).numpy()
        share, _, top = network.vote(logits)
        return [(float(s), self.names[t]) for s, t in zip(share, top, strict=True)]


def named(checkpoint: Path) -> PlacesArch:
    """The network that a checkpoint's file is named after, else ResNet-18."""
    known = sorted(PlacesArch.__args__, key=len, reverse=True)  # type: ignore[attr-defined]
    found = next((arch for arch in known if arch in checkpoint.name.lower()), "resnet18")
    return cast(PlacesArch, found)
