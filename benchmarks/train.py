"""Compare training with the original's loss and head, and with the hardware.

    .venv/bin/python -m benchmarks.train compare     # minutes on two cores; needs a demo-run/
    .venv/bin/python -m benchmarks.train pretrained --weights FILE   # hours; needs a demo-run/
    .venv/bin/python -m benchmarks.train path        # the loader against tensors in memory
    .venv/bin/python -m benchmarks.train speed       # images/s and FLOP/s; meant for a GPU

See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import yaml
from PIL import Image

from witw import tables
from witw.cvig import batches, metrics, retrieval, train
from witw.cvig.batches import Batch
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.model import Model, device
from witw.cvig.scoring import intervals
from witw.cvig.training.throughput import flops
from witw.cvig.training.trainer import Trainer
from witw.dataset import packed
from witw.dataset.packed import Packed
from witw.settings.train import Train

CHIP_M = 225.0
# The original's loss, head and related settings; backbone and data are unchanged.
ORIGINAL = {
    "head": "original",
    "loss": "triplet",
    "projection": "stretched",
    "radius_exponent": 1.0,
    "photo_rows": 0,
    "photo_band": 1.0,
    # Its overhead view is four times as wide as high, and the photo's view has the same height.
    "headings": 32,
    "polar_rows": 32,
    "mask_radius_m": 0.0,
    "label_smoothing": 0.0,
    "ema": 0.0,
}
# The original at our input resolution, at five times the work: the row `finer`.
FINER = {"headings": 64, "polar_rows": 64}
# The original had no augmentation; the row `augmented` adds ours.
PLAIN = {"shift_m": 0.0, "zoom": 0.0, "colour": 0.0, "erase": 0.0, "fov_jitter": 0.0}


@contextmanager
def folder() -> Iterator[Path]:
    """Change into a temporary folder, for checkpoints."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def fit(settings: Train, packs: Path, threads: int) -> tuple[Model, float]:
    """Return a trained model and the CPU seconds it took."""
    spec = {"train": settings.model_dump(), "chip_m": CHIP_M}
    with folder() as run:
        start = time.process_time()
        train.run(spec, packs / "train", packs / "val", run / "m.pt", run / "m.jsonl", threads)
        return Model.load(run / "m.pt", device()), time.process_time() - start


def figures(model: Model, test: Packed) -> dict[str, Any]:
    """Return ranks among the chips of an unseen area."""
    codes = retrieval.encode(model.network, test, device())
    found = retrieval.find(codes, test.areas, model.blend)
    values = metrics.of_ranks(found.rank, found.gallery)
    block = intervals.blocks(test.lon_lat)
    return {
        "rank": found.rank,
        "gallery": found.gallery,
        "values": metrics.values(values),
        "interval": intervals.intervals(values, block),
    }


def compare(args: argparse.Namespace) -> None:
    """Compare ours with the original's loss and head, on one backbone for equal CPU time."""
    config = yaml.safe_load((args.run / "config.yaml").read_text())["train"]
    packs = (args.run / "results" / "pack").resolve()
    test = Packed.open(packs / args.split)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("ours", *args.rows)}
    for seed in range(args.seeds):
        ours = Train(**config, seed=seed) if not args.epochs else Train(
            **config | {"epochs": args.epochs}, seed=seed)  # fmt: skip
        model, budget = fit(ours, packs, args.threads)
        rows["ours"].append(report("ours", seed, ours.epochs, budget, figures(model, test)))
        theirs = {
            "original": ORIGINAL | PLAIN,
            "finer": ORIGINAL | FINER | PLAIN,
            "augmented": ORIGINAL,
        }
        for name in args.rows:
            changes = theirs[name]
            settings = Train.model_validate(ours.model_dump() | changes)
            _, two = fit(settings.model_copy(update={"epochs": 2}), packs, args.threads)
            epochs = max(2, round(budget / (two / 2)))
            settings = settings.model_copy(update={"epochs": epochs})
            model, spent = fit(settings, packs, args.threads)
            rows[name].append(report(name, seed, epochs, spent, figures(model, test)))
    block = intervals.blocks(test.lon_lat)
    for name in args.rows:
        summary(name, rows["ours"], rows[name], block)


