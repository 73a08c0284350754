"""Locate photos without the workflow: the first answer for new imagery, and further photos.

``python -m benchmarks.locate first`` writes a GeoTIFF of 3 x 3 km and a model with random weights,
and times `witw locate` as typed by a user, from scratch. The index is compared with the bare
encoder on the same number of chips in memory. ``photos`` times a batch of photos against the index,
warm.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
import yaml
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from witw.cvig.network.architecture import Architecture
from witw.cvig.network.model import Model
from witw.cvig.network.towers import Network
from witw.locating.front import Locator
from witw.settings.pack import Pack
from witw.settings.train import Train

OUT = Path("benchmarks/out/locate")
EPSG, WEST, NORTH = 32631, 450_000.0, 5_412_000.0
CONFIG = Path("configs/cpu.yaml")  # the small network


def imagery(path: Path, side_m: float, gsd_m: float, bands: int) -> None:
    """Write a GeoTIFF of blocks, streets and noise: 8 bands of 16 bits, or RGB of 8."""
    n = round(side_m / gsd_m)
    rng = np.random.default_rng(1)
    coarse = rng.integers(40, 215, (3, n // 40 + 1, n // 40 + 1)).astype(np.float32)
    kind = "uint16" if bands == 8 else "uint8"
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": n, "height": n, "count": bands, "dtype": kind,
        "crs": f"EPSG:{EPSG}", "transform": from_origin(WEST, NORTH, gsd_m, gsd_m), "tiled": True,
        "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1,
        "photometric": "minisblack" if bands == 8 else "rgb", "interleave": "pixel",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as out:
        if bands == 8:
            out.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * 7
        for top in range(0, n, 512):
            rows = np.arange(top, min(n, top + 512)) // 40
            picture = coarse[:, rows][:, :, np.arange(n) // 40]
            picture = picture + rng.normal(0, 9, picture.shape[1:])
            window = ((top, top + len(rows)), (0, n))
            for band in range(bands):
                values = picture[band % 3] * (8 if bands == 8 else 1)
                out.write(values.clip(1).astype(kind), band + 1, window=window)


def model(path: Path, config: Path) -> Network:
    """Write a model with random weights, for the network of a config."""
    told = yaml.safe_load(config.read_text())
    pack = Pack(**told["pack"])
    torch.manual_seed(0)
    shape = Architecture.of(Train(**told["train"]), 225.0, pack.chip_px, pack.photo_px)
    network = Network(shape).eval()
    Model(network, 0.1, 1, {}).save(path)
    return network


def photos(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Write photos of smooth noise."""
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for n in range(count):
        rng = np.random.default_rng(n)
        small = Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8))
        out.append(folder / f"{n:03}.jpg")
        small.resize(size, Image.Resampling.BICUBIC).save(out[-1], quality=88)
    return out


def first(args: argparse.Namespace) -> None:
    """Time the first answer from scratch, and the index beside the bare encoder."""
    OUT.mkdir(parents=True, exist_ok=True)
    tif, file = OUT / "city.tif", OUT / "model.safetensors"
    subprocess.run(["rm", "-rf", str(OUT / "city.witw"), str(OUT / "located")], check=True)
    if not tif.is_file() or args.anew:
        imagery(tif, 1000 * args.km, args.gsd, args.bands)
    network = model(file, args.config)
    photo = photos(OUT / "photos", 1, (4000, 3000))[0]
    command = [sys.executable, "-m", "witw", "locate", str(photo), "--imagery", str(tif)]
    command += ["--model", str(file), "--out", str(OUT / "located")]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    print(f"{tif.stat().st_size / 1e6:.0f} MB, {args.km:g} x {args.km:g} km at {args.gsd} m")
    print(f"first answer: {wall:.1f} s")
    start = time.perf_counter()
    subprocess.run(command, capture_output=True, text=True, check=True)
    print(f"second answer, another process: {time.perf_counter() - start:.1f} s")
    index_speed(network, tif, file, args)


def index_speed(network: Network, tif: Path, file: Path, args: argparse.Namespace) -> None:
    """Print the index's cells per second, in turns with the bare encoder on chips in memory."""
    from witw.cvig import index
    from witw.locating import imagery as own

    torch.set_num_threads(args.threads)
    prepared = own.prepare(tif, threads=args.threads)
    spec = {"aoi": "city", "bbox_deg": list(prepared.bbox_deg), "index": {"step_m": 28.0}}
    chip = network.shape.chip_px
    rng = np.random.default_rng(0)
    some = torch.from_numpy(rng.integers(0, 255, (256, chip, chip, 3), np.uint8))
    shares = []
    for _ in range(args.turns):
        start = time.perf_counter()
        cells = len(index.run(spec, file, prepared.mosaic, OUT / "cells", args.threads).cells)
        indexed = cells / (time.perf_counter() - start)
        start, count = time.perf_counter(), 0
        with torch.inference_mode():
            while count < cells:
                network.encode_chips(some[: cells - count])
                count += len(some[: cells - count])
        bare = cells / (time.perf_counter() - start)
        shares.append(indexed / bare)
        print(f"index {indexed:.0f} cells/s, bare encoder {bare:.0f}: {shares[-1]:.2f}")
    print(f"{cells:,} cells; index at {np.median(shares):.2f} of the bare encoder (median)")


def batch(args: argparse.Namespace) -> None:
    """Print photos per second, warm, from files to results."""
    tif, file = OUT / "city.tif", OUT / "model.safetensors"
    torch.set_num_threads(args.threads)
    city = Locator.of_imagery(tif, file)
    for size in ((500, 375), (4000, 3000)):
        paths = photos(OUT / f"photos_{size[0]}", args.count, size)
        city.locate(paths[:8])
        for _ in range(args.turns):
            start = time.perf_counter()
            found = city.locate(paths)
            wall = time.perf_counter() - start
            print(
                f"{len(found)} photos of {size[0]} x {size[1]} px at {len(city.grid.cells):,} "
                f"cells: {len(found) / wall:.0f} photos/s"
            )


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--turns", type=int, default=3)
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("first", help=first.__doc__)
    part.add_argument("--km", type=float, default=3.0)
    part.add_argument("--gsd", type=float, default=0.5)
    part.add_argument("--bands", type=int, default=3, choices=[3, 8])
    part.add_argument("--config", type=Path, default=CONFIG, help="whose network")
    part.add_argument("--anew", action="store_true", help="write the imagery again")
    part.set_defaults(call=first)
    part = parts.add_parser("photos", help=batch.__doc__)
    part.add_argument("--count", type=int, default=200)
    part.set_defaults(call=batch)
    args = parser.parse_args()
    args.call(args)


if __name__ == "__main__":
    main()
