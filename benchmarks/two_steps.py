"""Compare two-step retrieval with an exhaustive search, on an unseen synthetic city.

    .venv/bin/python -m benchmarks.two_steps --model demo-run/results/model/trained.safetensors

Builds a city of 9 km2 with a seed that the demo does not use, its photos and its imagery, prepares
and indexes it as `witw locate --imagery` does, and scores the photos three times: at all cells with
codes as the network makes them (exhaustive), at all cells with the codes of the index, and in two
steps. Half of the photos fit the calibration; the others say whether its regions hold their share.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
import torch
from numpy.typing import NDArray

from witw.cvig import index
from witw.cvig.grid import Grid
from witw.cvig.heat import encode_photos
from witw.cvig.metrics import values
from witw.cvig.network.model import Model, device
from witw.cvig.network.towers import PhotoCode
from witw.cvig.retrieval import Codes
from witw.cvig.scoring import calibration, localization
from witw.cvig.scoring.calibration import Belief
from witw.cvig.search import two_steps
from witw.cvig.search.index_file import Index
from witw.demo.build import build_city
from witw.demo.city.cities import City
from witw.images.photo import open_photo
from witw.images.resize import letterbox
from witw.locating import imagery

NAME, SEED = "willow", 4711
SHOWN = ("recall_at_1_within_50m", "recall_at_10_within_50m", "median_error_m", "median_area_pct")


def main() -> None:
    """Print figures of all search methods."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--half-m", type=float, default=1500.0)
    parser.add_argument("--dir", type=Path, default=Path("/tmp/witw-two-steps"))
    args = parser.parse_args()
    city = City(NAME, 21.0, 52.2, half_m=args.half_m)
    truth = made(args.dir, city, args.photos)
    model = Model.load(args.model, device())
    strip = args.dir / "strips" / f"{NAME}.tif"
    prepared = imagery.prepare(strip, bands=(5, 3, 2), nodata=0)
    path = imagery.indexed(prepared, args.model, imagery.folder_of(strip))
    found = Index.open(path, model)
    photos = encoded(model, args.dir, truth)
    print(f"{len(found):,} cells, {len(truth)} photos, {two_steps.candidates_of(len(found))} of the"
          f" cells re-ranked, blend {model.blend}")  # fmt: skip
    places, known = truth[["x", "y"]].to_numpy(float), truth["heading_deg"].to_numpy(float)
    whole = exhaustive(model, prepared, found.grid)
    for name, gallery, most in (
        ("exhaustive", whole, len(found)),
        ("the same, codes of the index", found, len(found)),
        ("two steps", found, None),
        ("two steps, 2 % re-ranked", found, math.ceil(0.02 * len(found))),
    ):
        tell(name, photos, gallery, model, found.grid, places, known, most)
    regions(photos, found, model, places)


def made(folder: Path, city: City, count: int) -> pd.DataFrame:
    """Build the city once in a separate process: importing osgeo sets PROJ_DATA."""
    table = folder / "truth.parquet"
    if not table.is_file():
        for name in ("strips", "pictures"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            _, truth = pool.apply(build_city, (folder, city, 0, count, SEED))
        truth.to_parquet(table)
    truth = pd.read_parquet(table)
    is_there = [(folder / "pictures" / f"{i}.jpg").is_file() for i in truth["id"]]
    return truth[np.array(is_there) & truth["kind"].isin(["street"]).to_numpy()]


def encoded(model: Model, folder: Path, truth: pd.DataFrame) -> PhotoCode:
    """Return codes of the photos, without using their field of view."""
    codes = []
    for i in truth["id"]:
        photo = open_photo(folder / "pictures" / f"{i}.jpg")
        square, width, height = letterbox(photo, model.network.shape.photo_px)
        codes.append(encode_photos(model, [square], [(width, height)], [math.nan]))
    return PhotoCode(*(torch.cat(v) for v in zip(*codes, strict=True)))


def exhaustive(model: Model, prepared: imagery.Prepared, grid: Grid) -> Codes:
    """Return the network's codes of all cells."""
    with rasterio.open(prepared.mosaic) as mosaic:
        parts = [code for _, code in index.encoded(model, mosaic, grid)]
    columns = torch.cat([p.columns.float().cpu() for p in parts])
    vectors = torch.cat([p.vector.float().cpu() for p in parts])
    none = torch.zeros(len(columns), 0)
    return Codes(none, none, columns, none, vectors)


def tell(
    name: str, photos: PhotoCode, gallery: Codes | Index, model: Model, grid: Grid,
    places: NDArray[np.float64], known: NDArray[np.float64], most: int | None,
) -> None:  # fmt: skip
    """Print a line of figures."""
    guesses, placed = localization.random_picks(grid, 2), []
    for part, found in two_steps.scored(photos, gallery, model.blend, most):
        placed.append(localization.place(found.values, places[part], grid, guesses))
    figures = values(localization.metrics(localization.Placed.join(placed)))
    own = np.array([calibration.nearest(place, grid) for place in places])
    turned = [
        two_steps.headings(photos.some(slice(n, n + 1)), gallery, own[n : n + 1])[0, 0]
        for n in range(len(own))
    ]
    error = np.abs((np.array(turned) - known + 180) % 360 - 180)
    told = "  ".join(f"{key} {figures[key]:.2f}" for key in SHOWN)
    print(f"  {name:30} {told}  heading {np.median(error):.1f} deg", flush=True)


def regions(photos: PhotoCode, found: Index, model: Model, places: NDArray[np.float64]) -> None:
    """Print the coverage of regions on photos that were not used for fitting."""
    first, second = slice(0, None, 2), slice(1, None, 2)

    def beliefs(rows: slice) -> Belief:
        parts = two_steps.scored(photos.some(rows), found, model.blend)
        return Belief.join([
            calibration.belief(calibration.chances(s.values, found.grid, fitted),
                               places[rows][part], found.grid)
            for part, s in parts
        ])  # fmt: skip

    fitted = calibration.fit([
        calibration.evidence(s.values, places[first][part], found.grid)
        for part, s in two_steps.scored(photos.some(first), found, model.blend)
    ])  # fmt: skip
    print(f"  fitted: {fitted}; on the other half", values(calibration.metrics(beliefs(second))))


if __name__ == "__main__":
    main()
