"""Recognize indoor photos with a Places365 network, a few at a time."""

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
        checkpoint: checkpoint in the published format.
        arch: architecture; default: from the file's name, or ResNet-18.

    Raises:
        UserError: the checkpoint is unusable.
    """

    def __init__(self, checkpoint: Path, arch: PlacesArch | None = None) -> None:
        self.arch = arch or named(checkpoint)
        self.net = network.fold(network.load(checkpoint, self.arch))
        self.net.to(memory_format=torch.channels_last)
        self.names = network.categories()

    @torch.inference_mode()
    def look(self, pictures: Sequence[Image.Image]) -> list[tuple[float, str]]:
        """Return the outdoor share of the ten likeliest scenes, and the likeliest scene."""
        pixels = np.stack([network.preprocess(picture, self.arch) for picture in pictures])
        logits = self.net(network.normalise(torch.from_numpy(pixels))).numpy()
        share, _, top = network.vote(logits)
        return [(float(s), self.names[t]) for s, t in zip(share, top, strict=True)]


def named(checkpoint: Path) -> PlacesArch:
    """Return the architecture in a checkpoint's file name, or ResNet-18."""
    known = sorted(PlacesArch.__args__, key=len, reverse=True)  # type: ignore[attr-defined]
    found = next((arch for arch in known if arch in checkpoint.name.lower()), "resnet18")
    return cast(PlacesArch, found)
