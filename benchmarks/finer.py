"""Measure positions finer than the cell, on synthetic cities that the network has never seen.

    .venv/bin/python -m benchmarks.finer demo-run               # the run's test city
    .venv/bin/python -m benchmarks.finer demo-run --cities 4    # four more, with other seeds

A photo's place is found as `witw locate` does. Its position, the centre of a cell, is then
replaced: by interpolation between the cells, or by a second stage that encodes chips around the
best cells.
Errors are distances from the true position, which only the synthetic cities know.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
import torch
from numpy.typing import NDArray

from witw import tables
from witw.cvig.network.towers import PhotoCode
from witw.cvig.scoring import calibration, window
from witw.cvig.search import finer, two_steps
from witw.cvig.search.finer import Around
from witw.cvig.search.index_file import Index
from witw.demo.build import build_city
from witw.demo.city.cities import City
from witw.images.query import open_query
from witw.locating.front import Locator

RIGHT_M = 50.0  # a place within this distance is right
REACH = 2  # positions of the second stage on each side of the best cell
PHOTOS, SEED = 260, 101  # of a made city; seed of the first one
type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """A photo's likeliest cell, what surrounds it, and the truth.

    Attributes:
        middle: centre of the cell [m].
        step_m: distance between cells [m].
        temperature: of the map.
        probability: ``(3, 3)`` of the cells around it, north up, 0 without a cell.
        score: the same of the scores, NaN without a cell.
        fine: positions around the cell.
        cpu_s: for ``fine``.
        truth: true position [m].
        true_deg: true heading.
    """

    middle: Floats
    step_m: float
    temperature: float
    probability: Floats
    score: Floats
    fine: Around
    cpu_s: float
    truth: Floats
    true_deg: float


def seen(city: Locator, paths: Sequence[Path], truth: pd.DataFrame) -> dict[str, list[Seen]]:
    """Search for photos in three ways, and score the surroundings of their best cells."""
    out: dict[str, list[Seen]] = {"whole city": [], "window of 420 m": [], "right cell given": []}
    with rasterio.open(city.mosaic) as mosaic:
        for path, row in zip(paths, truth.itertuples(), strict=True):
            code = city._encoded([open_query(path)])
            place = np.array([row.x, row.y])
            near = window.cells_of(city.grid, window.centre(path.stem, place))
            own = int(calibration.nearest(place, city.grid))
            parts = city.index, city.index.take(near), city.index
            for searched, part, cell in zip(out.values(), parts, (None, None, own), strict=True):
                one = surroundings(city, part, code, mosaic, cell)
                searched.append(replace(one, truth=place, true_deg=float(row.heading_deg)))
    return out


def surroundings(
    city: Locator, part: Index, code: PhotoCode, mosaic: rasterio.DatasetReader, cell: int | None
) -> Seen:
    """Search a part of the city, and score positions around the best cell, or a given one."""
    found = two_steps.together(code, part, city.model.blend)
    probability = calibration.chances(found.values, part.grid, city.calibration)[0]
    cell = int(probability.argmax()) if cell is None else cell
    at, step_m = divmod(int(part.grid.cells[cell]), part.grid.columns), part.grid.step_m
    middle = part.grid.centres(np.array(cell))
    start = time.process_time()
    fine = finer.search(city.model, mosaic, code, middle, step_m, REACH)
    return Seen(
        middle, step_m, city.calibration.temperature,
        _near(np.nan_to_num(part.grid.raster(probability)), at, 0),
        _near(part.grid.raster(found.values[0]), at, np.nan),
        fine, time.process_time() - start, middle, 0.0,
    )  # fmt: skip


def _near(raster: NDArray[np.floating], at: tuple[int, int], nothing: float) -> Floats:
    """Return the 3 x 3 values around a cell."""
    wide = np.pad(raster.astype(float), 1, constant_values=nothing)
    return wide[at[0] : at[0] + 3, at[1] : at[1] + 3]


def run_city(run: Path, area: str | None = None) -> tuple[Locator, list[Path], pd.DataFrame]:
    """Return an area of a run, by default its test city, with its photos and their truth."""
    city = Locator.of_run(area, folder=run)
    pairs = tables.read(run / f"results/{city.area}/pairs.parquet", "pairs")
    pairs = pairs[pairs["status"] == "paired"]
    truth = pd.read_parquet(run / "world/truth.parquet").set_index("id").loc[pairs["id"]]
    return city, [run / path for path in pairs["photo_path"]], truth


def made_city(folder: Path, model: Path, seed: int) -> tuple[Locator, list[Path], pd.DataFrame]:
    """Build a city as large as the demo's, once, and index it."""
    name = f"willow{seed}"
    city, table = City(name, 21.0, 52.2), folder / f"{name}.parquet"
    if not table.is_file():
        for part in ("strips", "pictures"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        # In a process of its own: importing osgeo sets PROJ_DATA.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            _, truth = pool.apply(build_city, (folder, city, seed % 100, PHOTOS, seed))
        truth.to_parquet(table)
    truth = pd.read_parquet(table)
    paths = [folder / "pictures" / f"{i}.jpg" for i in truth["id"]]
    kept = truth["kind"].eq("street").to_numpy() & np.array([path.is_file() for path in paths])
    strip = folder / "strips" / f"{name}.tif"
    found = Locator.of_imagery(strip, model, bands=(5, 3, 2), nodata=0)
    return found, [path for path, is_kept in zip(paths, kept, strict=True) if is_kept], truth[kept]


def cell(one: Seen) -> Floats:
    """Return the centre of the cell."""
    return one.middle


def parabola(one: Seen) -> Floats:
    """Return the vertex of a parabola through the scores of three cells in each direction."""
    offset = np.zeros(2)
    row, column = one.score[1], one.score[::-1, 1]  # west to east, south to north
    for axis, (low, own, high) in enumerate((row, column)):
        bend = 2 * own - low - high
        if bend > 0:  # not at the edge of the imagery, where a score is NaN
            offset[axis] = np.clip((high - low) / (2 * bend), -0.5, 0.5)
    return one.middle + offset * one.step_m


def centroid(one: Seen) -> Floats:
    """Return the mean of the map in the nine cells."""
    north, east = np.meshgrid([1, 0, -1], [-1, 0, 1], indexing="ij")
    weight = one.probability
    offset = [(weight * axis).sum() / weight.sum() for axis in (east, north)]
    return one.middle + np.array(offset) * one.step_m


def best(one: Seen, reach: int) -> Floats:
    """Return the best position of the second stage."""
    some = _inner(reach)
    return one.fine.places[some][one.fine.score[some].argmax()]


def mean(one: Seen, reach: int) -> Floats:
    """Return the mean of the second stage's map."""
    some = _inner(reach)
    score = one.fine.score[some].astype(float)
    weight = np.exp((score - score.max()) / one.temperature)
    return weight @ one.fine.places[some] / weight.sum()


def _inner(reach: int) -> NDArray[np.int64]:
    """Return the positions of a smaller square in the second stage's."""
    side = 2 * REACH + 1
    inner = slice(REACH - reach, REACH + reach + 1)
    return np.arange(side * side).reshape(side, side)[inner, inner].ravel()


WAYS: dict[str, Callable[[Seen], Floats]] = {
    "centre of the cell": cell,
    "parabola of the scores": parabola,
    "mean of the map, 3 x 3 cells": centroid,
    "second stage, best of 9": lambda one: best(one, 1),
    "second stage, best of 25": lambda one: best(one, 2),
    "second stage, mean of 9": lambda one: mean(one, 1),
    "second stage, mean of 25": lambda one: mean(one, 2),
}


def tell(name: str, photos: Sequence[Seen]) -> None:
    """Print the figures of each way."""
    truth = np.array([one.truth for one in photos])
    middle = np.array([one.middle for one in photos])
    is_cell = np.abs(middle - truth).max(axis=1) <= photos[0].step_m / 2
    is_right = np.hypot(*(middle - truth).T) <= RIGHT_M
    cpu_s = float(np.median([one.cpu_s for one in photos]))
    print(
        f"{name}: {len(photos)} photos, {is_right.sum()} with a place within {RIGHT_M:.0f} m, "
        f"{is_cell.sum()} with the right cell; CPU {cpu_s:.2f} s for {(2 * REACH + 1) ** 2} "
        "positions"
    )
    for way, place in WAYS.items():
        error = np.hypot(*(np.array([place(one) for one in photos]) - truth).T)
        told = [_told(error[some]) for some in (is_right, is_cell)]
        print(f"  {way:30} within {RIGHT_M:.0f} m: {told[0]}   right cell: {told[1]}")
    for reach in range(REACH + 1):
        turned = [_heading(one, reach) for one in photos]
        off = np.abs((np.array(turned) - [one.true_deg for one in photos] + 180) % 360 - 180)
        print(
            f"  heading at the best of {(2 * reach + 1) ** 2:2}: "
            f"{np.median(off[is_right]):.1f} and {np.median(off[is_cell]):.1f} degrees",
            flush=True,
        )


def _told(error: Floats) -> str:
    """Return median, and shares within 10 and 25 m."""
    within = [f"{100 * (error <= radius).mean():5.1f} %" for radius in (10, 25)]
    return f"{np.median(error):6.1f} m {within[0]} {within[1]}"


def _heading(one: Seen, reach: int) -> float:
    """Return the heading at the best position of the second stage."""
    some = _inner(reach)
    return float(one.fine.heading_deg[0, some][one.fine.score[some].argmax()])


def main() -> None:
    """Print the figures of all photos of the cities."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished demo")
    parser.add_argument("--area", nargs="*", help="areas of the run; default: its test area")
    parser.add_argument("--cities", type=int, default=0, help="more cities, built once")
    parser.add_argument("--dir", type=Path, default=Path("/tmp/witw-finer"))
    args = parser.parse_args()
    torch.set_num_threads(1)  # for CPU seconds
    model = args.run / "results/model/witw.safetensors"
    found: list[dict[str, list[Seen]]] = []
    for area in args.area or [None]:
        found.append(seen(*run_city(args.run, area)))
    for seed in range(SEED, SEED + args.cities):
        found.append(seen(*made_city(args.dir, model, seed)))
    for name in found[0]:
        tell(name, [one for city in found for one in city[name]])


if __name__ == "__main__":
    main()
