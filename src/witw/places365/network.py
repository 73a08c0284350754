"""Places365 networks as published: classes, checkpoints, preprocessing, indoor/outdoor vote.

Source: B. Zhou et al., "Places: a 10 million image database for scene recognition", TPAMI 2018, and
the scripts ``run_placesCNN_basic.py`` and ``run_placesCNN_unified.py`` of
https://github.com/CSAILVision/places365 (MIT).
"""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import get_model, resnet18

from witw import torch_files
from witw.errors import UserError
from witw.settings.scenes import PlacesArch

Arch = PlacesArch

CLASSES = 365
INPUT_PX = 224
VOTERS = 10
# The photo is resized to a square of this side, and the centre 224 px are cropped. Only the script
# of wideresnet18 (`run_placesCNN_unified.py`) does not crop.
RESIZE_PX, RESIZE_WIDE_PX = 256, INPUT_PX
# Checkpoints of 2017 use older names of DenseNet's layers.
_DENSE = re.compile(r"\b(norm|conv)\.([12])\.")
# Mean and standard deviation of ImageNet, as in every published Places365 script; RGB in 0..1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@cache
def _table() -> tuple[tuple[str, ...], tuple[bool, ...]]:
    text = files("witw.places365").joinpath("data/places365.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    return tuple(r["category"] for r in rows), tuple(r["indoor"] == "1" for r in rows)


def categories() -> list[str]:
    """Return the names of the 365 scenes, in the order of the networks' outputs."""
    return list(_table()[0])


def indoor() -> NDArray[np.bool_]:
    """Mark the indoor scenes, shape (365,); 160 are."""
    return np.array(_table()[1], dtype=bool)


def network(arch: Arch) -> nn.Module:
    """Return the untrained network: (N, 3, 224, 224) normalised RGB to (N, 365) logits.

    ``wideresnet18`` is ResNet-18 without the stem's max-pool, so that its last map is 14 x 14; all
    others are torchvision's of that name.
    """
    if arch == "wideresnet18":
        wide: nn.Module = resnet18(num_classes=CLASSES)
        wide.maxpool = nn.Identity()
        return wide
    return cast(nn.Module, get_model(arch, weights=None, num_classes=CLASSES))


def load(path: Path, arch: Arch) -> nn.Module:
    """Load a checkpoint in the published format, for inference.

    The format is a torch pickle holding a dict with ``state_dict``, whose keys have ``module.``
    somewhere; a bare ``state_dict`` does as well. Nothing but tensors and plain containers is
    unpickled.

    Raises:
        UserError: the file is missing, damaged, of another format or of another network.
    """
    state = _state_dict(path)
    net = network(arch)
    try:
        net.load_state_dict(state)
    except (RuntimeError, AttributeError) as error:
        detail = " ".join(str(error).split())[:160]
        raise UserError(
            f"`scenes.checkpoint` {path} does not fit `scenes.arch` {arch} with {CLASSES} classes "
            f"({detail}); give a Places365 checkpoint of that network."
        ) from None
    return net.eval()


def fold(net: nn.Module) -> nn.Module:
    """Fold each batch normalisation after a convolution into its weights, in place.

    For inference only: the same function up to rounding, in nine tenths of the time on a CPU.
    Networks with layer names other than a ResNet's stay unchanged.
    """
    for part in list(net.modules()):
        for before, after in (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1")):
            conv, norm = getattr(part, before, None), getattr(part, after, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(part, before, fuse_conv_bn_eval(conv, norm))
                setattr(part, after, nn.Identity())
    return net


def _state_dict(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"`scenes.checkpoint` {path} does not exist; correct the key.")
    try:
        saved: Any = torch_files.read(path, torch.device("cpu"))
    except Exception as error:
        # torch raises a dozen types for damaged files.
        if "Unsupported global" in str(error) or "Unsupported class" in str(error):
            reason = (
                "it holds pickled code, which is refused; give the file that holds `state_dict`"
            )
        else:
            reason = (
                "it is damaged, truncated or of another format; fetch it anew or correct the key"
            )
        raise UserError(
            f"`scenes.checkpoint` {path} is not a readable Places365 checkpoint: {reason}."
        ) from None
    state = saved.get("state_dict", saved) if isinstance(saved, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(
            f"`scenes.checkpoint` {path} holds no `state_dict` of tensors; "
            "give a Places365 checkpoint as published."
        )
    names = (str(key).replace("module.", "") for key in state)
    return dict(zip((_DENSE.sub(r"\1\2.", name) for name in names), state.values(), strict=True))


def preprocess(photo: Image.Image, arch: Arch) -> NDArray[np.uint8]:
    """Resize and crop a photo (RGB) as the network's script does, to (224, 224, 3)."""
    side = RESIZE_WIDE_PX if arch == "wideresnet18" else RESIZE_PX
    small = photo.resize((side, side), Image.Resampling.BILINEAR)
    edge = (side - INPUT_PX) // 2
    return np.asarray(small, dtype=np.uint8)[edge : edge + INPUT_PX, edge : edge + INPUT_PX]


def normalise(pixels: Tensor) -> Tensor:
    """Convert (N, 224, 224, 3) uint8 RGB to normalised (N, 3, 224, 224) float32."""
    values = pixels.permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(MEAN, device=values.device)[:, None, None]
    std = torch.tensor(STD, device=values.device)[:, None, None]
    return (values - mean) / std


def vote(
    logits: NDArray[np.floating[Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Compute the indoor/outdoor scores of each photo.

    Args:
        logits: (N, 365).

    Returns:
        The unweighted share of outdoor scenes among the ten likeliest, (N,), outdoor from 0.5 on;
        the total probability of the outdoor scenes, (N,); the likeliest scene, (N,). Ties go to the
        scene that is first in the list.
    """
    wide = np.asarray(logits, dtype=np.float64)
    scores = np.exp(wide - wide.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    outdoor = ~indoor()
    order = np.argsort(-wide, axis=1, kind="stable")
    return outdoor[order[:, :VOTERS]].mean(axis=1), scores @ outdoor, order[:, 0]
