"""Compare the scene stage with its bare network: photos per second, same batch and threads.

    .venv/bin/python -m benchmarks.scenes [--photos 1600] [--rounds 3] [--threads 2]

Both process the same batches, one after the other, round by round. The stage starts from 500 px
JPEG files (read, decode, resize, score, write the table), the network from a tensor in memory. The
published weights are not needed: a random network of the same shape is used.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.download import photo_host
from witw import tables
from witw.places365 import network, scenes


def bare(net: torch.nn.Module, batches: int, size: int, where: torch.device) -> float:
    """Return the seconds of the network alone, on pixels as the stage provides them."""
    pixels = torch.randint(0, 256, (size, 224, 224, 3), dtype=torch.uint8)
    began = time.perf_counter()
    with torch.inference_mode():
        for _ in range(batches):
            net(network.normalise(pixels.to(where))).cpu()
    return time.perf_counter() - began


def made(folder: Path, count: int) -> Path:
    """Write table ``downloads`` with ``count`` photos, each in a separate file."""
    bodies = [photo_host.scene(seed) for seed in range(min(count, 100))]
    rows = []
    for n in range(count):
        path = folder / "photos" / f"{n}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bodies[n % len(bodies)])
        rows.append({"id": f"{n:09d}", "status": "ok", "reason": "", "url": "", "path": str(path)})
    table = folder / "downloads.parquet"
    tables.write(table, "downloads", [row | dict.fromkeys(REST) for row in rows])
    return table


REST = ("width", "height", "bytes", "sha256")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=1600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=min(16, os.cpu_count() or 1))
    parser.add_argument("--arch", default="resnet18", choices=["resnet18", "wideresnet18"])
    args = parser.parse_args()
    where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, checkpoint = made(folder, args.photos), folder / "made.pth.tar"
        net = network.network(args.arch)
        torch.save({"state_dict": net.state_dict()}, checkpoint)
        size = scenes.batch_size(where)
        batches = -(-args.photos // size)
        ready = scenes.place(net.eval(), where, args.threads)
        bare(ready, 2, size, where)
        rates: dict[str, list[float]] = {"network": [], "stage": []}
        spec = {"scenes": {"arch": args.arch}}
        for _ in range(args.rounds):
            rates["network"].append(batches * size / bare(ready, batches, size, where))
            began = time.perf_counter()
            scenes.run(spec, table, checkpoint, folder / "scenes.parquet", args.threads)
            rates["stage"].append(args.photos / (time.perf_counter() - began))
            print(*(f"{what} {rate[-1]:.0f}/s" for what, rate in rates.items()), sep="   ")
    ratio = statistics.median(b / a for a, b in zip(*rates.values(), strict=True))
    print(f"{args.arch} on {where}, batches of {size}, {args.threads} threads:", end=" ")
    print(f"stage / network = {ratio:.2f} (median of {args.rounds} rounds; bar 0.90)")
    sys.exit(ratio < 0.9)


if __name__ == "__main__":
    main()
