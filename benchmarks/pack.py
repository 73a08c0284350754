"""Measure the pack: its size, its reading speed, and a training with the real number of pairs.

    .venv/bin/python -m benchmarks.pack read       # synthetic pictures, two threads, a loader
    .venv/bin/python -m benchmarks.pack read --pictures DIR   # your own JPEGs: photos/, chips/
    .venv/bin/python -m benchmarks.pack training   # 164,455 pairs: first step, memory
    .venv/bin/python -m benchmarks.pack exports    # 10,000 pairs to links and to tars, twice

See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from benchmarks.train import made, trainer_of
from witw import Pairs, files, tables
from witw.cvig import batches
from witw.dataset import export_folder, export_webdataset, packed
from witw.dataset.packed import Packed
from witw.images.resize import fit, shrink
from witw.settings.train import Train

BATCH = 64


def of_pictures(folder: Path, count: int, side: int, where: Path) -> None:
    """Pack a folder's JPEGs repeatedly under different names."""
    found = {kind: sorted((folder / f"{kind}s").glob("*.jpg")) for kind in packed.KINDS}
    made_ = {
        "photo": [fit(Image.open(f).convert("RGB"), side) for f in found["photo"]],
        "chip": [shrink(Image.open(f).convert("RGB"), side) for f in found["chip"]],
    }
    bodies = {k: [packed.encode(picture, 90) for picture in v] for k, v in made_.items()}

    def pair(n: int) -> packed.Pair:
        photo, chip = (n % len(bodies[kind]) for kind in packed.KINDS)
        height, width = made_["photo"][photo].shape[:2]
        row = {"id": f"{n:08d}", "aoi": "made", "owner": "1@N00", "easting": 5e5, "northing": 4e6}
        row |= {"lat": 1.0, "lon": 3.0, "photo_width": width, "photo_height": height}
        return packed.Pair(row | {"fov_deg": np.nan}, bodies["photo"][photo], bodies["chip"][chip])

    table = packed.write(where / packed.PICTURES, map(pair, range(count)), side, side)
    tables.write(where / packed.TABLE, "pack", table)


def forget_cache(path: Path) -> None:
    """Remove a file from the page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def reader(folder: Path, threads: int) -> Iterator[int]:
    """Yield the pairs of each batch as training reads them, decoded ahead of use."""
    data = Packed.open(folder, threads)
    rows = batches.split(batches.draw(data.buckets(0), 0, 0), BATCH)
    return (len(b) for b in batches.ahead(batches.read(data, part) for part in rows))


def loader(folder: Path, workers: int, threads: int) -> Iterator[int]:
    """Yield the pairs of each batch of a ``DataLoader``."""
    pairs = Pairs(folder.parent, folder.name, threads=threads)
    return (len(b["photo"]) for b in DataLoader(
        pairs, BATCH, shuffle=True, drop_last=True, num_workers=workers))  # fmt: skip


def rate(batches_: Iterator[int]) -> tuple[float, float]:
    """Return pairs per second from the first batch on, and per CPU second, including workers."""
    spent = cpu_s()
    first = next(batches_)
    start = time.perf_counter()
    count = sum(batches_)
    return count / (time.perf_counter() - start), (first + count) / (cpu_s() - spent)


def cpu_s() -> float:
    """Return the CPU time of this process and of its finished children [s]."""
    return sum(os.times()[:4])


def read(args: argparse.Namespace) -> None:
    """Print pairs/s with one and two threads, warm and cold, and of a DataLoader, in turn."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=args.dir) as name:
        folder = Path(name) / "train"
        folder.mkdir()
        if args.pictures:
            of_pictures(args.pictures, args.pairs, args.px, folder)
        else:
            made(args.pairs, args.px, args.px, folder)
        size = (folder / packed.PICTURES).stat().st_size / args.pairs
        print(f"{size / 1e3:.1f} kB a pair; 160,000 pairs: {size * 160e3 / 1e9:.1f} GB", flush=True)
        cases: dict[str, Callable[[], Iterator[int]]] = {
            "one thread": lambda: reader(folder, 1),
            "two threads": lambda: reader(folder, 2),
            "loader, two threads": lambda: loader(folder, 0, 2),
            "loader, two workers": lambda: loader(folder, 2, 1),
        }
        found: dict[str, list[float]] = {}
        for _ in range(args.turns):
            for case, start in cases.items():
                for state in ("warm",) if "loader" in case else ("warm", "cold"):
                    if state == "cold":
                        forget_cache(folder / packed.PICTURES)
                    wall, cpu = rate(start())
                    found.setdefault(f"{case}, {state}", []).append(wall)
                    found.setdefault(f"{case}, {state}, per CPU second", []).append(cpu)
        for case, values in found.items():
            print(f"{case}: {statistics.median(values):.0f} pairs/s, best {max(values):.0f}")
        best = {case: max(values) for case, values in found.items()}
        two = best["two threads, warm"]
        print(f"two threads against one: {two / best['one thread, warm']:.2f}")
        print(f"cold against warm: {best['two threads, cold'] / two:.2f}")
        spent = ", warm, per CPU second"
        for case in ("loader, two threads", "loader, two workers"):
            ratios = best[f"{case}, warm"] / two, best[case + spent] / best["two threads" + spent]
            print(f"{case}, against the reader: {ratios[0]:.2f}, by CPU time {ratios[1]:.2f}")


