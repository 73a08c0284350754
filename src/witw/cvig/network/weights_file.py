"""Read a file of pretrained weights into a network."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from witw import torch_files
from witw.errors import UserError

# Under these names a training's checkpoint holds the network's weights.
WRAPPERS = ("state_dict", "model", "model_state_dict")
# Counts of batches, which old files lack and no network needs.
OPTIONAL = "num_batches_tracked"


def exists(weights: str) -> Path:
    """Return the path of a file of weights.

    Raises:
        UserError: the file does not exist.
    """
    path = Path(weights)
    if not path.is_file():
        raise UserError(f"`train.weights`: {weights} does not exist.")
    return path


def read(weights: str) -> dict[str, Tensor]:
    """Read a .safetensors or .pth file, without executing code from it.

    Raises:
        UserError: the file is missing or unreadable.
    """
    path = exists(weights)
    try:
        if path.suffix == ".safetensors":
            # Needed by files of this kind alone.
            from safetensors.torch import load_file

            return load_file(path)
        return _tensors(torch_files.read(path, torch.device("cpu")))
    except Exception as error:
        raise UserError(f"`train.weights`: {weights} is not a readable file of weights.") from error


def fill(net: nn.Module, found: Mapping[str, Tensor], name: str, weights: str) -> None:
    """Load all tensors of a network from a file, ignoring a classifier in the file.

    Args:
        net: the network, without a classifier.
        found: tensors of the file, with the network's names or names that timm can convert.
        name: name of the network, for error messages.
        weights: name of the file, for error messages.

    Raises:
        UserError: network and file do not have the same tensors; gives the number that match.
    """
    wanted = net.state_dict()
    best = max((_headless(net, some) for some in _renamings(net, found)), key=_score(wanted))
    placed = {k for k, v in best.items() if k in wanted and v.shape == wanted[k].shape}
    needed = {k for k in wanted if not k.endswith(OPTIONAL)}
    missing, left = sorted(needed - placed), sorted(best.keys() - placed)
    if missing or left:
        told = f"{len(needed & placed)} of {len(needed)} tensors of {name!r} found their values"
        told += f", and {len(left)} of the file found no place" if left else ""
        examples = " and ".join(f"`{k}`" for k in (missing[:1] + left[:1]))
        raise UserError(
            f"`train.weights` {weights}: {told} (such as {examples}); give the weights of this "
            "very backbone, as timm names them."
        )
    net.load_state_dict(best, strict=False)


def _tensors(content: Any) -> dict[str, Tensor]:
    """Return the weights in a file of torch.save, without DistributedDataParallel's prefix."""
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError("no weights")
    return {str(k).removeprefix("module."): v for k, v in content.items()}


def _renamings(net: nn.Module, found: Mapping[str, Tensor]) -> list[Mapping[str, Tensor]]:
    """Yield the tensors unchanged and, if timm can convert them, renamed and resized."""
    out = [found]
    rename = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    if rename is not None:
        with suppress(Exception):  # unknown files: the error then lists names
            out.append(cast(Mapping[str, Tensor], rename(dict(found), net)))
    return out


def _headless(net: nn.Module, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    heads = getattr(net, "pretrained_cfg", {}).get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    own = net.state_dict().keys()
    return {
        k: v
        for k, v in found.items()
        if k in own or not any(k.startswith(f"{head}.") for head in heads)
    }


def _score(wanted: Mapping[str, Tensor]) -> Any:
    def score(found: Mapping[str, Tensor]) -> int:
        fits = [k in wanted and v.shape == wanted[k].shape for k, v in found.items()]
        return 2 * sum(fits) - len(fits)

    return score
