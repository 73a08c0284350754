"""Join an area's tables: one row per listed photo with its status, licence, credit and files."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from witw import stage, status, tables
from witw.dataset import filters
from witw.dataset.credit import credit
from witw.errors import UserError
from witw.settings.pairs import Pairs
from witw.sources.base import pinned

VERSION = 3
READS = ("pairs", "city", "satellite", "split")

log = logging.getLogger(__name__)

# Columns that `pairs` takes from each joined table, with their names there.
_FROM_DOWNLOADS = {
    "status": "status",
    "url": "photo_url",
    "path": "photo_path",
    "width": "photo_width",
    "height": "photo_height",
    "bytes": "photo_bytes",
    "sha256": "photo_sha256",
}
_FROM_SCENES = {name: name for name in ("io_vote", "p_outdoor", "scene_top1")}
_FROM_CHIPS = {
    name: name for name in ("chip_path", "easting", "northing", "epsg", "blank_fraction", "strip")
} | {"sha256": "chip_sha256"}


def run(
    spec: dict[str, Any],
    photos: Path,
    downloads: Sequence[Path],
    scenes: Sequence[Path],
    chips: Sequence[Path],
    pairs: Path,
    mosaic: Path | None = None,
) -> gpd.GeoDataFrame:
    """Join the AOI's tables and write ``pairs`` (GeoParquet).

    Args:
        spec: ``aoi``, ``city``, ``satellite``, ``split`` and ``pairs``.
        photos: table ``photos``.
        downloads: tables ``downloads``, one per shard.
        scenes: tables ``scenes``, one per shard.
        chips: tables ``chips``, one per shard.
        pairs: table to write.
        mosaic: mosaic of the area, if `min_edge_m` is set.

    Raises:
        UserError: a table lacks a photo or has an unexpected one.
    """
    settings = Pairs.model_validate(spec["pairs"])
    aoi = str(spec["aoi"])
    listed = tables.read(photos, "photos")
    fetched = _read_all(downloads, "downloads")
    scored = _read_all(scenes, "scenes")
    cut = _read_all(chips, "chips")
    wanted = status.wants_chip(fetched, scored, outdoor(settings))
    usable = listed.loc[listed["unusable"].fillna("") == "", "id"]
    _match(aoi, "downloads", fetched["id"], usable, downloads)
    _match(aoi, "scenes", scored["id"], fetched.loc[status.has_file(fetched), "id"], scenes)
    _match(aoi, "chips", cut["id"], wanted, chips)
    rows = join(listed, fetched, scored, cut, settings)
    edge_m = _edge_m(rows, mosaic, settings.min_edge_m) if mosaic else None
    rows["status"] = filters.status_of(rows, settings, excluded(settings.exclude), edge_m)
    rows = rows.assign(**{key: spec[key] for key in ("aoi", "city", "satellite", "split")})
    out = tables.write_geo(pairs, "pairs", rows)
    counts = out["status"].value_counts()
    log.info("%s: %d listed; %s", aoi, len(out), ", ".join(f"{n} {s}" for s, n in counts.items()))
    return out


def excluded(path: str) -> set[str]:
    """Return the ids of the list of photos to exclude; none without a list.

    Raises:
        UserError: the list is unreadable.
    """
    if not path:
        return set()
    try:
        text = Path(path).read_text(encoding="utf-8-sig").lstrip()
        first = text.partition("\n")[0]
        # A title in a column before the ids may have commas, spaces and several lines.
        rows = list(csv.reader(io.StringIO(text), delimiter=max("\t;,", key=first.count)))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise UserError(
            f"`pairs.exclude`: {path} cannot be read as text; it must hold a photo's id a line."
        ) from None
    head = [name.strip().lower() for name in rows[0]] if rows else []
    if "id" in head:
        place = head.index("id")
        found = [row[place] for row in rows[1:] if len(row) > place]
    else:
        found = text.splitlines()
    # Text after an id is a comment.
    return {re.split(r"[,;\s]", one.strip())[0].strip('"') for one in found} - {""}


def _edge_m(rows: pd.DataFrame, mosaic: Path, reach_m: float) -> np.ndarray:
    """Return each photo's distance to ground without imagery [m]; NaN without coordinates."""
    # Imports GDAL, which only this filter needs.
    from witw.imagery.edge import distance_m

    at = rows[["easting", "northing"]].to_numpy(float, na_value=np.nan)
    return distance_m(mosaic, at[:, 0], at[:, 1], reach_m)


