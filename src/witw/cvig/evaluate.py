"""Score the model on cities it has never seen, beside chance; with intervals if places suffice.

What is chosen is chosen on the validation cities: the epoch, in training; temperature and geotag
error, here. The test cities are only scored. :mod:`witw.cvig.scoring.protocols` says how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from witw import files, stage, tables
from witw.cvig import retrieval
from witw.cvig.grid import Grid
from witw.cvig.network.model import Model, device
from witw.cvig.retrieval import Codes, Ranking
from witw.cvig.scoring import assurance, calibration, heading, intervals, protocols
from witw.cvig.scoring.calibration import Belief, Calibration
from witw.cvig.scoring.localization import Placed
from witw.cvig.scoring.plots import draw
from witw.cvig.scoring.protocols import Cells, Ranked
from witw.dataset.packed import Packed
from witw.errors import UserError

VERSION = 4
READS = ()


@dataclass(frozen=True)
class Area:
    """An area's photos as codes, and its cells."""

    name: str
    rows: NDArray[np.int64]  # of the packed split
    codes: Codes
    places: NDArray[np.float64]  # (P, 2) [m]
    cells: Cells


def run(
    model_path: Path,
    val_dir: Path,
    test_dir: Path,
    cells: Mapping[str, tuple[Path, Path]],
    pairs: Sequence[Path],
    metrics_path: Path,
    ranks: Path,
    plot: Path,
    threads: int = 1,
    train_dir: Path | None = None,
) -> dict[str, Any]:
    """Score a model on areas it has never seen.

    Args:
        model_path: the model.
        val_dir: packed validation split.
        test_dir: packed test split.
        cells: codes and grid of each validation and test area, from the stage ``index``.
        pairs: tables ``pairs`` of the test areas: where EXIF data may tell a heading.
        metrics_path: output JSON: ``protocols`` as :mod:`witw.cvig.scoring.protocols` has them,
            each with ``chance``, ``interval`` and ``areas`` (the same for each area); ``heading``;
            ``calibration``, fitted on the validation areas, with ``val`` and ``test`` figures;
            ``presence``, ``reliability`` and ``usual`` of :mod:`witw.cvig.scoring.assurance`.
        ranks: output, table ``ranks``.
        plot: output, recall at k and against area, beside chance.
        threads: CPU threads.
        train_dir: packed training split: photos of other cities, and what photos usually look like.

    Returns:
        What ``metrics_path`` holds.

    Raises:
        UserError: an area has no index, or one of another network.
    """
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    model = Model.load(model_path, device())
    val, test = Packed.open(val_dir, threads), Packed.open(test_dir, threads)
    fitted, told = _calibrated(model, val, cells)
    found, thinned, placed, beliefs = _scored(model, test, cells, fitted)
    names = np.unique(test.table["aoi"].to_numpy(dtype=str)).tolist()
    block = intervals.blocks(test.lon_lat)
    ranked = Ranked(found.rank, found.gallery, test.areas, block)
    where = {name: block[test.areas == n] for n, name in enumerate(names)}
    told["test"] = _believed(Belief.join([beliefs[name] for name in names]), block, fitted)
    train = Packed.open(train_dir) if train_dir else None
    indexed = {name: _cells(name, cells) for name in (*told["fitted_on"], *names)}
    values = {
        "model": about(model),
        "protocols": {
            "grid": protocols.tell_placed(placed, where),
            "chips": protocols.tell_ranks(ranked, names),
            "thinned": protocols.tell_ranks(thinned, names),
        },
        "heading": _headings(found, test, block, pairs),
        "calibration": told,
        **assurance.tell(model, fitted, indexed, train, val, test),
    }
    rows = test.table[["id", "aoi"]].assign(
        rank=found.rank, gallery=found.gallery, heading_deg=found.heading_deg.round(2)
    )
    tables.write(ranks, "ranks", rows)
    files.write_json(metrics_path, files.seal(values))
    draw(found.rank, found.gallery, values["protocols"], plot)
    return values


def about(model: Model) -> dict[str, Any]:
    """What the figures are of."""
    shape = model.network.shape
    return {
        "epoch": model.epoch,
        "val": model.val,
        "temperature": model.temperature,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "chip_m": shape.chip_m,
        "headings": shape.headings,
    }


def _area(model: Model, data: Packed, number: int, cells: Mapping[str, tuple[Path, Path]]) -> Area:
    """Encode an area's pairs and open its cells; one area at a time, so memory does not grow."""
    rows = np.flatnonzero(data.areas == number)
    name = str(data.table["aoi"].iloc[rows[0]])
    found = _cells(name, cells)
    codes = retrieval.encode(model.network, data, device(), rows)
    size = (len(found.grid.cells), *codes.chips.shape[1:])
    if found.codes.shape != size:
        raise UserError(
            f"{cells[name][0]} is not of {cells[name][1]} and the model; delete it and run again."
        )
    return Area(name, rows, codes, data.places[rows], found)


