"""Join an area's tables: one row per listed photo with its status, licence, credit and files."""

from __future__ import annotations

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

# What each of the joined tables gives to `pairs`, under which name.
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
        downloads: tables ``downloads``, one a shard.
        scenes: tables ``scenes``, one a shard.
        chips: tables ``chips``, one a shard.
        pairs: table to write.
        mosaic: of the area, where `min_edge_m` is set.

    Raises:
        UserError: a table lacks a photo it should have, or has one it should not.
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
    """Ids of the list of photos to leave out; none where there is no list.

    Raises:
        UserError: it cannot be read.
    """
    if not path:
        return set()
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"`pairs.exclude`: {path} cannot be read as text; it must hold a photo's id a line."
        ) from None
    rows = [re.split(r"[,;\s]+", line.strip()) for line in lines if line.strip()]
    head = [name.strip('"').lower() for name in rows[0]] if rows else []
    place = head.index("id") if "id" in head else 0
    rows = rows[1:] if "id" in head else rows
    return {row[place].strip('"') for row in rows if len(row) > place}


def _edge_m(rows: pd.DataFrame, mosaic: Path, reach_m: float) -> np.ndarray:
    """Distance of each photo to ground without imagery [m], NaN of one without coordinates."""
    # GDAL, for whoever asks for this filter alone.
    from witw.imagery.edge import distance_m

    at = rows[["easting", "northing"]].to_numpy(float, na_value=np.nan)
    return distance_m(mosaic, at[:, 0], at[:, 1], reach_m)


def outdoor(settings: Pairs) -> status.Outdoor:
    """From which scores on a photo is outdoor."""
    return status.Outdoor(settings.min_outdoor_vote, settings.min_outdoor_mass)


def join(
    photos: pd.DataFrame,
    downloads: pd.DataFrame,
    scenes: pd.DataFrame,
    chips: pd.DataFrame,
    settings: Pairs,
) -> pd.DataFrame:
    """Table ``pairs`` but for the AOI's own columns.

    What a stage did not come to is null: the file of a photo that is gone, the scores of one
    without a file, chip and UTM coordinates of one that wants no chip.

    Args:
        photos: table ``photos``, one row a listed photo.
        downloads: table ``downloads``, a row for each of them that is not ``unusable``.
        scenes: table ``scenes``, a row for each that has a file.
        chips: table ``chips``, a row for each that is fetched, in colour and outdoor.
        settings: section ``pairs``.
    """
    places = photos["url"].map(lambda url: pinned(url)[0], na_action="ignore")
    rows = photos.drop(columns=["url", "cell"]).rename(columns={"photo_page": "url"})
    joined = ((downloads, _FROM_DOWNLOADS), (scenes, _FROM_SCENES), (chips, _FROM_CHIPS))
    for table, names in joined:
        columns = table[["id", *names]].rename(columns=names)
        rows = rows.merge(columns, on="id", how="left", validate="1:1")
    # One that was not fetched has no row in `downloads`.
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
    """Compare the ids of a table with those it should have, each once."""
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
    """Command line."""
    many = ["downloads", "scenes", "chips"]
    # The mosaic comes with its strips, or not at all.
    names = ["photos", *many, "mosaic"]
    args = stage.arguments("pairs", __doc__, names, ["pairs"], [*many, "mosaic"], argv=argv)
    tables_of = args.downloads, args.scenes, args.chips
    run(args.spec, args.photos, *tables_of, args.pairs, next(iter(args.mosaic), None))


if __name__ == "__main__":
    stage.execute(main)