def outdoor(settings: Pairs) -> status.Outdoor:
    """Return the thresholds of outdoor photos."""
    return status.Outdoor(settings.min_outdoor_vote, settings.min_outdoor_mass)


def join(
    photos: pd.DataFrame,
    downloads: pd.DataFrame,
    scenes: pd.DataFrame,
    chips: pd.DataFrame,
    settings: Pairs,
) -> pd.DataFrame:
    """Join the tables to ``pairs``, without the AOI's own columns.

    Values of stages that a photo did not reach are null: the file of a photo that is gone, the
    scores of a photo without a file, the chip and UTM coordinates of an indoor photo.

    Args:
        photos: table ``photos``, one row per listed photo.
        downloads: table ``downloads``, one row per photo that is not ``unusable``.
        scenes: table ``scenes``, one row per photo with a file.
        chips: table ``chips``, one row per downloaded outdoor photo in colour.
        settings: section ``pairs``.
    """
    places = photos["url"].map(lambda url: pinned(url)[0], na_action="ignore")
    rows = photos.drop(columns=["url", "cell"]).rename(columns={"photo_page": "url"})
    joined = ((downloads, _FROM_DOWNLOADS), (scenes, _FROM_SCENES), (chips, _FROM_CHIPS))
    for table, names in joined:
        columns = table[["id", *names]].rename(columns=names)
        rows = rows.merge(columns, on="id", how="left", validate="1:1")
    # A photo that was not fetched has no row in `downloads`.
    rows["photo_url"] = rows["photo_url"].fillna(places)
    rows["status"] = status.final_status(rows, outdoor(settings), settings.max_blank_fraction)
    rows["credit"] = [
        credit(title, name or owner, license_name, page)
        for title, name, owner, license_name, page in zip(
            *(rows[key].fillna("") for key in ("title", "owner_name", "owner", "license", "url")),
            strict=True,
        )
    ]
    return rows


def _read_all(paths: Sequence[Path], name: str) -> pd.DataFrame:
    frames = [tables.frame(name), *(tables.read(path, name) for path in paths)]
    return pd.concat(frames, ignore_index=True)


def _match(
    aoi: str, table: str, have: pd.Series[str], want: pd.Series[str], files: Sequence[Path]
) -> None:
    """Check that a table has the expected ids, each once."""
    folder = files[0].parent if files else Path()
    twice = have[have.duplicated()]
    lacking = sorted(set(want) - set(have))
    extra = sorted(set(have) - set(want))
    if len(twice):
        fault = f"has photo {twice.iloc[0]} twice"
    elif lacking:
        fault = f"lacks {len(lacking)} photo(s), the first is {lacking[0]}"
    elif extra:
        fault = f"has {len(extra)} photo(s) it should not have, the first is {extra[0]}"
    else:
        return
    raise UserError(
        f"Area {aoi!r}: table {table} {fault}; delete {folder}/*.parquet and run again."
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    many = ["downloads", "scenes", "chips"]
    # The rule gives the mosaic with its strips, or neither.
    names = ["photos", *many, "mosaic"]
    args = stage.arguments("pairs", __doc__, names, ["pairs"], [*many, "mosaic"], argv=argv)
    tables_of = args.downloads, args.scenes, args.chips
    run(args.spec, args.photos, *tables_of, args.pairs, next(iter(args.mosaic), None))


if __name__ == "__main__":
    stage.execute(main)
