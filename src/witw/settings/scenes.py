"""Section ``scenes``: the network that separates indoor from outdoor."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from witw.settings.base import FilePath, Section

# The first five were published for Places365. The others are for users' own, better networks.
PlacesArch = Literal[
    "resnet18",
    "wideresnet18",
    "resnet50",
    "alexnet",
    "densenet161",
    "resnet101",
    "resnet152",
    "convnext_tiny",
    "convnext_base",
    "efficientnet_v2_s",
    "vit_b_16",
]


class Scenes(Section):
    """The Places365 network behind the indoor/outdoor decision."""

    checkpoint: FilePath = Field(
        "http://places2.csail.mit.edu/models_places365/resnet18_places365.pth.tar",
        description="Checkpoint in the published Places365 format: a path relative to the run "
        "folder, or an http(s) address.",
    )
    arch: PlacesArch = Field(
        "resnet18",
        description=(
            "Architecture of the checkpoint: wideresnet18, or a torchvision network with "
            "365 classes. The published ones are alexnet, resnet18, resnet50, densenet161 "
            "and wideresnet18. Preprocessing follows their scripts: 224 x 224 for "
            "wideresnet18, otherwise 256 x 256 with a central crop of 224."
        ),
    )
    sha256: str = Field(
        "",
        pattern=r"^([0-9a-f]{64})?$",
        description=(
            "Expected SHA-256 of the checkpoint; without one, any file is accepted. The "
            "log of `scenes` shows the actual value."
        ),
    )