def pretrained(args: argparse.Namespace) -> None:
    """Compare a backbone with and without pretrained weights and the demo's, for equal CPU time."""
    config = yaml.safe_load((args.run / "config.yaml").read_text())["train"]
    packs = (args.run / "results" / "pack").resolve()
    test = Packed.open(packs / args.split)
    with tempfile.NamedTemporaryFile(suffix=".pth") as weights:
        torch.save(timm_names(args.backbone, args.weights or packaged(args.backbone)), weights.name)
        pretrained_rows(args, config, packs, test, Path(weights.name))


def packaged(backbone: str) -> Path:
    """Return the file of ImageNet weights in a package that `make test` installs."""
    name = {"mobilenetv2_100": "mobilenet_v2", "tf_efficientnet_lite0": "efficientnet-lite0"}
    found = sorted(Path(".weights/lib").glob(f"**/{name.get(backbone, '?')}-*.pth"))
    if not found:
        sys.exit(f".weights has no weights of {backbone}: run `make test` once, or give --weights.")
    return found[0]


def timm_names(backbone: str, path: Path) -> dict[str, torch.Tensor]:
    """Return a file's tensors under timm's names; both list the layers in the same order."""
    tensors = torch.load(path, weights_only=True)
    own = timm.create_model(backbone).state_dict()
    if [v.shape for v in tensors.values()] != [v.shape for v in own.values()]:
        sys.exit(f"{path} does not hold the tensors of {backbone} in timm's order.")
    return dict(zip(own, tensors.values(), strict=True))


def pretrained_rows(
    args: argparse.Namespace, config: dict[str, Any], packs: Path, test: Packed, weights: Path
) -> None:
    """Train all networks and print their figures."""
    # Geometry that these networks allow at the demo's sizes; the head's recipe is unchanged.
    common = {"backbone": args.backbone, "stride": 16, "headings": 32, "polar_rows": 0,
              "photo_rows": 0, "weight_decay": 0.05, "epochs": args.epochs}  # fmt: skip
    rows: dict[str, list[dict[str, Any]]] = {"pretrained": [], "scratch": [], "own": []}
    for seed in range(args.seeds):
        first = Train(**config | common | {"weights": str(weights), "seed": seed,
                      "learning_rate": 2e-3, "backbone_rate": 0.1})  # fmt: skip
        model, budget = fit(first, packs, args.threads)
        found = figures(model, test)
        rows["pretrained"].append(report("pretrained", seed, first.epochs, budget, found))
        scratch = first.model_copy(update={"weights": "none", "backbone_rate": 1.0})
        for name, settings in (("scratch", scratch), ("own", Train(**config | {"seed": seed}))):
            _, two = fit(settings.model_copy(update={"epochs": 2}), packs, args.threads)
            epochs = max(2, round(budget / (two / 2)))
            settings = settings.model_copy(update={"epochs": epochs})
            model, spent = fit(settings, packs, args.threads)
            rows[name].append(report(name, seed, epochs, spent, figures(model, test)))
    block = intervals.blocks(test.lon_lat)
    for name in ("scratch", "own"):
        summary(name, rows["pretrained"], rows[name], block, "pretrained")


def report(
    name: str, seed: int, epochs: int, seconds: float, found: dict[str, Any]
) -> dict[str, Any]:
    """Print a run."""
    parts = []
    for key in ("recall_at_1", "recall_at_10", "median_percentile"):
        low, high = found["interval"].get(key, [np.nan, np.nan])
        parts.append(f"{key} {found['values'][key]:.1f} [{low:.1f}, {high:.1f}]")
    print(
        f"{name:10} seed {seed}  {epochs} epochs  {seconds:.0f} CPU-s  " + "  ".join(parts),
        flush=True,
    )
    return found


