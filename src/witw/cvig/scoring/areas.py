"""Encode the areas of a split one after another, and score their photos under all protocols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from witw.cvig import retrieval
from witw.cvig.network.model import Model, device
from witw.cvig.network.towers import PhotoCode
from witw.cvig.retrieval import Codes, Ranking
from witw.cvig.scoring import intervals, protocols, window
from witw.cvig.scoring.calibration import Calibration
from witw.cvig.scoring.localization import Placed
from witw.cvig.scoring.protocols import MapFigures, Ranked
from witw.cvig.scoring.reliability import Outcome
from witw.cvig.scoring.window import Windowed
from witw.cvig.search.index_file import Index
from witw.dataset.packed import Packed
from witw.errors import UserError


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


def encoded(model: Model, data: Packed, name: str, cells: Mapping[str, Path], most: int) -> Area:
    """Encode an area's pairs and open its cells; one area at a time bounds the memory."""
    rows = data.rows_by_area[name]
    index = open_index(name, cells, model)
    ids = data.table["id"].iloc[rows].astype(str).tolist()
    places = data.places[rows]
    asked = protocols.chosen(ids, places, most)
    codes = retrieval.encode(model.network, data, device(), rows)
    return Area(name, rows, ids, codes, places, asked, index)


def open_index(name: str, cells: Mapping[str, Path], model: Model) -> Index:
    """Open an area's cells.

    Raises:
        UserError: the area has no index, or one of another network.
    """
    if name not in cells:
        raise UserError(f"Area {name!r} has no index; give its file to `--cells`.")
    return Index.open(cells[name], model)


def scored(
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
        area = encoded(model, test, name, cells, most)
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
