"""Locate three photos of a test area: those of the best, the median and the worst rank.

They show the range of the network's results. Each gets a picture for the report, and the files and
the page of an answer (:mod:`witw.answer`). `witw locate` locates other photos.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from witw import files, stage, tables
from witw.answer.content import Known
from witw.answer.write import Folder
from witw.cvig.heatmap import Scene, draw
from witw.cvig.locating.located import Located
from witw.cvig.locating.locator import Locator
from witw.errors import UserError
from witw.images.query import open_query

VERSION = 4
READS = ()

BEST, MEDIAN, WORST = "best", "median", "worst"
SAID = {
    BEST: "the best photo of this test city; half of its photos rank far lower",
    MEDIAN: "the median photo of this test city, neither the best nor the worst",
    WORST: "the worst photo of this test city",
}


@dataclass(frozen=True)
class Query:
    """A photo with a known place, which the search does not use.

    Attributes:
        kind: ``best``, ``median`` or ``worst``.
        path: the photo.
        place: geotag in the area's UTM zone [m].
        rank: rank of its own chip among the area's test chips.
        gallery: number of these chips.
        credit: attribution of the photo.
    """

    kind: str
    path: Path
    place: tuple[float, float]
    rank: int
    gallery: int
    credit: str = ""

    @property
    def note(self) -> str:
        """Reason for showing this photo."""
        return f"Its own chip ranks {self.rank} of {self.gallery}: {SAID[self.kind]}."


def choose(pairs: Path, ranks: Path, aoi: str) -> list[Query]:
    """Choose the photos of best, median and worst rank; of two middle photos, the better one.

    Equal ranks are ordered by id. In an area of one or two photos, a photo is shown several times.

    Raises:
        UserError: the area has no ranked photo.
    """
    table = tables.read(ranks, "ranks")
    table = table[table["aoi"] == aoi].sort_values(["rank", "id"], ignore_index=True)
    if table.empty:
        raise UserError(f"Area {aoi!r}: {ranks} holds no photo of it; only test areas are ranked.")
    rows = tables.read(pairs, "pairs").set_index("id")
    at = {BEST: 0, MEDIAN: (len(table) - 1) // 2, WORST: len(table) - 1}
    out = []
    for kind, n in at.items():
        ranked = table.iloc[n]
        row = rows.loc[ranked["id"]]
        out.append(
            Query(
                kind,
                Path(row["photo_path"]),
                (float(row["easting"]), float(row["northing"])),
                int(ranked["rank"]),
                int(ranked["gallery"]),
                row["credit"] if pd.notna(row["credit"]) else "",
            )
        )
    return out


def run(
    aoi: str,
    queries: Sequence[Query],
    model: Path,
    cells: Path,
    mosaic: Path,
    pictures: Mapping[str, Path],
    answers: Path,
) -> list[Located]:
    """Locate photos of an area.

    Args:
        aoi: name of the area.
        queries: the photos.
        model: the network with its calibration.
        cells: the area's index.
        mosaic: the area's raster.
        pictures: output, one PNG per kind: photo beside map.
        answers: output, a folder with a page and, for each photo, files for a GIS.

    Raises:
        UserError: a photo is unreadable, or the index belongs to another network.
    """
    locator = Locator.open(model, cells, mosaic, aoi)
    photos = [open_query(q.path, f"{q.kind}_{q.path.name}") for q in queries]
    found = locator.locate(photos)
    with files.atomic_dir(answers) as part:
        folder = Folder(part)
        for query, located in zip(queries, found, strict=True):
            folder.add(located, Known(query.place, query.note, query.credit))
        folder.close()
    for query, located in zip(queries, found, strict=True):
        draw(_scene(aoi, query, located), located.grid, mosaic, pictures[query.kind])
    return found


def _scene(aoi: str, query: Query, found: Located) -> Scene:
    picture = found.photos[0].picture
    # Convert the field of view along the long side to the horizontal one.
    side = picture.width / max(picture.size)
    half = math.atan(math.tan(math.radians(found.fov_deg[0]) / 2) * side)
    return Scene(
        aoi, picture, query.credit, query.place, query.note, found.probability,
        found.heading_deg[0].astype(float), 2 * math.degrees(half),
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    args = stage.arguments(
        "locate",
        __doc__,
        inputs=["model", "cells", "mosaic", "pairs", "ranks"],
        outputs=[BEST, MEDIAN, WORST, "answers"],
        argv=argv,
    )
    torch.set_num_threads(args.threads)
    aoi = args.spec["aoi"]
    pictures = {kind: getattr(args, kind) for kind in (BEST, MEDIAN, WORST)}
    queries = choose(args.pairs, args.ranks, aoi)
    run(aoi, queries, args.model, args.cells, args.mosaic, pictures, args.answers)


if __name__ == "__main__":
    stage.execute(main)