def summary(
    name: str,
    ours: list[dict[str, Any]],
    theirs: list[dict[str, Any]],
    block: np.ndarray,
    first: str = "ours",
) -> None:
    """Print ratios over all seeds, and the interval of the paired differences."""

    def pooled(runs: list[dict[str, Any]], value: Any) -> np.ndarray:
        return np.mean([value(r) for r in runs], axis=0)

    mine, other = (
        (
            pooled(runs, lambda r: (r["rank"] <= 1).astype(float)),
            pooled(runs, lambda r: 100 * (r["rank"] - 0.5) / r["gallery"]),
        )
        for runs in (ours, theirs)
    )
    gain = {
        "recall_at_1": metrics.Metric(100 * (mine[0] - other[0])),
        "mean_percentile": metrics.Metric(mine[1] - other[1]),
    }
    found = intervals.intervals(gain, block)

    def interval(figure: str) -> str:
        return str(found.get(figure, "(too few blocks for an interval)"))

    medians = [(a["values"]["median_percentile"], b["values"]["median_percentile"])
               for a, b in zip(ours, theirs, strict=True)]  # fmt: skip
    ratio = mine[0].mean() / max(other[0].mean(), 1e-9)
    lower = sum(a < b for a, b in medians)
    print(f"{first} against {name}: R@1 {100 * mine[0].mean():.1f} / {100 * other[0].mean():.1f} = "
          f"{ratio:.2f} x, gain {100 * (mine[0] - other[0]).mean():.1f} "
          f"{interval('recall_at_1')}; "
          f"mean percentile {mine[1].mean():.1f} / {other[1].mean():.1f}, "
          f"{interval('mean_percentile')}; "
          f"median percentile lower in {lower} of {len(medians)} seeds"
          )  # fmt: skip


