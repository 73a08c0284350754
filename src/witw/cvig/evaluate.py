"""Score the model on unseen cities, with chance and, for enough places, intervals.

All choices are made on the validation cities: the epoch in training, temperature and geotag error
here. The test cities are only scored. :mod:`witw.cvig.scoring.protocols` defines the protocols.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from witw import files, stage, tables
from witw.cvig.network.model import Model, device
from witw.cvig.retrieval import Ranking
from witw.cvig.scoring import areas, assurance, calibration, heading, intervals, protocols, window
from witw.cvig.scoring.calibration import Belief, Calibration
from witw.cvig.scoring.plots import draw
from witw.cvig.scoring.protocols import Ranked
from witw.cvig.scoring.window import Windowed
from witw.dataset.packed import Packed
from witw.settings.evaluate import Evaluate

VERSION = 5
READS = ("evaluate",)


def run(
    spec: Mapping[str, Any],
    model_path: Path,
    val_dir: Path,
    test_dir: Path,
    cells: Mapping[str, Path],
    pairs: Sequence[Path],
    metrics_path: Path,
    ranks: Path,
    plot: Path,
    threads: int = 1,
    train_dir: Path | None = None,
) -> dict[str, Any]:
    """Score a model on unseen areas.

    Args:
        spec: section ``evaluate``.
        model_path: the model.
        val_dir: packed validation split.
        test_dir: packed test split.
        cells: index of each validation and test area.
        pairs: tables ``pairs`` of the test areas, for headings from EXIF data.
        metrics_path: output JSON: ``protocols`` of :mod:`witw.cvig.scoring.protocols`,
            each with ``chance``, ``interval`` and ``areas`` (the same for each area); ``queries``;
            ``heading``; ``calibration``, fitted on the validation areas, with ``val`` and ``test``
            figures; ``presence``, ``reliability`` and ``usual`` of
            :mod:`witw.cvig.scoring.assurance`.
        ranks: output, table ``ranks``.
        plot: output, recall at k and against area, with chance.
        threads: CPU threads.
        train_dir: packed training split, for photos of other cities and their usual appearance.

    Returns:
        The content of ``metrics_path``.

    Raises:
        UserError: an area has no index, or one of another network.
    """
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    model = Model.load(model_path, device())
    most = Evaluate.model_validate(spec["evaluate"]).queries
    val, test = Packed.open(val_dir, threads), Packed.open(test_dir, threads)
    fitted, told, own = _calibrated(model, val, cells, most)
    known = _known_headings(test, pairs)
    scored = areas.scored(model, test, cells, fitted, known, most)
    names = list(test.rows_by_area)
    block = intervals.blocks(test.lon_lat)
    ranked = Ranked(scored.found.rank, scored.found.gallery, test.areas, block)
    where = {name: block[rows] for name, rows in scored.asked.items()}
    believed = Belief.join([scored.figures[name].belief for name in names])
    everywhere = np.concatenate([where[name] for name in names])
    told["test"] = _believed(believed, everywhere, fitted)
    train = Packed.open(train_dir) if train_dir else None
    indexed = {name: areas.open_index(name, cells, model) for name in (*told["fitted_on"], *names)}
    values = {
        "model": about(model),
        "queries": _queries(scored, test, most),
        "protocols": {
            "grid": protocols.tell_placed(scored.placed, where),
            "chips": protocols.tell_ranks(ranked, names),
            "thinned": protocols.tell_ranks(scored.thinned, names),
            **{kind: _windowed(found, everywhere) for kind, found in scored.windows.items()},
        },
        "heading": _headings(scored.found, known, block),
        "calibration": told,
        **assurance.tell(
            model,
            indexed,
            train,
            assurance.Asked(val, own),
            assurance.Asked(test, {name: one.signs for name, one in scored.figures.items()}),
            fitted,
            scored.outcomes,
        ),
    }
    rows = test.table[["id", "aoi"]].assign(
        rank=scored.found.rank,
        gallery=scored.found.gallery,
        heading_deg=scored.found.heading_deg.round(2),
    )
    tables.write(ranks, "ranks", rows)
    files.write_json(metrics_path, files.seal(values))
    draw(scored.found.rank, scored.found.gallery, values["protocols"], plot)
    return values


def _queries(scored: areas.Scored, test: Packed, most: int) -> dict[str, Any]:
    """Return the number of photos and of queries of each area."""
    counts = {
        name: {"photos": len(rows), "asked": len(scored.asked[name])}
        for name, rows in test.rows_by_area.items()
    }
    return {"most": most, "square_m": protocols.BUCKET_M, "areas": counts}


def about(model: Model) -> dict[str, Any]:
    """Describe the scored model."""
    shape = model.network.shape
    return {
        "epoch": model.epoch,
        "val": model.val,
        "temperature": model.temperature,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "chip_m": shape.chip_m,
        "headings": shape.headings,
    }


def _calibrated(
    model: Model, val: Packed, cells: Mapping[str, Path], most: int
) -> tuple[Calibration, dict[str, Any], dict[str, NDArray[np.float64]]]:
    """Fit on the validation areas; return the fit, its figures, and the signs of the photos."""
    own = [areas.encoded(model, val, name, cells, most) for name in val.rows_by_area]
    parts = [
        p
        for a in own
        for p in protocols.evidence(a.photos, a.places[a.asked], a.index, model.blend)
    ]
    fitted = calibration.fit(parts)
    figures = {
        a.name: protocols.believed(a.photos, a.places[a.asked], a.index, model.blend, fitted)
        for a in own
    }
    asked = np.concatenate([a.rows[a.asked] for a in own])
    block = intervals.blocks(val.lon_lat)[asked]
    found = Belief.join([one.belief for one in figures.values()])
    fitted = replace(fitted, held=calibration.levels(found))
    told = _believed(found, block, fitted)
    plain = asdict(fitted) | {"held": list(fitted.held)}
    signs = {name: one.signs for name, one in figures.items()}
    return fitted, {**plain, "fitted_on": list(figures), "val": told}, signs


def _believed(found: Belief, block: NDArray[np.int64], fitted: Calibration) -> dict[str, Any]:
    return protocols.tell(calibration.metrics(found, fitted), {"bits": 0.0}, block)


def _windowed(found: Windowed, block: NDArray[np.int64]) -> dict[str, Any]:
    """Return the figures of the windows, and of the headings if some are known."""
    told = protocols.tell(window.metrics(found), window.chance(found), block)
    told["photos"] = round(float(found.photos.mean()), 4)
    at = np.flatnonzero(np.isfinite(found.turn_deg))
    if len(at):
        error = heading.metrics(found.turn_deg[at])
        told["heading"] = protocols.tell(error, heading.chance(), block[at])
    return told


def _known_headings(test: Packed, pairs: Sequence[Path]) -> NDArray[np.float64]:
    """Return ``(N,)`` headings from EXIF, clockwise from grid north, NaN if unknown [degrees]."""
    key = ["aoi", "id"]  # a photo in two areas has two rows
    columns = [*key, "photo_path", "lon", "lat", "epsg"]
    rows = pd.concat([tables.frame("pairs"), *(tables.read(p, "pairs") for p in pairs)])[columns]
    packed = pd.MultiIndex.from_frame(test.table[key])
    rows = rows.set_index(key).reindex(packed).dropna()
    at = np.flatnonzero(packed.isin(rows.index))
    lon, lat = (rows[name].to_numpy(np.float64) for name in ("lon", "lat"))
    known = np.full(len(test), np.nan)
    zones = rows["epsg"].to_numpy(int)
    known[at] = heading.grid_headings(list(rows["photo_path"]), lon, lat, zones)
    return known


def _headings(
    found: Ranking, known: NDArray[np.float64], block: NDArray[np.int64]
) -> dict[str, Any]:
    """Return the errors of the headings at the own chips, for photos with a known heading."""
    at = np.flatnonzero(np.isfinite(known))
    if not len(at):
        return {"n": 0}
    error = heading.error_deg(found.heading_deg[at], known[at])
    told = protocols.tell(heading.metrics(error), heading.chance(), block[at])
    return {**told, "histogram": heading.histogram(error)}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    args = stage.arguments(
        "evaluate",
        __doc__,
        inputs=["model", "val", "test", "cells", "pairs"],
        outputs=["metrics", "ranks", "plot"],
        many=["cells", "pairs"],
        optional=["train"],
        argv=argv,
    )
    cells = {path.stem: path for path in args.cells}
    outputs = args.metrics, args.ranks, args.plot
    inputs = args.model, args.val, args.test, cells, args.pairs
    run(args.spec, *inputs, *outputs, args.threads, args.train)


if __name__ == "__main__":
    stage.execute(main)
