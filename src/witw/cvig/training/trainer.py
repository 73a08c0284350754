"""Training step, epoch, and the state of a training."""

from __future__ import annotations

import copy
import math
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from witw.cvig import batches, metrics, retrieval
from witw.cvig.batches import Batch
from witw.cvig.network import augment, backbones
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.model import Model
from witw.cvig.network.towers import Network
from witw.cvig.training import collapse, gradcache, mining, optimizer
from witw.cvig.training.distributed import Processes
from witw.cvig.training.loss import chosen
from witw.cvig.training.optimizer import Average
from witw.dataset.packed import Packed
from witw.errors import UserError
from witw.settings.train import Train


class Trainer:
    """Network, optimiser and progress of a run: the content of a checkpoint.

    Args:
        settings: settings of the training.
        shape: architecture of the network.
        where: the device.
        total: total steps of the training.
        processes: the processes.
    """

    def __init__(
        self,
        settings: Train,
        shape: Architecture,
        where: torch.device,
        total: int,
        processes: Processes | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.where, self.total = settings, where, total
        self.processes = processes or Processes()
        self.network = self._made(shape)
        self.average = Average(self.network, settings.ema) if settings.ema else None
        self.optimizer = optimizer.optimizer(self.network, settings, fused=where.type == "cuda")
        self.criterion = chosen(settings)
        self.step, self.batch = 0, settings.batch
        self.loss = torch.zeros((), dtype=torch.float64, device=where)  # sum over the epoch so far
        self.latest = self.loss
        self.lines: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.mined: dict[str, Tensor] = {}  # order of training by number of epoch

    def _made(self, shape: Architecture) -> Network:
        """Create the network on its device, ready for training."""
        settings = self.settings
        network = Network(shape, settings.weights)
        optimizer.freeze(network, settings.freeze)
        if settings.grad_checkpointing:
            self._recompute(network)
        if backbones.mixes_pairs(network):
            network = self._apart(network)
        network = network.to(self.where)
        if self.where.type == "cuda":
            network = network.to(memory_format=torch.channels_last)
        return network

    def _apart(self, network: Network) -> Network:
        """Make batch normalisation use the whole batch, or keep its statistics.

        Raises:
            UserError: the batch is processed in parts, and there are no statistics to keep.
        """
        settings, several = self.settings, self.processes.size > 1
        if settings.micro_batch or (several and self.where.type != "cuda"):
            if settings.weights == "none":
                raise UserError(
                    f"`train.backbone` {settings.backbone!r} normalises over its batch, so the "
                    "batch cannot be split: give it pretrained weights, whose statistics it keeps, "
                    "or leave out `train.micro_batch` and use one process or GPUs."
                )
            for tower in (network.photo, network.overhead):
                tower.backbone.holds_statistics = True
        elif several:
            # timm's own: torch's loses the activations inside of timm's batch normalisation.
            from timm.layers.norm_act import convert_sync_batchnorm

            return cast(Network, convert_sync_batchnorm(network))  # type: ignore[no-untyped-call]
        return network

    def _recompute(self, network: Network) -> None:
        """Recompute blocks in the backward pass instead of storing them.

        Raises:
            UserError: the backbone does not support this.
        """
        settings = self.settings
        nets: list[Any] = [
            getattr(t.backbone, "net", None) for t in (network.photo, network.overhead)
        ]
        if not all(hasattr(net, "set_grad_checkpointing") for net in nets):
            raise UserError(
                f"`train.grad_checkpointing`: {settings.backbone!r} does not support it; leave it "
                "out."
            )
        if settings.drop_path and settings.share_weights:
            raise UserError(
                "`train.grad_checkpointing` and `train.drop_path` need separate towers: leave "
                "out one of them or `train.share_weights`."
            )
        for net in nets:
            net.set_grad_checkpointing(True)

    def compile(self) -> None:
        """Compile the towers at their first use, on a GPU and if the settings say so.

        The moving average is not compiled, because it runs only once per epoch.
        """
        if self.settings.compile and self.where.type == "cuda":
            for tower in (self.network.photo, self.network.overhead):
                tower.compile()

    def state(self) -> dict[str, Any]:
        """Return the state for :meth:`restore`: tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state() if self.average else {},
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "loss": self.loss,
            "lines": self.lines,
            "best": self.best,
            "mined": self.mined,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a result of :meth:`state`."""
        self.network.load_state_dict(state["network"])
        if self.average:
            self.average.module.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.loss = state["step"], state["loss"]
        self.lines, self.best, self.mined = state["lines"], state["best"], state["mined"]

    @property
    def eval_network(self) -> Network:
        """The network for validation, saving and mining."""
        return self.average.module if self.average else self.network  # type: ignore[return-value]

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return optimizer.learning_rate(self.step, self.total, self.settings)

    def steps(self, train: Packed) -> int:
        """Return the steps per epoch, equal for all although owner caps leave more rows in some."""
        settings = self.settings
        epochs = range(settings.epochs if settings.owner_cap else 1)
        least = min(len(self._drawn(train, epoch)) for epoch in epochs)
        return max(1, least // settings.batch)

    def order(self, train: Packed, epoch: int) -> NDArray[np.int64]:
        """Return the rows of an epoch in training order; mine hard batches when due."""
        every = self.settings.hard_every
        if not every or epoch < every:
            return self._drawn(train, epoch)
        if str(epoch) not in self.mined:
            self.mined = self.processes.broadcast(self._mine(train, epoch))
        return self.mined[str(epoch)].numpy()

    def _drawn(self, train: Packed, epoch: int) -> NDArray[np.int64]:
        settings = self.settings
        buckets = train.buckets(settings.bucket_m)
        return batches.draw(buckets, settings.seed, epoch, train.owners, settings.owner_cap)

    def _mine(self, train: Packed, epoch: int) -> dict[str, Tensor]:
        """Order all epochs until the next mining, because later the current weights are lost."""
        if not self.processes.first:
            return {}
        settings = self.settings
        vectors = mining.describe(self.eval_network, train, self.where)
        orders = {}
        for e in range(epoch, epoch + settings.hard_every):
            rows = self._drawn(train, e)
            size = min(settings.batch, len(rows))
            composed = mining.compose(
                rows, vectors, train, size, settings.hard_share, settings.mask_radius_m
            )
            orders[str(e)] = torch.from_numpy(composed)
        return orders

    def train_step(self, batch: Batch, chip_m: float) -> None:
        """Run one optimiser step; its random numbers depend only on seed and step.

        Args:
            batch: this process's part of the step's pairs.
            chip_m: side of a chip on the ground [m].
        """
        settings, processes = self.settings, self.processes
        self.network.train()
        # Every process draws for the whole batch, so a part does not depend on its process.
        count = self.batch = len(batch) * processes.size
        seed = settings.seed * 1_000_003 + self.step
        jitter = augment.draw(count, settings, chip_m, seed)[processes.shard(count)].to(self.where)
        rate = self.learning_rate
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self.optimizer.zero_grad(set_to_none=True)
        self.latest = gradcache.backward(
            self.network,
            batch.to(self.where),
            jitter,
            self.criterion,
            settings.mask_radius_m,
            settings.micro_batch,
            processes,
            settings.vector_weight,
        )
        if settings.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip_norm)
        self.optimizer.step()
        self.loss += self.latest
        self.step += 1
        if self.average:
            self.average.update(self.network, self.step)

    def end_epoch(self, steps: int, val: Packed) -> dict[str, float]:
        """Validate, record the epoch, and keep its weights if it is the best so far.

        Raises:
            UserError: training has diverged or collapsed.
        """
        mean = round(float(self.loss) / steps, 6)
        if not math.isfinite(mean):
            raise UserError(
                "Training diverged: the loss is not finite; lower `train.learning_rate`."
            )
        figures, spread = dict[str, float](), 0.0
        if self.processes.first:
            codes = retrieval.encode(self.eval_network, val, self.where)
            found = retrieval.find(codes, val.areas, retrieval.learned_blend(self.eval_network))
            figures = metrics.summary(found.rank, found.gallery)
            del figures["n"]
            spread = min(collapse.spread(codes.photos), collapse.spread(codes.chips))
        figures, spread = self.processes.broadcast((figures, spread))
        line = {"epoch": len(self.lines) + 1, "loss": mean}
        line |= {f"val_{name}": value for name, value in figures.items()}
        if selection_key(line) <= min(map(selection_key, [*self.lines, line])):
            self.best = copy.deepcopy(self.eval_network.state_dict())
        self.lines.append(line)
        self.loss.zero_()
        equal = collapse.equal_scores_loss(self.criterion, self.batch)
        told = collapse.sentence(self.lines, self.settings, equal, spread, len(val))
        if told:
            raise UserError(told)
        return line

    def model(self, val: Packed) -> Model:
        """Return the network of the best epoch, with temperature fitted on the validation areas."""
        line = min(reversed(self.lines), key=selection_key)
        network = self.eval_network
        network.load_state_dict(self.best)
        codes = retrieval.encode(network, val, self.where)
        figures = {k.removeprefix("val_"): v for k, v in line.items() if k.startswith("val_")}
        blend = retrieval.fit_blend(codes, val.areas)
        return Model(
            network, blend.temperature, int(line["epoch"]), figures, vector_weight=blend.weight
        )


def selection_key(line: dict[str, float]) -> tuple[float, float, float]:
    """Return the key that the best epoch minimizes: median percentile, then misses."""
    return line["val_median_percentile"], -line["val_recall_at_10"], -line["val_recall_at_1"]
