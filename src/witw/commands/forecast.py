"""What a training will take, before it begins: where, how long, how many gigabytes. All is about.

The network's arithmetic is counted exactly, by ``witw.cvig.training.cost``; what a device does of
it in a second is an estimate.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from witw.commands.estimate import column, listed
from witw.config import Config
from witw.cvig.network.sizes import small_flop, view_columns
from witw.errors import UserError
from witw.status import Status

RESULTS = Path("results")
# FLOP/s in training with bfloat16, a third to a quarter of the data sheets'. Measured by others:
# RTX 3090 (timm's benchmark tables). Estimated after it: the rest.
GPUS = {
    "H200": 220e12, "H100": 200e12, "A100": 110e12, "L40": 90e12, "RTX 6000": 90e12,
    "5090": 90e12, "4090": 70e12, "A6000": 50e12, "A10": 40e12, "3090": 35e12, "V100": 30e12,
    "T4": 15e12,
}  # fmt: skip
USUAL = "3090"  # a GPU of 24 GB, of which nothing is known
CORE = 40e9  # FLOP/s of a processor's core, assumed: not calibrated against a training
THREADS = 8  # of rule `train`
# Bytes of a packed pair for each pixel of both squares, at quality 90: measured on real textures.
PACK_BYTES = 0.49
MANY = 20_000  # pairs, from which on a network from scratch is a waste of them
UNIT = 100_000  # pairs that hours are told for where their number is not known


@dataclass(frozen=True)
class Training:
    """What a training comes to.

    Attributes:
        pairs: of the training areas, at most; None: not yet known.
        where: the device, in words.
        hours: for these pairs, or for :data:`UNIT`.
        memory_bytes: of the GPU; 0: it runs on processors.
        gpu_bytes: that the GPU has; 0: not known.
        parameters: of both towers; 0: not counted.
        pack_bytes: of the packed pairs of all areas, or of :data:`UNIT`.
        told: all of this, as a sentence.
    """

    pairs: int | None
    where: str
    hours: float
    memory_bytes: float
    gpu_bytes: int
    parameters: int
    pack_bytes: float
    told: str = ""


def pairs_of(config: Config, splits: tuple[str, ...] = ("train",)) -> int | None:
    """Pairs of the areas of these splits: counted, or at most the listed photos; None: unknown."""
    found = [_pairs(name) for name, area in config.aois.items() if area.split in splits]
    known = [pairs for pairs in found if pairs is not None]
    return sum(known) if len(known) == len(found) else None


def _pairs(aoi: str) -> int | None:
    table = RESULTS / aoi / "pairs.parquet"
    try:
        if table.is_file():
            return int((column(table, "status") == Status.PAIRED.value).sum())
        return listed(aoi)
    except UserError:  # a damaged table is told by the stage that reads it
        return None


def forecast(config: Config, pairs: int | None, every: int | None, is_local: bool) -> Training:
    """Reckon what training comes to.

    Args:
        config: the validated config.
        pairs: to train on.
        every: pairs of all areas.
        is_local: whether training runs on this machine.

    Raises:
        UserError: the network cannot be built.
    """
    train, pack = config.train, config.pack
    count, packed = pairs or UNIT, every or pairs or UNIT
    size = PACK_BYTES * (pack.chip_px**2 + pack.photo_px**2) * packed
    found = _cost(config)
    name = str(found["gpu"] or "")
    if not is_local:
        where, speed = "a GPU of the cluster", GPUS[USUAL]
    elif name:
        where, speed = f"{name}", next((v for k, v in GPUS.items() if k in name), GPUS[USUAL])
    else:
        cores = min(THREADS, os.cpu_count() or 1)
        where, speed = f"{cores} processor cores", cores * CORE
    on_gpu = bool(name) or not is_local
    made = Training(
        pairs=pairs,
        where=where,
        hours=found["pair_flop"] * count * train.epochs / speed / 3600,
        memory_bytes=found["memory_bytes"] if on_gpu else 0.0,
        gpu_bytes=int(found["gpu_bytes"]) if is_local else 0,
        parameters=int(found["parameters"]),
        pack_bytes=size,
    )
    return replace(made, told=line(config, made))


def sentences(config: Config, is_local: bool) -> list[str]:
    """The line about a training that is about to run, and warnings.

    Args:
        config: the validated config.
        is_local: whether training runs on this machine.

    Raises:
        UserError: the network cannot be built.
    """
    pairs = pairs_of(config)
    every = pairs_of(config, ("train", "val", "test"))
    found = forecast(config, pairs, every, is_local)
    return [found.told, *(f"Note: {text}" for text in warnings(config, found))]


def line(config: Config, found: Training) -> str:
    """What will be trained, where, how long and how many gigabytes."""
    train = config.train
    network = f"{train.backbone}, {'from scratch' if train.weights == 'none' else 'pretrained'}"
    if found.parameters:
        network += f", {found.parameters / 1e6:.0f} million parameters"
    many = "as many pairs as there will be" if found.pairs is None else f"{found.pairs:,} pairs"
    each = f" for every {UNIT:,} of them" if found.pairs is None else ""
    memory = f", {found.memory_bytes / 1e9:.0f} GB of its memory" if found.memory_bytes else ""
    return (
        f"Training: {network}; {train.epochs} epochs of at most {many} on {found.where}: about "
        f"{duration(found.hours)}{each}{memory}; packed pairs take {found.pack_bytes / 1e9:.2g} "
        f"GB{each}."
    )


def warnings(config: Config, found: Training) -> list[str]:
    """What an expert would do otherwise, in sentences that name the file to use."""
    told = []
    backbone, made = config.train.backbone, {a.satellite for a in config.aois.values()} == {"made"}
    if backbone == "small" and (found.pairs or 0) > MANY and not made:
        told.append(
            f"`train.backbone: small` learns from scratch, and {found.pairs:,} pairs are worth "
            "pretrained weights: take the sections `pack` and `train` of witw's own config.yaml "
            "(one GPU of 24 GB) or configs/gpu_80gb.yaml."
        )
    if backbone not in ("small", "original") and "processor" in found.where:
        told.append(
            f"{backbone} is made for a GPU, and here is none: lay configs/cpu.yaml over the "
            "config (--configfile config.yaml configs/cpu.yaml), or train elsewhere."
        )
    if 0 < found.gpu_bytes < found.memory_bytes:
        told.append(
            f"{found.where} has {found.gpu_bytes / 1e9:.0f} GB, and training wants about "
            f"{found.memory_bytes / 1e9:.0f}: set `train.micro_batch` lower."
        )
    return told


def duration(hours: float) -> str:
    """Hours or minutes with two digits that count, at least a minute."""
    if hours < 1:
        minutes = max(1, round(60 * hours))
        return f"{minutes} minute{'s' * (minutes > 1)}"
    return f"{hours:.0f} hours" if hours >= 10 else f"{hours:.1f} hours"


def _cost(config: Config) -> dict[str, Any]:
    """Parameters, FLOP a pair, memory and the GPU, if there is one.

    Of the small network without torch, which takes seconds of every start.
    """
    train = config.train
    if train.backbone == "small" and not Path("/dev/nvidia0").exists():
        return {"parameters": 0, "pair_flop": 3 * _small(config), "memory_bytes": 0.0,
                "gpu": None, "gpu_bytes": 0}  # fmt: skip
    asked = {"train": train.model_dump(mode="json"), "pack": config.pack.model_dump(mode="json")}
    done = subprocess.run(
        [sys.executable, "-m", "witw.cvig.training.cost"],
        input=json.dumps(asked | {"chip_m": config.chip_m}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        told = [text[6:] for text in done.stderr.splitlines() if text.startswith("witw: ")]
        ended = f"The look at the network ended with code {done.returncode}; run again."
        raise UserError(told[-1] if told else done.stderr.strip() or ended)
    return dict(json.loads(done.stdout))


def _small(config: Config) -> float:
    """FLOP of the small towers for one pair; views as :class:`Architecture` has them."""
    train, pack = config.train, config.pack
    small = train.width, train.blocks
    if train.head == "global":
        sides, dims = [-(-px // 32) * 32 for px in (pack.photo_px, pack.chip_px)], train.embed_dim
        return sum(small_flop((s, s), max(12, s // 32), *small, (0, dims)) for s in sides)
    columns = math.ceil((train.photo_span_deg or train.photo_fov_deg) / 360 * train.headings)
    side, rows = view_columns(columns, pack.photo_px), train.polar_rows or 64
    both = train.embed_dim, train.vector_dim
    photo = small_flop((train.photo_rows or side, side), columns, *small, both)
    polar = rows, view_columns(train.headings, 4 * rows)
    return photo + small_flop(polar, train.headings, *small, both)
