"""Measure an index of 1.3 million cells: writing it, one photo, an evaluation.

    .venv/bin/python -m benchmarks.retrieval index            writes it, 2.4 GB below /tmp
    .venv/bin/python -m benchmarks.retrieval locate           one photo, cold and warm
    .venv/bin/python -m benchmarks.retrieval evaluate         100 of 2,000 photos, scaled
    .venv/bin/python -m benchmarks.retrieval evaluate --photos 2000

Codes are random and of a usual size (a vector of 256, columns 48 x 64). Nothing can be found with
them, but the cost does not depend on that. Photos are chips with noise. The number of threads is
OMP_NUM_THREADS; memory is the largest resident set of the process.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.evaluate import memory_mb
from witw.cvig.grid import Grid
from witw.cvig.heat import heat
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.model import Model
from witw.cvig.network.towers import ChipCode, Network, PhotoCode
from witw.cvig.scoring import calibration, localization, protocols, window
from witw.cvig.scoring.calibration import Calibration
from witw.cvig.search import index_file
from witw.cvig.search.compact import Packing
from witw.cvig.search.index_file import Index
from witw.settings.train import Train

STEP_M, BLOCK = 28.0, 4096
FITTED = Calibration(0.06, 20.0)
SETTINGS = Train(embed_dim=48, headings=64, vector_dim=256, width=16, blocks=1)


def main() -> None:
    """Run one part and print seconds, bytes and memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("index", "locate", "evaluate"))
    parser.add_argument("--cells", type=int, default=1_300_000)
    parser.add_argument("--photos", type=int, default=100, help="of 2,000")
    parser.add_argument("--file", type=Path, default=Path("/tmp/witw-cells.safetensors"))
    args = parser.parse_args()
    print(f"{args.cells:,} cells, {torch.get_num_threads()} threads, torch {torch.__version__}")
    torch.manual_seed(0)
    model = Model(Network(Architecture.of(SETTINGS, 225.0, 256, 256)).eval(), 0.06, 1, {},
                  vector_weight=0.5)  # fmt: skip
    if args.part == "index":
        timed("written in blocks", lambda: write(args.file, args.cells, model))
        size = args.file.stat().st_size
        print(f"  {size / 1e9:.2f} GB, {size / args.cells:.0f} bytes a cell")
        return
    index = Index.open(args.file, model)
    photos, places = queries(index, args.photos if args.part == "evaluate" else 1)
    if args.part == "locate":
        for name in ("one photo, first", "one photo, warm", "again"):
            timed(name, lambda: one(model, photos, index))
        return
    seconds = evaluate(model, photos, places, index)
    scaled = "" if len(places) >= 2000 else " (scaled)"
    each = seconds / len(places)
    print(f"  {each:.2f} s a photo; 2,000 photos: {each * 2000 / 60:.1f} minutes{scaled}")


def write(path: Path, count: int, model: Model) -> None:
    """Write an index of random codes over a square."""
    side = int(np.ceil(np.sqrt(count)))
    grid = Grid(32631, STEP_M, 4.4e5, 5.42e6, side, side, np.arange(count))
    shape = model.network.shape
    packing = Packing.fit(np.zeros((1, shape.embed_dim, shape.headings)), shape.vector_dim)
    rng = torch.Generator().manual_seed(0)
    with index_file.writer(path, grid, packing, model) as out:
        for at in range(0, count, BLOCK):
            n = min(BLOCK, count - at)
            columns = torch.randn(n, shape.embed_dim, shape.headings, generator=rng)
            out.put(at, ChipCode(columns, torch.randn(n, shape.vector_dim, generator=rng)))


def queries(index: Index, count: int) -> tuple[PhotoCode, np.ndarray]:
    """Return random photos, and geotags spread over the area."""
    rng = torch.Generator().manual_seed(1)
    columns = torch.randn(count, SETTINGS.embed_dim, 12, generator=rng)
    vector = torch.randn(count, SETTINGS.vector_dim, generator=rng)
    cells = np.random.default_rng(1).integers(0, len(index), count)
    return PhotoCode(columns, torch.ones(count, 12), vector), index.grid.centres(cells) + 7.0


def one(model: Model, photos: PhotoCode, index: Index) -> None:
    """Compute the map of a photo and its ten best places."""
    found = heat(model, photos, index, FITTED)
    localization.non_max_suppression(found.probability[None], index.grid, 10)


def evaluate(model: Model, photos: PhotoCode, places: np.ndarray, index: Index) -> float:
    """Process an area's cells as the stage does: fit, check, place, search windows."""
    ids = [str(n) for n in range(len(places))]
    unknown = np.full(len(places), np.nan)
    several = window.groups(np.arange(len(places)), places, protocols.BUCKET_M)
    given = photos, places, index, model.blend
    return sum(
        timed(name, call)
        for name, call in {
            "evidence of the calibration": lambda: calibration.fit(protocols.evidence(*given)),
            "its check": lambda: protocols.believed(*given, FITTED),
            "placing on the grid": lambda: protocols.on_grid(*given, FITTED),
            "windows": lambda: window.search(
                several, ids, photos, places, unknown, index, model.blend, FITTED
            ),
        }.items()
    )


def timed(name: str, call: Callable[[], object]) -> float:
    """Call ``call``; print its seconds and its peak memory."""
    memory_mb(reset=True)
    start, used = time.perf_counter(), time.process_time()
    call()
    seconds, used = time.perf_counter() - start, time.process_time() - used
    print(f"  {name:30} {seconds:8.1f} s   {used:8.1f} CPU s   {memory_mb():6.0f} MB", flush=True)
    return seconds


if __name__ == "__main__":
    main()
