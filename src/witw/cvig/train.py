"""Train the twin network; whole validation areas select the best epoch.

Equal spec, pairs and number of threads give equal weights on a CPU. An interrupted run continues
from ``checkpoints/`` in the working folder, with the same result as an uninterrupted one. This
folder also has event files for ``tensorboard --logdir checkpoints``. With ``--processes N``, or
under torchrun, N processes share every batch, with the loss of one process. With ``--nodes M`` they
run on M nodes of a Slurm job, which all see the working folder.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from witw import files, stage
from witw.cvig import batches
from witw.cvig.batches import Batch
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.model import Model, device
from witw.cvig.training import checkpoint, distributed, nodes, throughput
from witw.cvig.training.collapse import is_guessing
from witw.cvig.training.distributed import Processes
from witw.cvig.training.tensorboard import Events
from witw.cvig.training.trainer import Trainer, selection_key
from witw.dataset.packed import Packed
from witw.errors import UserError
from witw.settings.train import Train

VERSION = 4
READS = ("train", "chip_m")


def run(
    spec: dict[str, Any],
    train_dir: Path,
    val_dir: Path,
    model: Path,
    metrics_path: Path,
    threads: int = 1,
    processes: Processes | None = None,
    weights: Path | None = None,
) -> Model | None:
    """Train, and write the model of the best epoch on the validation areas.

    Args:
        spec: section ``train`` and ``chip_m``.
        train_dir: packed training split.
        val_dir: packed validation split.
        model: output, see :class:`witw.cvig.network.model.Model`.
        metrics_path: output, one JSON line per epoch: ``epoch``, ``loss`` [nats] and the figures of
            :func:`witw.cvig.metrics.summary` on the validation areas, prefixed ``val_``.
        threads: CPU threads of this process.
        processes: the processes that train together; default: only this one.
        weights: the file of ``train.weights``; default: as in that key.

    Returns:
        The model; None in all processes except the first.

    Raises:
        UserError: fewer than two training pairs, or training diverges or collapses.
    """
    processes = processes or Processes()
    settings, chip_m = Train.model_validate(spec["train"]), float(spec["chip_m"])
    if weights is not None:
        settings = settings.model_copy(update={"weights": str(weights)})
    train, val = Packed.open(train_dir, threads), Packed.open(val_dir, threads)
    if len(train) < 2:
        raise UserError(f"{train_dir} holds {len(train)} pair; training needs at least two.")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.allow_tf32 = False  # the correlation is to be float32; towers are bfloat16
    sides = train.chip_px, train.photo_px
    saved = checkpoint.path(spec, train_dir, val_dir, sides, weights)
    outputs = model, metrics_path
    if processes.broadcast(processes.first and checkpoint.put_back(saved, outputs)):
        kept = checkpoint.beside(saved)
        stage.log.info("trained before on the same pairs; result taken from %s", kept)
        stage.log.info("to train anew, delete that folder")
        return Model.load(model, torch.device("cpu")) if processes.first else None
    trainer = Trainer(settings, Architecture.of(settings, chip_m, *sides), device(), 0, processes)
    _train(trainer, train, val, chip_m, saved)
    if not processes.first:
        return None
    done = trainer.model(val)
    if is_guessing(min(trainer.lines, key=selection_key), len(val)):
        stage.log.warning(
            "the model is no better than guessing: its best median percentile on the validation "
            "areas is %.0f, and 50 is guessing; train longer, or on more pairs",
            done.val["median_percentile"],
        )
    files.write_text(metrics_path, "".join(json.dumps(line) + "\n" for line in trainer.lines))
    done.save(model)
    checkpoint.keep_result(saved, outputs)
    return done


def _train(trainer: Trainer, train: Packed, val: Packed, chip_m: float, saved: Path) -> None:
    """Run the remaining epochs."""
    settings, processes = trainer.settings, trainer.processes
    steps = trainer.steps(train)
    trainer.total = steps * settings.epochs
    if checkpoint.is_found(saved, processes):
        trainer.restore(checkpoint.read(saved, trainer.where))
        if processes.first:
            stage.log.info("going on from %s at step %d of %d", saved, trainer.step, trainer.total)
    watch = _meter(trainer, train, checkpoint.beside(saved))
    trainer.compile()
    with checkpoint.keeper(saved, trainer.state, settings.checkpoint_minutes, processes) as keep:
        while len(trainer.lines) < settings.epochs:
            watch.resume()
            for batch in watch.waiting(_batches(trainer, train, steps)):
                rate = trainer.learning_rate
                trainer.train_step(batch, chip_m)
                watch.step(trainer.step, len(batch) * processes.size, trainer.latest, rate)
                keep()
            line = trainer.end_epoch(steps, val)
            keep()
            if processes.first:
                watch.events.add(trainer.step, {f"epoch/{k}": v for k, v in line.items()})
                watch.validated(line)
                speed = watch.figures.get("pairs/s", 0.0)
                stage.log.info("%s  %.0f pairs/s", json.dumps(line), speed)
    watch.close()


def _batches(trainer: Trainer, train: Packed, steps: int) -> Iterator[Batch]:
    """Yield this process's part of the epoch's remaining batches, read ahead."""
    epoch = len(trainer.lines)
    rows = batches.split(trainer.order(train, epoch), trainer.settings.batch)
    left = rows[trainer.step - epoch * steps : steps]
    pin = trainer.where.type == "cuda"
    own = (part[trainer.processes.shard(len(part))] for part in left)
    return batches.ahead(batches.read(train, part, pin) for part in own)


def _meter(trainer: Trainer, train: Packed, folder: Path) -> throughput.ThroughputMeter:
    some = batches.read(train, batches.draw(train.buckets(0), 0, 0)[:1])
    work = throughput.flops(trainer.network, some.to(trainer.where))
    first = trainer.processes.first
    events = Events(folder if first else None)
    return throughput.ThroughputMeter(events, trainer.total, trainer.step, work, first)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    argv = sys.argv[1:] if argv is None else list(argv)
    several = argparse.ArgumentParser(add_help=False)
    several.add_argument("--processes", type=int, default=1)  # on all nodes together
    several.add_argument("--nodes", type=int, default=1)  # of the Slurm job
    several.add_argument("--threads", type=int, default=1)  # of each node
    several.add_argument(
        "--weights", type=Path, nargs="*", default=[]
    )  # the files of `train.weights`
    chosen, rest = several.parse_known_args(argv)
    if max(chosen.processes, chosen.nodes) > 1 and "RANK" not in os.environ:
        again = [*rest, "--weights", *map(str, chosen.weights)]
        nodes.launch(chosen.processes, chosen.nodes, chosen.threads, again)
    args = stage.arguments(
        "train", __doc__, inputs=["train", "val"], outputs=["model", "metrics"], argv=rest
    )
    with distributed.connect() as processes:
        threads = max(1, chosen.threads // processes.local)
        out = args.model, args.metrics
        run(args.spec, args.train, args.val, *out, threads, processes, *chosen.weights)


if __name__ == "__main__":
    stage.execute(main)
