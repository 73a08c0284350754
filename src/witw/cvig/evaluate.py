"""Score the model on unseen cities, with chance and, for enough places, intervals.

All choices are made on the validation cities: the epoch in training, temperature and geotag error
here. The test cities are only scored. :mod:`witw.cvig.scoring.protocols` defines the protocols.
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
from witw.cvig.network.model import Model, device
from witw.cvig.network.towers import PhotoCode
from witw.cvig.retrieval import Codes, Ranking
from witw.cvig.scoring import assurance, calibration, heading, intervals, protocols, window
from witw.cvig.scoring.calibration import Belief, Calibration
from witw.cvig.scoring.localization import Placed
from witw.cvig.scoring.plots import draw
from witw.cvig.scoring.protocols import MapFigures, Ranked
from witw.cvig.scoring.reliability import Outcome
from witw.cvig.scoring.window import Windowed
from witw.cvig.search.index_file import Index
from witw.dataset.packed import Packed
from witw.errors import UserError
from witw.settings.evaluate import Evaluate

VERSION = 5
READS = ("evaluate",)


@dataclass(frozen=True)
class Area:
    """An area's photos as codes, and its cells.

    Attributes:
        name: name of the area.
        rows: rows of the packed split, ``(P,)``.
        ids: ids of the photos.
        codes: codes of photos and chips.
        places: ``(P, 2)`` geotags [m].
        asked: positions in ``P`` of the photos that are searched on the cells.
        index: the cells.
    """

    name: str
    rows: NDArray[np.int64]
    ids: list[str]
    codes: Codes
    places: NDArray[np.float64]
    asked: NDArray[np.int64]
    index: Index

    @property
    def photos(self) -> PhotoCode:
        """Codes of the photos that are searched on the cells."""
        return self.codes.take(self.asked).photo_codes


@dataclass(frozen=True)
class Scored:
    """Results of the test areas under all protocols."""

    found: Ranking
    thinned: Ranked
    placed: dict[str, Placed]
    figures: dict[str, MapFigures]
    outcomes: list[Outcome]  # one per area, in order
    asked: dict[str, NDArray[np.int64]]  # rows of the split, of each area
    windows: dict[str, Windowed]  # by protocol


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
    scored = _scored(model, test, cells, fitted, known, most)
    names = list(test.rows_by_area)
    block = intervals.blocks(test.lon_lat)
    ranked = Ranked(scored.found.rank, scored.found.gallery, test.areas, block)
    where = {name: block[rows] for name, rows in scored.asked.items()}
    believed = Belief.join([scored.figures[name].belief for name in names])
    everywhere = np.concatenate([where[name] for name in names])
    told["test"] = _believed(believed, everywhere, fitted)
    train = Packed.open(train_dir) if train_dir else None
    indexed = {name: _index(name, cells, model) for name in (*told["fitted_on"], *names)}
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


def _queries(scored: Scored, test: Packed, most: int) -> dict[str, Any]:
    """Return the number of photos and of queries of each area."""
    areas = {
        name: {"photos": len(rows), "asked": len(scored.asked[name])}
        for name, rows in test.rows_by_area.items()
    }
    return {"most": most, "square_m": protocols.BUCKET_M, "areas": areas}


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


def _area(model: Model, data: Packed, name: str, cells: Mapping[str, Path], most: int) -> Area:
    """Encode an area's pairs and open its cells; one area at a time bounds the memory."""
    rows = data.rows_by_area[name]
    index = _index(name, cells, model)
    ids = data.table["id"].iloc[rows].astype(str).tolist()
    places = data.places[rows]
    asked = protocols.chosen(ids, places, most)
    codes = retrieval.encode(model.network, data, device(), rows)
    return Area(name, rows, ids, codes, places, asked, index)


def _index(name: str, cells: Mapping[str, Path], model: Model) -> Index:
    """Open an area's cells."""
    if name not in cells:
        raise UserError(f"Area {name!r} has no index; give its file to `--cells`.")
    return Index.open(cells[name], model)


def _calibrated(
    model: Model, val: Packed, cells: Mapping[str, Path], most: int
) -> tuple[Calibration, dict[str, Any], dict[str, NDArray[np.float64]]]:
    """Fit on the validation areas; return the fit, its figures, and the signs of the photos."""
    areas = [_area(model, val, name, cells, most) for name in val.rows_by_area]
    parts = [
        p
        for a in areas
        for p in protocols.evidence(a.photos, a.places[a.asked], a.index, model.blend)
    ]
    fitted = calibration.fit(parts)
    figures = {
        a.name: protocols.believed(a.photos, a.places[a.asked], a.index, model.blend, fitted)
        for a in areas
    }
    asked = np.concatenate([a.rows[a.asked] for a in areas])
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


def _scored(
    model: Model,
    test: Packed,
    cells: Mapping[str, Path],
    fitted: Calibration,
    known_deg: NDArray[np.float64],
    most: int,
) -> Scored:
    """Score every test area under all protocols."""
    rank, gallery = np.zeros((2, len(test)), np.int64)
    turned, blend = np.zeros(len(test)), model.blend
    block = intervals.blocks(test.lon_lat)
    thinned, outcomes, placed, figures, asked = [], [], {}, {}, {}
    windows: dict[str, list[Windowed]] = {"window": [], "window_several": []}
    for name in test.rows_by_area:
        area = _area(model, test, name, cells, most)
        rows, one = area.rows, np.zeros(len(area.rows), np.int64)
        found = retrieval.find(area.codes, one, blend)
        rank[rows], gallery[rows], turned[rows] = found.rank, found.gallery, found.heading_deg
        few = protocols.thin(area.ids, area.places)
        alone = retrieval.find(area.codes.take(few), one[few], blend)
        some = rows[few]
        thinned.append(Ranked(alone.rank, alone.gallery, test.areas[some], block[some]))
        placed[area.name], figures[area.name], outcome = protocols.on_grid(
            area.photos, area.places[area.asked], area.index, blend, fitted
        )
        outcomes.append(outcome)
        asked[area.name] = rows[area.asked]
        for kind, queries in _window_queries(area).items():
            windows[kind].append(
                window.search(
                    queries, area.ids, area.codes.photo_codes, area.places, known_deg[rows],
                    area.index, blend, fitted,
                )
            )  # fmt: skip
    joined = {kind: Windowed.join(parts) for kind, parts in windows.items()}
    found = Ranking(rank, gallery, turned)
    return Scored(found, Ranked.join(thinned), placed, figures, outcomes, asked, joined)


def _window_queries(area: Area) -> dict[str, list[NDArray[np.int64]]]:
    """Return the photos of each query: one photo, and up to eight photos of its place."""
    several = window.groups(area.asked, area.places, protocols.BUCKET_M)
    return {"window": [rows[:1] for rows in several], "window_several": several}


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
