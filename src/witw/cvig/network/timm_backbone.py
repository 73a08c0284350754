"""Backbones of timm: all blocks up to the last stage, without the classifier."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from witw.cvig.network import weights_file
from witw.cvig.network.dropout import DropPath, Noise
from witw.cvig.network.hub import Hub
from witw.errors import UserError

EDGE = 2  # places a ring's backbone sees beyond the seam, on either side
# Ways to build a network that takes views of other sizes than it was trained on, best first.
# Transformers with position embeddings interpolate them at each view, windowed ones pad.
FLEXIBLE: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})


@dataclass(frozen=True)
class Facts:
    """Properties of a timm network."""

    stride: int  # pixels of a view to one place of the features
    channels: int
    mean: tuple[float, ...]  # of its training, for red, green, blue, in 0..1
    std: tuple[float, ...]


@cache
def facts(name: str, stride: int = 0) -> Facts:
    """Return the properties of a timm network, without allocating its weights.

    Args:
        name: name in timm.
        stride: 8 or 16: dilate the last stages; 0: the network's own stride.

    Raises:
        UserError: timm has no such network, or the network cannot have this stride.
    """
    # Slow to import, and few networks need it.
    import timm

    if name.split(".")[0] not in timm.list_models():
        raise UserError(f"`train.backbone`: timm has no model {name!r}.")
    own = _describe(name, {})
    if stride in (0, own.stride):
        return own
    try:
        dilated = _describe(name, {"output_stride": stride})
    except TypeError:
        raise UserError(_no_stride(name, stride, own.stride)) from None
    if dilated.stride != stride:
        raise UserError(_no_stride(name, stride, own.stride))
    return dilated


def _no_stride(name: str, stride: int, own: int) -> str:
    return (
        f"`train.stride` {stride}: {name!r} has {own} pixels to a place of its features and no "
        "other number; leave the key out."
    )


def _describe(name: str, options: dict[str, Any]) -> Facts:
    # Slow to import, and few networks need it.
    import timm

    with torch.device("meta"):
        try:
            net: Any = timm.create_model(name, num_classes=0, **options).eval()
        except RuntimeError as error:  # a tag that timm does not know
            raise UserError(f"`train.backbone` {name!r}: {error}") from error
        size = tuple(net.pretrained_cfg["input_size"])
        features = as_map(net, torch.zeros(1, *size))
    about = net.feature_info[-1] if getattr(net, "feature_info", None) else {}
    stride = int(about.get("reduction", round(size[1] / features.shape[2])))
    mean, std = (tuple(map(float, net.pretrained_cfg[key])) for key in ("mean", "std"))
    return Facts(stride, features.shape[1], mean, std)


def as_map(net: Any, view: Tensor) -> Tensor:
    """Return the features of a view ``(B, 3, rows, pixels)`` as ``(B, channels, h, w)``.

    Raises:
        UserError: the network gives no feature map.
    """
    found = net.forward_features(view)
    if not isinstance(found, Tensor) or found.ndim not in (3, 4):
        raise UserError(f"`train.backbone`: timm's {type(net).__name__} returns no feature map.")
    if found.ndim == 4:
        last = getattr(net, "output_fmt", "NCHW") == "NHWC"
        return found.permute(0, 3, 1, 2) if last else found
    # If the classifier uses the mean of all places, the last norm belongs to the head.
    norm = getattr(net, "fc_norm", None) or nn.Identity()
    places: Tensor = norm(found[:, getattr(net, "num_prefix_tokens", 0) :])
    share = math.sqrt(places.shape[1] / (view.shape[2] * view.shape[3]))
    grid = round(view.shape[2] * share), round(view.shape[3] * share)
    if grid[0] * grid[1] != places.shape[1]:
        raise UserError(f"`train.backbone`: timm's {type(net).__name__} returns no feature map.")
    return places.transpose(1, 2).reshape(len(view), -1, *grid)


@cache
def _options(name: str, stride: int, rows: int, pixels: int) -> dict[str, Any]:
    """Return the options to build a network for a view of this size.

    Raises:
        UserError: the network does not support this size.
    """
    # Slow to import, and few networks need it.
    import timm

    own = facts(name).stride
    more: dict[str, Any] = {} if stride in (0, own) else {"output_stride": stride}
    why = ""
    for options in (*FLEXIBLE, {"img_size": (rows, pixels)}):
        try:
            with torch.device("meta"):
                net: Any = timm.create_model(name, num_classes=0, **more, **options).eval()
                as_map(net, torch.zeros(1, 3, rows, pixels))
        except TypeError:  # the network has no such option
            continue
        except (AssertionError, RuntimeError, ValueError) as error:
            why = (str(error).splitlines() or [""])[0]
            continue
        return more | options
    raise UserError(
        f"`train.backbone` {name!r} does not accept views of {rows} x {pixels} px ({why}); "
        "take another backbone, or set `pack.chip_px`, `train.headings` and `train.polar_rows` to "
        "its sizes."
    )


class Timm(nn.Module):
    """A backbone of timm with all its blocks, at its last stage.

    Args:
        name: name in timm.
        weights: ``none``, ``timm`` or a local file.
        stride: pixels to a place of the features; 0: the network's own.
        view: rows and columns of the views [px].
        ring: whether the columns go all the way round.
        drop_path: chance that training skips the last block, smaller for earlier blocks.

    Raises:
        UserError: timm has no such network, it does not support the view, or the weights do not
        fit.
    """

    def __init__(
        self,
        name: str,
        weights: str,
        stride: int,
        view: tuple[int, int],
        ring: bool,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        # Slow to import, and few networks need it.
        import timm

        about = facts(name, stride)
        self.channels, self.stride, self.ring = about.channels, about.stride, ring
        self.edge = EDGE * self.stride if ring else 0
        options = dict(_options(name, stride, view[0], view[1] + 2 * self.edge))
        if drop_path:
            options["drop_path_rate"] = drop_path
        try:
            net: Any = timm.create_model(name, num_classes=0, **options)
        except TypeError as error:
            raise UserError(f"`train.drop_path`: {name!r} has no blocks to skip.") from error
        if weights != "none":
            found = pretrained(name) if weights == "timm" else weights_file.read(weights)
            weights_file.fill(net, found, name, weights)
        self.noise = Noise()
        DropPath.take_over(net, self.noise)
        self.net: nn.Module = net
        self.holds_statistics = False  # statistics of batch normalisation

    def forward(self, view: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Map ``(B, 3, rows, pixels)`` to ``(B, channels, rows / stride, pixels / stride)``."""
        self.noise.seeds = seeds
        if self.edge:  # these networks know no rings: let them see on beyond the seam
            view = torch.cat([view[..., -self.edge :], view, view[..., : self.edge]], dim=-1)
        features = as_map(self.net, view)
        return features[..., EDGE:-EDGE] if self.edge else features

    def train(self, mode: bool = True) -> Timm:
        """Set the training mode; frozen batch normalisation keeps its statistics."""
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                frozen = part.affine and not part.weight.requires_grad
                part.train(mode and not (frozen or self.holds_statistics))
        return self

    def depths(self) -> dict[str, int]:
        """Return the number of each parameter's block, from the input; the stem's is 0."""
        # Slow to import, and few networks need it.
        from timm.models import group_parameters

        net: Any = self.net
        found = group_parameters(net, net.group_matcher(coarse=False), reverse=True)
        return {f"net.{name}": int(depth) for name, depth in cast(dict[str, int], found).items()}


def pretrained(name: str) -> dict[str, Tensor]:
    """Download timm's weights of a network, or read them from the cache, without the classifier.

    Raises:
        UserError: timm has no weights for the network, or the download fails.
    """
    # Slow to import, and few networks need it.
    import timm

    hub = Hub()
    try:
        with hub:
            net: Any = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # network and hub raise many types
        why = (str(error).splitlines() or [type(error).__name__])[0]
        why = hub.told if hub.is_silent else why
        raise UserError(f"`train.weights` 'timm' for {name!r}: {why}") from error
    return cast(dict[str, Tensor], net.state_dict())
