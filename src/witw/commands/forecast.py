"""Estimate the cost of a training before it starts: device, duration, gigabytes.

``witw.cvig.training.cost`` counts the network's arithmetic exactly. The speed of a device is an
estimate.
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
# FLOP/s of a training with bfloat16, a quarter to a third of the data sheets' values. RTX 3090:
# from timm's benchmark tables. The others are estimated from it.
GPUS = {
    "H200": 220e12, "H100": 200e12, "A100": 110e12, "L40": 90e12, "RTX 6000": 90e12,
    "5090": 90e12, "4090": 70e12, "A6000": 50e12, "A10": 40e12, "3090": 35e12, "V100": 30e12,
    "T4": 15e12,
}  # fmt: skip
USUAL = "3090"  # assumed for an unknown GPU
CORE = 40e9  # FLOP/s of a CPU core; an assumption, not calibrated against a training
THREADS = 8  # threads of rule `train`
# Bytes per pixel of both squares of a packed pair at quality 90, measured on real textures.
PACK_BYTES = 0.49
MANY = 20_000  # number of pairs above which pretrained weights are worthwhile
UNIT = 100_000  # pairs that the estimate refers to if their number is unknown


@dataclass(frozen=True)
class Training:
    """Expected cost of a training.

    Attributes:
        pairs: maximum number of pairs of the training areas; None if unknown.
        where: the device, in words.
        hours: duration for these pairs, or for :data:`UNIT` pairs.
        memory_bytes: required GPU memory; 0 for a training on CPUs.
        gpu_bytes: memory of the GPU; 0 if unknown.
        parameters: parameters of both towers; 0 if not counted.
        pack_bytes: size of the packed pairs of all areas, or of :data:`UNIT` pairs.
        told: the estimate as a sentence.
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
    """Count the pairs of the areas of splits, or their listed photos as a maximum.

    Returns:
        The number; None if unknown.
    """
    found = [_pairs(name) for name, area in config.aois.items() if area.split in splits]
    known = [pairs for pairs in found if pairs is not None]
    return sum(known) if len(known) == len(found) else None


def _pairs(aoi: str) -> int | None:
    table = RESULTS / aoi / "pairs.parquet"
    try:
        if table.is_file():
            return int((column(table, "status") == Status.PAIRED.value).sum())
        return listed(aoi)
    except UserError:  # the stage that reads the table reports the damage
        return None


def forecast(config: Config, pairs: int | None, every: int | None, is_local: bool) -> Training:
    """Estimate the cost of a training.

    Args:
        config: the validated config.
        pairs: number of training pairs; None if unknown.
        every: number of pairs of all areas; None if unknown.
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
        where, speed = f"{cores} CPU cores", cores * CORE
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
    """Return the line about a planned training, and warnings.

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
    """Describe a training in a sentence: network, device, duration and gigabytes."""
    train = config.train
    network = f"{train.backbone}, {'from scratch' if train.weights == 'none' else 'pretrained'}"
    if found.parameters:
        network += f", {found.parameters / 1e6:.0f} million parameters"
    many = "all pairs" if found.pairs is None else f"at most {found.pairs:,} pairs"
    each = f" per {UNIT:,} pairs" if found.pairs is None else ""
    memory = f", {found.memory_bytes / 1e9:.0f} GB of its memory" if found.memory_bytes else ""
    return (
        f"Training: {network}; {train.epochs} epochs of {many} on {found.where}: about "
        f"{duration(found.hours)}{each}{memory}; packed pairs take {found.pack_bytes / 1e9:.2g} "
        f"GB{each}."
    )


def warnings(config: Config, found: Training) -> list[str]:
    """Return warnings about unsuitable settings, each with a better config."""
    told = []
    backbone, made = config.train.backbone, {a.satellite for a in config.aois.values()} == {"made"}
    if backbone == "small" and (found.pairs or 0) > MANY and not made:
        told.append(
            f"`train.backbone: small` trains from scratch, but {found.pairs:,} pairs justify "
            "pretrained weights: use the sections `pack` and `train` of witw's own config.yaml "
            "(one GPU of 24 GB) or configs/gpu_80gb.yaml."
        )
    if backbone not in ("small", "original") and "CPU" in found.where:
        told.append(
            f"{backbone} needs a GPU, and this machine has none: add configs/cpu.yaml to the "
            "config (--configfile config.yaml configs/cpu.yaml), or train on another machine."
        )
    if 0 < found.gpu_bytes < found.memory_bytes:
        told.append(
            f"{found.where} has {found.gpu_bytes / 1e9:.0f} GB, and the training needs about "
            f"{found.memory_bytes / 1e9:.0f} GB: reduce `train.micro_batch`."
        )
    return told


def duration(hours: float) -> str:
    """Format hours or minutes with two significant digits, at least a minute."""
    if hours < 1:
        minutes = max(1, round(60 * hours))
        return f"{minutes} minute{'s' * (minutes > 1)}"
    return f"{hours:.0f} hours" if hours >= 10 else f"{hours:.1f} hours"


def _cost(config: Config) -> dict[str, Any]:
    """Return parameters, FLOP per pair, memory, and the GPU, if any.

    The small network is counted without torch, whose import takes seconds.
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
        ended = f"Counting the arithmetic failed with exit code {done.returncode}; run again."
        raise UserError(told[-1] if told else done.stderr.strip() or ended)
    return dict(json.loads(done.stdout))


def _small(config: Config) -> float:
    """Return the FLOP of the small towers for one pair, with the views of :class:`Architecture`."""
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