def memory_mb() -> tuple[float, float]:
    """Return this process's memory without file pages, and its total memory [MB]."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    told = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
    anonymous, of_files = (int(told[name]) / 1e3 for name in ("RssAnon", "RssFile"))
    return anonymous, anonymous + of_files


def training(args: argparse.Namespace) -> None:
    """Print seconds to the first step and memory over the steps, at the real number of pairs."""
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory(dir=args.dir) as name:
        folder = Path(name)
        made(args.pairs, args.px, args.px, folder)
        size = (folder / packed.PICTURES).stat().st_size / 1e9
        print(f"{args.pairs:,} pairs, {size:.1f} GB", flush=True)
        forget_cache(folder / packed.PICTURES)
        start = time.perf_counter()
        data = Packed.open(folder, args.threads)
        opened = time.perf_counter() - start
        settings = Train(width=8, blocks=1, embed_dim=32, headings=16, polar_rows=16, batch=BATCH,
                         bucket_m=args.bucket_m)  # fmt: skip
        trainer = trainer_of(settings, data)
        rows = batches.split(trainer.order(data, 0), BATCH)
        steps = batches.ahead(batches.read(data, part) for part in rows)
        marks = []
        for step, batch in enumerate(itertools.islice(steps, args.steps)):
            trainer.train_step(batch, 225.0)
            if step == 0:
                first = time.perf_counter() - start
                print(f"open {opened:.1f} s, first step {first:.1f} s", flush=True)
            if step % 20 == 19:
                marks.append(memory_mb())
                print(json.dumps({"step": step + 1, "own_mb": round(marks[-1][0])}), flush=True)
        grown = marks[-1][0] - marks[1][0]
        print(f"own memory from step 40 to {args.steps}: {grown:+.0f} MB")


def dataset(folder: Path, count: int) -> Path:
    """Write a data set of synthetic pairs of real size: its table; pictures are written once."""
    noise = np.random.default_rng(0)
    photo = packed.encode(noise.integers(0, 256, (233, 310, 3), np.uint8), 90)  # 138 kB
    bodies = {"photo": photo, "chip": noise.bytes(142_000)}
    rows = []
    for n in range(count):
        row = dict.fromkeys(tables.PAIRS) | {"id": f"{n:08d}", "aoi": "made", "status": "paired"}
        row |= {"split": "train", "lat": 1.0, "lon": 3.0, "city": "Made", "owner": "1@N00"}
        row |= {"license_id": 4, "license": "CC BY 2.0", "satellite": "made", "license_url": ""}
        for kind in packed.KINDS:
            place = f"{kind}s/made/{n % 100:02d}/{n:08d}.jpg"
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_bytes(bodies[kind])
            row[f"{kind}_path"] = place
        rows.append(row)
    tables.write_geo(folder / "pairs.parquet", "pairs", rows)
    return folder / "pairs.parquet"


def same(one: Path, two: Path) -> bool:
    """Return whether two folders contain the same files with the same bytes."""
    names = [
        sorted(p.relative_to(top) for p in top.rglob("*") if p.is_file()) for top in (one, two)
    ]
    return names[0] == names[1] and all(
        files.sha256(one / name) == files.sha256(two / name) for name in names[0]
    )


def exports(args: argparse.Namespace) -> None:
    """Print pairs/s to links and to tars, by wall and CPU time; compare the bytes of two turns."""
    spec = {"areas": {"made": {"imagery_license": "CC0"}}}
    with tempfile.TemporaryDirectory(dir=args.dir) as name:
        folder = Path(name)
        table = dataset(folder / "dataset", args.pairs)
        cases: dict[str, Callable[[Path], None]] = {
            "links": lambda out: export_folder.run(spec, table, out),
            "tars": lambda out: export_webdataset.run(table, out),
        }
        for case, write in cases.items():
            for turn in ("1", "2"):
                start, spent = time.perf_counter(), cpu_s()
                write(folder / case / turn)
                wall, cpu = time.perf_counter() - start, cpu_s() - spent
                print(
                    f"{case}: {args.pairs / wall:.0f} pairs/s, {args.pairs / cpu:.0f} per CPU "
                    "second"
                )
            print(f"{case}, twice the same bytes: {same(folder / case / '1', folder / case / '2')}")


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dir", type=Path, help="folder for the pack; default: temporary")
    parser.add_argument("--px", type=int, default=384)
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("read", help=read.__doc__)
    part.add_argument("--pairs", type=int, default=2000)
    part.add_argument("--pictures", type=Path)
    part.add_argument("--turns", type=int, default=3)
    part.set_defaults(call=read)
    part = parts.add_parser("training", help=training.__doc__)
    part.add_argument("--pairs", type=int, default=164_455)
    part.add_argument("--steps", type=int, default=200)
    part.add_argument("--threads", type=int, default=2)
    part.add_argument("--bucket-m", type=float, default=10.0)
    part.set_defaults(call=training)
    part = parts.add_parser("exports", help=exports.__doc__)
    part.add_argument("--pairs", type=int, default=10_000)
    part.set_defaults(call=exports)
    args = parser.parse_args()
    args.call(args)


if __name__ == "__main__":
    main()