def made(count: int, chip_px: int, photo_px: int, where: Path) -> Packed:
    """Return a packed split of synthetic pictures on disk: few files under many names."""
    rng = np.random.default_rng(0)
    some = []
    for _ in range(min(count, 64)):
        for height, width in ((photo_px * 3 // 4, photo_px), (chip_px, chip_px)):
            coarse = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
            smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            some.append(packed.encode(np.asarray(smooth), 90))
    size = {"photo_width": photo_px, "photo_height": photo_px * 3 // 4, "fov_deg": np.nan}

    def pair(n: int) -> packed.Pair:
        place = {"easting": 5e5 + 90.0 * n, "northing": 4e6, "lon": 3 + 0.001 * n, "lat": 36.14}
        row = {"id": f"{n:08d}", "aoi": "made", "owner": f"{n // 20}@N00", **place, **size}
        at = 2 * (n % (len(some) // 2))
        return packed.Pair(row, some[at], some[at + 1])

    path = where / packed.PICTURES
    table = packed.write(path, map(pair, range(count)), photo_px, chip_px)
    tables.write(where / packed.TABLE, "pack", table)
    return Packed.open(where)


def steps(trainer: Trainer, source: Iterator[Batch], count: int) -> float:
    """Return the seconds per step over ``count`` steps, including the device's work."""
    started = time.perf_counter()
    for _ in range(count):
        trainer.train_step(next(source), CHIP_M)
    float(trainer.latest)
    return (time.perf_counter() - started) / count


def sources(data: Packed, batch: int, where: torch.device) -> tuple[Any, Any]:
    """Return batches read ahead from files as in training, and a batch already in memory."""
    pin = where.type == "cuda"

    def loaded() -> Iterator[Batch]:
        for epoch in range(10**6):
            rows = batches.split(batches.draw(data.buckets(0), 0, epoch), batch)
            yield from batches.ahead(batches.read(data, part, pin) for part in rows)

    def there() -> Iterator[Batch]:
        same = batches.read(data, np.arange(batch), pin).to(where)
        while True:
            yield same

    return loaded, there


def trainer_of(settings: Train, data: Packed) -> Trainer:
    """Return a trainer for synthetic pictures."""
    sides = data.chip_px, data.photo_px
    return Trainer(settings, Architecture.of(settings, CHIP_M, *sides), device(), 10**6)


def path(args: argparse.Namespace) -> None:
    """Compare pairs/s from files with pairs/s from tensors, in turn in one run."""
    where = device()
    torch.set_num_threads(args.threads)
    with folder() as run:
        data = made(args.pairs, args.chip_px, args.photo_px, run)
        settings = Train(batch=args.batch, backbone=args.backbone, **args.set)
        trainer = trainer_of(settings, data)
        trainer.compile()
        loaded, there = (source() for source in sources(data, args.batch, where))
        for source in (loaded, there):
            steps(trainer, source, args.warm)
        ratios = []
        for turn in range(args.turns):
            order = (loaded, there) if turn % 2 else (there, loaded)
            seconds = {id(source): steps(trainer, source, args.steps) for source in order}
            ratios.append(seconds[id(there)] / seconds[id(loaded)])
            speeds = [args.batch / seconds[id(s)] for s in (loaded, there)]
            print(
                f"turn {turn}: files {speeds[0]:.1f}, tensors {speeds[1]:.1f} pairs/s", flush=True
            )
    print(f"end to end against tensors: {np.median(ratios):.3f} (median of {args.turns} turns)")


def matmul(where: torch.device) -> float:
    """Return the FLOP/s of a large matrix product in the towers' precision, the device's peak."""
    gpu = where.type == "cuda"
    side, kind = (8192, torch.bfloat16) if gpu else (1024, torch.float32)
    one = torch.randn(side, side, device=where, dtype=kind)
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        # Reading back one element waits for the device.
        float((one @ one)[0, 0])
        seconds.append(time.perf_counter() - started)
    return 2.0 * side**3 / min(seconds)


def speed(args: argparse.Namespace) -> None:
    """Print images/s, FLOP/s and data wait of backbones, eager and compiled."""
    where = device()
    name = torch.cuda.get_device_name() if where.type == "cuda" else "CPU"
    most = matmul(where)
    for case in args.cases:
        backbone, side, batch = case.split(":")
        for compiled in (False, True):
            # A chip and a photo, both squares of this side: two images per pair, without extras.
            settings = Train(backbone=backbone, head="global", embed_dim=1024, batch=int(batch),
                             compile=compiled, learning_rate=1e-4)  # fmt: skip
            with folder() as run:
                data = made(max(2 * int(batch), 4), int(side), int(side), run)
                trainer = trainer_of(settings, data)
                work = flops(trainer.network, batches.read(data, np.arange(1)).to(where))
                trainer.compile()
                loaded, there = (source() for source in sources(data, int(batch), where))
                steps(trainer, there, args.warm)
                bare = steps(trainer, there, args.steps)
                steps(trainer, loaded, args.warm)
                whole = steps(trainer, loaded, args.steps)
            done = work * int(batch) / bare
            line = {
                "device": name,
                "backbone": backbone,
                "side_px": int(side),
                "batch_pairs": int(batch),
                "compiled": compiled and where.type == "cuda",
                "images_per_s": round(2 * int(batch) / bare, 1),
                "tflops": round(done / 1e12, 3),
                "of_matmul_pct": round(100 * done / most, 1),
                "end_to_end": round(bare / whole, 3),
            }
            print(json.dumps(line), flush=True)
            if where.type != "cuda":
                break


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("compare", help=compare.__doc__)
    part.add_argument("--run", type=Path, default=Path("demo-run"), help="a finished demo")
    part.add_argument("--split", default="test")
    part.add_argument("--seeds", type=int, default=3)
    part.add_argument("--rows", nargs="+", default=["original", "finer", "augmented"])
    part.add_argument("--epochs", type=int, default=0, help="default: the demo's")
    part.set_defaults(call=compare)
    part = parts.add_parser("pretrained", help=pretrained.__doc__)
    part.add_argument("--run", type=Path, default=Path("demo-run"), help="a finished demo")
    part.add_argument("--split", default="test")
    part.add_argument("--backbone", default="mobilenetv2_100")
    part.add_argument("--weights", type=Path, help="default: those in a package of .weights")
    part.add_argument("--seeds", type=int, default=3)
    part.add_argument("--epochs", type=int, default=10)
    part.set_defaults(call=pretrained)
    part = parts.add_parser("path", help=path.__doc__)
    part.add_argument("--pairs", type=int, default=2000)
    part.add_argument("--batch", type=int, default=64)
    part.add_argument("--chip-px", type=int, default=256)
    part.add_argument("--photo-px", type=int, default=256)
    part.add_argument("--backbone", default="small")
    part.add_argument(
        "--set", type=json.loads, default={}, help="additional keys of `train`, as JSON"
    )
    part.add_argument("--warm", type=int, default=2)
    part.add_argument("--steps", type=int, default=4)
    part.add_argument("--turns", type=int, default=5)
    part.set_defaults(call=path)
    part = parts.add_parser("speed", help=speed.__doc__)
    part.add_argument(
        "--cases", nargs="+", metavar="BACKBONE:SIDE:BATCH",
        default=["convnext_base:384:64", "resnet50:224:256"],
    )  # fmt: skip
    part.add_argument("--warm", type=int, default=10)
    part.add_argument("--steps", type=int, default=30)
    part.set_defaults(call=speed)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.call(args)


if __name__ == "__main__":
    main()
