"""Section ``scenes``: the network that tells indoor from outdoor."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from witw.settings.base import FilePath, Section

# Published for Places365: the first five. The others are for whoever trained a better one.
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
        description="Network of the checkpoint: wideresnet18, or torchvision's of that name with "
        "365 classes; alexnet, resnet18, resnet50, densenet161 and wideresnet18 are published. "
        "Preprocessing as in their scripts: 224 x 224 for wideresnet18, else 256 x 256 and the "
        "centre 224.",
    )
    sha256: str = Field(
        "",
        pattern=r"^([0-9a-f]{64})?$",
        description="What the checkpoint's SHA-256 must be; none given, any will do. It is in the "
        "log of `scenes`.",
    )
