"""Train the twin network; the epoch is chosen on whole validation areas, never seen in training.

The same spec, pairs and number of threads give the same weights on a CPU. An interrupted run goes
on from ``checkpoints/`` in the working folder and ends as if it had not been interrupted.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from witw import stage
from witw.cvig import augment, batches, checkpoint, metrics, search
from witw.cvig.batches import Batch, Packed
from witw.cvig.heads import correlate, soft_score
from witw.cvig.loss import hidden, info_nce
from witw.cvig.model import Model, Network, Shape, device
from witw.errors import UserError
from witw.settings import Train

VERSION = 1
READS = ("train", "chip_m")


class Trainer:
    """Network, optimiser and where the run stands; all that a checkpoint holds."""

    def __init__(self, settings: Train, shape: Shape, where: torch.device, total: int) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.where, self.total = settings, where, total
        self.network = Network(shape).to(where)
        # Weight decay is for matrices: not for norms, biases and the scale.
        weights = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [
            {"params": weights, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, fused=where.type == "cuda")
        self.step = 0
        self.loss = torch.zeros((), dtype=torch.float64, device=where)  # sum over the epoch so far
        self.lines: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs: tensors and plain values."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "loss": self.loss,
            "lines": self.lines,
            "best": self.best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.loss = state["step"], state["loss"]
        self.lines, self.best = state["lines"], state["best"]

    def train_step(self, batch: Batch, chip_m: float) -> None:
        """One optimiser step; its randomness is a function of seed and step."""
        settings = self.settings
        seed = settings.seed * 1_000_003 + self.step
        torch.manual_seed(seed)  # for dropout
        self.network.train()
        jitter = augment.draw(len(batch.photos), settings, chip_m, seed).to(self.where)
        batch = batch.to(self.where)
        with search.autocast(self.where):
            photo, mask = self.network.encode_photos(batch.photos, batch.sizes, jitter)
            overhead = self.network.encode_chips(batch.chips, jitter)
        hide = hidden(batch.area, batch.place, settings.mask_radius_m)
        scores = soft_score(correlate(photo, mask, overhead))
        loss = info_nce(scores, self.network.scale, hide)
        for group in self.optimizer.param_groups:
            group["lr"] = one_cycle(self.step, self.total, settings.learning_rate)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.loss += loss.detach()
        self.step += 1

    def end_epoch(self, steps: int, val: Packed) -> dict[str, float]:
        """Validate, note the epoch, keep its weights if it is the best so far."""
        codes = search.encode(self.network, val, self.where)
        found = search.find(codes, val.areas)
        figures = metrics.summary(found.rank, found.gallery)
        del figures["n"]
        line = {"epoch": len(self.lines) + 1, "loss": round(float(self.loss) / steps, 6)}
        line |= {f"val_{name}": value for name, value in figures.items()}
        if not math.isfinite(line["loss"]):
            raise UserError(
                "Training diverged: the loss is not finite; lower `train.learning_rate`."
            )
        if merit(line) <= min(map(merit, [*self.lines, line])):
            self.best = copy.deepcopy(self.network.state_dict())
        self.lines.append(line)
        self.loss.zero_()
        return line

    def model(self, val: Packed) -> Model:
        """The network of the best epoch, its temperature fitted on the validation areas."""
        line = min(reversed(self.lines), key=merit)
        self.network.load_state_dict(self.best)
        codes = search.encode(self.network, val, self.where)
        figures = {k.removeprefix("val_"): v for k, v in line.items() if k.startswith("val_")}
        temperature = search.fit_temperature(codes, val.areas)
        return Model(self.network, temperature, int(line["epoch"]), figures)


def merit(line: dict[str, float]) -> tuple[float, float, float]:
    """What the best epoch has least of: median percentile, then misses."""
    return line["val_median_percentile"], -line["val_recall_at_10"], -line["val_recall_at_1"]


def one_cycle(step: int, total: int, peak: float, warm: float = 0.25) -> float:
    """Learning rate of a step: a cosine up from a 25th of the peak, a cosine down to nearly zero.

    Smith and Topin 2019, with the shape of fastai's one-cycle policy.
    """
    rise = max(1.0, warm * total)
    if step < rise:
        low, high, at = peak / 25, peak, step / rise
    else:
        low, high, at = peak, peak / 1e4, (step - rise) / max(1.0, total - rise)
    return low + (high - low) * (1 - math.cos(math.pi * min(1.0, at))) / 2


def run(
    spec: dict[str, Any],
    train_dir: Path,
    val_dir: Path,
    model: Path,
    metrics_path: Path,
    threads: int = 1,
) -> Model:
    """Train and write the model of the epoch that is best on the validation areas.

    Args:
        spec: holds section ``train`` and ``chip_m``.
        train_dir: packed training split.
        val_dir: packed validation split.
        model: output, see :class:`witw.cvig.model.Model`.
        metrics_path: output, a JSON line an epoch: ``epoch``, ``loss`` [nats] and the figures of
            :func:`witw.cvig.metrics.summary` on the validation areas, prefixed ``val_``.
        threads: CPU threads.

    Raises:
        UserError: fewer than two training pairs, or the loss diverges.
    """
    settings, chip_m = Train.model_validate(spec["train"]), float(spec["chip_m"])
    train, val = Packed.open(train_dir), Packed.open(val_dir)
    if len(train) < 2:
        raise UserError(f"{train_dir} holds {len(train)} pair; training needs at least two.")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.allow_tf32 = False  # the correlation is to be float32; towers are bfloat16
    where = device()
    sides = train.chips.shape[1], train.photos.shape[1]
    trainer = Trainer(settings, Shape.of(settings, chip_m, *sides), where, 0)
    _train(trainer, train, val, chip_m, checkpoint.path(spec, train_dir, val_dir, sides))
    done = trainer.model(val)
    stage.write_text(metrics_path, "".join(json.dumps(line) + "\n" for line in trainer.lines))
    done.save(model)
    checkpoint.path(spec, train_dir, val_dir, sides).unlink(missing_ok=True)
    return done


def _train(trainer: Trainer, train: Packed, val: Packed, chip_m: float, saved: Path) -> None:
    """Run the epochs that are left."""
    settings = trainer.settings
    plan = (len(train), settings.batch, settings.seed)
    steps = len(batches.order(*plan, 0))
    trainer.total = steps * settings.epochs
    if saved.exists():
        trainer.restore(checkpoint.read(saved, trainer.where))
        stage.log.info("going on from %s at step %d of %d", saved, trainer.step, trainer.total)
    with checkpoint.keeper(saved, trainer.state, settings.checkpoint_minutes) as keep:
        while len(trainer.lines) < settings.epochs:
            start = time.monotonic()
            rows = batches.order(*plan, len(trainer.lines))
            left = rows[trainer.step - len(trainer.lines) * steps :]
            for batch in batches.ahead(batches.read(train, part) for part in left):
                trainer.train_step(batch, chip_m)
                keep()
            rate = sum(map(len, left)) / (time.monotonic() - start)
            line = trainer.end_epoch(steps, val)
            keep()
            stage.log.info("%s  %.0f pairs/s", json.dumps(line), rate)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = stage.arguments(
        "train", __doc__, inputs=["train", "val"], outputs=["model", "metrics"], argv=argv
    )
    run(args.spec, args.train, args.val, args.model, args.metrics, args.threads)


if __name__ == "__main__":
    stage.execute(main)
