"""Compute the cost of a training in advance: arithmetic and memory of its network.

``python -m witw.cvig.training.cost`` reads a JSON object with ``train``, ``chip_m`` and ``pack``,
and writes a JSON object of :class:`Cost`, with memory and arithmetic. It runs in a separate
process, because torch takes seconds to load.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from witw.cvig.network.architecture import Architecture
from witw.cvig.network.towers import Network
from witw.errors import UserError
from witw.settings.pack import Pack
from witw.settings.train import Train

STATE_BYTES = 16  # per parameter: value, gradient, AdamW's two moments, in float32
# Places from which on a square of places by places is taken for an attention matrix: without a GPU
# it is kept, and on one it is not.
ATTENTION = 128
HALF = 2  # bytes of a value kept for the backward pass, in bfloat16


@dataclass(frozen=True)
class Cost:
    """Requirements of a network's training.

    Attributes:
        parameters: number of parameters of both towers.
        forward_flop: FLOP to encode one pair.
        kept_values: number of values per pair that the backward pass needs.
        gpu: name of this machine's GPU, or None.
        gpu_bytes: memory of this GPU.
    """

    parameters: int
    forward_flop: float
    kept_values: int
    gpu: str | None = None
    gpu_bytes: int = 0

    def memory_bytes(self, settings: Train) -> float:
        """Estimate the GPU memory of the training: weights, optimiser, and pairs in progress."""
        state = self.parameters * (STATE_BYTES + (4 if settings.ema else 0))
        pairs = settings.micro_batch or settings.batch
        return state + pairs * self.kept_values * HALF

    def pair_flop(self, settings: Train) -> float:
        """Return the FLOP of training on a pair: forward, twice that back, and repeated passes."""
        cached = 0 < settings.micro_batch < settings.batch
        return self.forward_flop * (3 + cached + settings.grad_checkpointing)


def measure(settings: Train, chip_m: float, pack: Pack) -> Cost:
    """Count the cost on torch's meta device, without memory for weights.

    Args:
        settings: settings of the training.
        chip_m: side of a chip on the ground [m].
        pack: sizes of the packed pictures.

    Raises:
        UserError: the network cannot be built.
    """
    shape = Architecture.of(settings, chip_m, pack.chip_px, pack.photo_px)
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.ndim > 2 and tensor.shape[-1] == tensor.shape[-2] > ATTENTION:
            return tensor
        kept[id(tensor.untyped_storage())] = tensor  # held, so that no other gets its number
        return tensor

    with torch.device("meta"):
        network = Network(shape).train()
        own = {id(p.untyped_storage()) for p in network.parameters()}
        views = (torch.zeros(1, 3, *view) for view in (shape.photo_view, shape.polar_view))
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with FlopCounterMode(display=False) as counter, hooks:
            # Kept referenced: memory freed in between would be counted twice.
            codes = [
                tower(v) for tower, v in zip((network.photo, network.overhead), views, strict=True)
            ]
        del codes
    return Cost(
        parameters=sum(p.numel() for p in network.parameters()),
        forward_flop=float(counter.get_total_flops()),
        kept_values=sum(t.numel() for at, t in kept.items() if at not in own),
    )


def main() -> None:
    """Answer the request on standard input."""
    asked: Mapping[str, Any] = json.load(sys.stdin)
    settings, pack = Train.model_validate(asked["train"]), Pack.model_validate(asked["pack"])
    try:
        found = measure(settings, float(asked["chip_m"]), pack)
    except UserError as error:
        sys.exit(f"witw: {error}")
    gpu: dict[str, Any] = {}
    if torch.cuda.is_available():
        about = torch.cuda.get_device_properties(0)
        gpu = {"gpu": about.name, "gpu_bytes": about.total_memory}
    work = {"memory_bytes": found.memory_bytes(settings), "pair_flop": found.pair_flop(settings)}
    json.dump(asdict(found) | gpu | work, sys.stdout)


if __name__ == "__main__":
    main()