def _cells(name: str, cells: Mapping[str, tuple[Path, Path]]) -> Cells:
    """Open an area's cells."""
    if name not in cells:
        raise UserError(f"Area {name!r} has no index; give its files to `--codes` and `--grids`.")
    return Cells(np.load(cells[name][0], mmap_mode="r"), Grid.read(cells[name][1]))


def _calibrated(
    model: Model, val: Packed, cells: Mapping[str, tuple[Path, Path]]
) -> tuple[Calibration, dict[str, Any]]:
    """Fit on the validation areas, and say how well it fits there."""
    areas = [_area(model, val, n, cells) for n in np.unique(val.areas)]
    parts = [p for a in areas for p in protocols.evidence(a.codes, a.places, a.cells)]
    fitted = calibration.fit(parts)
    beliefs = [protocols.on_grid(a.codes, a.places, a.cells, fitted)[1] for a in areas]
    block, found = intervals.blocks(val.lon_lat), Belief.join(beliefs)
    fitted = replace(fitted, held=calibration.levels(found))
    told = _believed(found, block, fitted)
    plain = asdict(fitted) | {"held": list(fitted.held)}
    return fitted, {**plain, "fitted_on": [a.name for a in areas], "val": told}


def _believed(found: Belief, block: NDArray[np.int64], fitted: Calibration) -> dict[str, Any]:
    return protocols.tell(calibration.metrics(found, fitted), {"bits": 0.0}, block)


def _scored(
    model: Model, test: Packed, cells: Mapping[str, tuple[Path, Path]], fitted: Calibration
) -> tuple[Ranking, Ranked, dict[str, Placed], dict[str, Belief]]:
    """Every test area by all protocols."""
    rank, gallery = np.zeros((2, len(test)), np.int64)
    turned = np.zeros(len(test))
    ids, block = test.table["id"].to_numpy(dtype=str), intervals.blocks(test.lon_lat)
    thinned, placed, beliefs = [], {}, {}
    for number in np.unique(test.areas):
        area = _area(model, test, number, cells)
        rows, one = area.rows, np.zeros(len(area.rows), np.int64)
        found = retrieval.find(area.codes, one)
        rank[rows], gallery[rows], turned[rows] = found.rank, found.gallery, found.heading_deg
        few = protocols.thin(ids[rows].tolist(), area.places)
        alone = retrieval.find(area.codes.take(few), one[few])
        some = rows[few]
        thinned.append(Ranked(alone.rank, alone.gallery, test.areas[some], block[some]))
        placed[area.name], beliefs[area.name] = protocols.on_grid(
            area.codes, area.places, area.cells, fitted
        )
    return Ranking(rank, gallery, turned), Ranked.join(thinned), placed, beliefs


def _headings(
    found: Ranking, test: Packed, block: NDArray[np.int64], pairs: Sequence[Path]
) -> dict[str, Any]:
    """Errors of the headings found at the photos' own chips, where EXIF data gives the true one."""
    key = ["aoi", "id"]  # a photo that two areas list has a row in each
    columns = [*key, "photo_path", "lon", "lat", "epsg"]
    rows = pd.concat([tables.frame("pairs"), *(tables.read(p, "pairs") for p in pairs)])[columns]
    packed = pd.MultiIndex.from_frame(test.table[key])
    rows = rows.set_index(key).reindex(packed).dropna()
    at = np.flatnonzero(packed.isin(rows.index))
    lon, lat = (rows[name].to_numpy(np.float64) for name in ("lon", "lat"))
    known = heading.grid_headings(list(rows["photo_path"]), lon, lat, rows["epsg"].to_numpy(int))
    at, known = at[np.isfinite(known)], known[np.isfinite(known)]
    if not len(at):
        return {"n": 0}
    error = heading.error_deg(found.heading_deg[at], known)
    told = protocols.tell(heading.metrics(error), heading.chance(), block[at])
    return {**told, "histogram": heading.histogram(error)}


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = stage.arguments(
        "evaluate",
        __doc__,
        inputs=["model", "val", "test", "codes", "grids", "pairs"],
        outputs=["metrics", "ranks", "plot"],
        many=["codes", "grids", "pairs"],
        optional=["train"],
        argv=argv,
    )
    grids = {path.stem: path for path in args.grids}
    cells = {path.stem: (path, grids[path.stem]) for path in args.codes if path.stem in grids}
    outputs = args.metrics, args.ranks, args.plot
    run(args.model, args.val, args.test, cells, args.pairs, *outputs, args.threads, args.train)


if __name__ == "__main__":
    stage.execute(main)
