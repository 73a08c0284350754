"""Schema of every table: column, dtype, unit, description. The data card uses these descriptions.

Tables are Parquet files, sorted, without an index and without times: equal content gives equal
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from witw.errors import UserError
from witw.files import atomic

if TYPE_CHECKING:
    import geopandas as gpd


@dataclass(frozen=True)
class Column:
    """One column: pandas dtype, unit ('' for none) and a sentence."""

    dtype: str
    unit: str
    meaning: str


_ID = Column(
    "string",
    "",
    "Id of the photo: Flickr's number; or the source's name, `-`, and the source's id or a hash.",
)
_LAT = Column("Float64", "degrees", "Latitude of the geotag, EPSG:4326.")
_LON = Column("Float64", "degrees", "Longitude of the geotag, EPSG:4326.")
_URL = Column(
    "string",
    "",
    "Address of the 500 px file, or path of a local file, with its expected digest after "
    "`#sha256=`. Empty: the source gave none.",
)

MADE = "made"  # `satellite` of a synthetic area, whose figures describe no real place

PHOTOS = {
    "id": _ID,
    "source": Column("string", "", "Name of the source that listed the photo, as in the config."),
    "owner": Column("string", "", "Owner; on Flickr, the NSID."),
    "owner_name": Column("string", "", "Owner's name as shown; on Flickr, the screen name."),
    "title": Column("string", "", "Title as given by the owner."),
    "license_id": Column(
        "Int16", "", "Flickr's id of the licence at the search; empty: not a licence of Flickr."
    ),
    "license": Column("string", "", "Name of the licence, as the source gives it."),
    "license_url": Column("string", "", "Address of the licence's text."),
    "date_taken": Column(
        "string", "", "Time of the photo, in the camera's local time, `YYYY-MM-DD hh:mm:ss`."
    ),
    "date_upload": Column("Int64", "s", "Time of the upload, seconds since 1970-01-01 UTC."),
    "lat": _LAT,
    "lon": _LON,
    "accuracy": Column("Int16", "", "Flickr's geotag accuracy, 1 (world) to 16 (street)."),
    "heading_deg": Column(
        "Float64", "degrees", "Heading of the camera by the source, clockwise from north."
    ),
    "url": _URL,
    "photo_page": Column("string", "", "Web page of the photo; empty: the photo has none."),
    "cell": Column(
        "string",
        "",
        "Cell of Flickr's search tree that listed the photo (`audit`, `check`, `missed`: see "
        "search.json), or the name of another source.",
    ),
    "first_seen": Column(
        "string", "", "Snapshot of the first search that listed the photo (Flickr only)."
    ),
    "last_seen": Column(
        "string", "", "Snapshot of the latest search that listed the photo (Flickr only)."
    ),
    "is_gone": Column(
        "boolean", "", "Whether the photo is no longer listed; its owner's texts are then removed."
    ),
    "unusable": Column("string", "", "Status of a photo that is not fetched, otherwise empty."),
}
CELLS = {
    "cell": Column(
        "string",
        "",
        "Path in the tree: r, then 0-3 for each split of the box. If the service ignores the order "
        "of dates: p, a and b (later and earlier half of the dates), @s/ (second s), Ln (licence "
        "n). Before r: s2: (second sweep), 4: (query for licence 4 only).",
    ),
    "west": Column("Float64", "degrees", "Western edge of the box, EPSG:4326."),
    "south": Column("Float64", "degrees", "Southern edge of the box, EPSG:4326."),
    "east": Column("Float64", "degrees", "Eastern edge of the box, EPSG:4326."),
    "north": Column("Float64", "degrees", "Northern edge of the box, EPSG:4326."),
    "total": Column(
        "Int64", "photos", "The service's total for the box, minus photos listed by parents."
    ),
    "listed": Column("Int64", "photos", "Distinct photos first listed by this cell."),
    "calls": Column("Int64", "calls", "API calls spent on this cell, without its children."),
    "is_leaf": Column("boolean", "", "Whether the box was paged through instead of split."),
    "is_ordered": Column("boolean", "", "Whether the box was paged through by upload date."),
    "unreachable": Column("Int64", "photos", "Photos that the service counts but cannot list."),
    "steps": Column("Int64", "", "Comparisons of totals with the photos shown."),
    "over": Column("Int64", "", "Comparisons with a total above the number of photos shown."),
    "under": Column("Int64", "", "Comparisons with a total below the number of photos shown."),
    "worst": Column("Int64", "photos", "Largest difference in a comparison."),
}
IDS = {"id": _ID, "url": _URL, "lat": _LAT, "lon": _LON, "is_gone": PHOTOS["is_gone"]}
DOWNLOADS = {
    "id": _ID,
    "status": Column("string", "", "`ok`, `gone`, `failed`, `corrupt`, `changed` or `grey`."),
    "reason": Column("string", "", "Reason for a status other than `ok`."),
    "url": Column("string", "", "Address or path from which the file was fetched."),
    "path": Column("string", "", "File in the photo store, relative to the run folder."),
    "width": Column("Int32", "px", "Width as displayed, EXIF orientation applied."),
    "height": Column("Int32", "px", "Height as displayed, EXIF orientation applied."),
    "bytes": Column("Int64", "bytes", "Size of the file."),
    "sha256": Column("string", "", "SHA-256 of the file."),
}
SCENES = {
    "id": _ID,
    "io_vote": Column("Float64", "", "Unweighted share of outdoor scenes among the ten likeliest."),
    "p_outdoor": Column("Float64", "", "Total probability of the outdoor scenes."),
    "scene_top1": Column("string", "", "Likeliest of the 365 scenes."),
}
CHIPS = {
    "id": _ID,
    "chip_path": Column("string", "", "Path of the chip, relative to the run folder."),
    "sha256": Column("string", "", "SHA-256 of the chip."),
    "easting": Column("Float64", "m", "Easting of the geotag in the area's UTM zone."),
    "northing": Column("Float64", "m", "Northing of the geotag in the area's UTM zone."),
    "epsg": Column("Int32", "", "EPSG code of the area's UTM zone."),
    "blank_fraction": Column("Float64", "", "Share of the chip without imagery."),
    "strip": Column("string", "", "Topmost strip with imagery at the geotag, otherwise empty."),
}
_CITY = Column("string", "", "Name of the city.")
_SPLIT = Column("string", "", "`train`, `val` or `test`, by whole city.")
PAIRS = {
    "id": _ID,
    "aoi": Column("string", "", "Name of the area in the config."),
    "city": _CITY,
    "source": PHOTOS["source"],
    "lat": _LAT,
    "lon": _LON,
    "heading_deg": PHOTOS["heading_deg"],
    "easting": CHIPS["easting"],
    "northing": CHIPS["northing"],
    "epsg": CHIPS["epsg"],
    "accuracy": PHOTOS["accuracy"],
    "owner": PHOTOS["owner"],
    "owner_name": PHOTOS["owner_name"],
    "title": PHOTOS["title"],
    "license_id": PHOTOS["license_id"],
    "license": PHOTOS["license"],
    "license_url": PHOTOS["license_url"],
    "date_taken": PHOTOS["date_taken"],
    "date_upload": PHOTOS["date_upload"],
    "url": PHOTOS["photo_page"],
    "photo_url": DOWNLOADS["url"],
    "photo_path": DOWNLOADS["path"],
    "photo_width": DOWNLOADS["width"],
    "photo_height": DOWNLOADS["height"],
    "photo_bytes": DOWNLOADS["bytes"],
    "photo_sha256": DOWNLOADS["sha256"],
    "p_outdoor": SCENES["p_outdoor"],
    "io_vote": SCENES["io_vote"],
    "scene_top1": SCENES["scene_top1"],
    "chip_path": CHIPS["chip_path"],
    "chip_sha256": CHIPS["sha256"],
    "blank_fraction": CHIPS["blank_fraction"],
    "satellite": Column("string", "", "Satellite of the imagery."),
    "strip": CHIPS["strip"],
    "split": _SPLIT,
    "status": Column("string", "", "Status of the photo; every listed photo has one."),
    "credit": Column("string", "", "Attribution that the licence requires."),
}
PACK = {
    "row": Column("Int64", "", "Row, counted from 0."),
    "id": _ID,
    "aoi": PAIRS["aoi"],
    "owner": PHOTOS["owner"],
    "easting": CHIPS["easting"],
    "northing": CHIPS["northing"],
    "lat": _LAT,
    "lon": _LON,
    "photo_width": Column("Int32", "px", "Width of the photo inside its padded square."),
    "photo_height": Column("Int32", "px", "Height of the photo inside its padded square."),
    "fov_deg": Column(
        "Float64", "degrees", "Field of view along the long side, from EXIF; empty: unknown."
    ),
    "photo_crc": Column("Int64", "", "CRC-32 of the packed photo, a JPEG."),
    "chip_crc": Column("Int64", "", "CRC-32 of the packed chip, a JPEG."),
}
RANKS = {
    "id": _ID,
    "aoi": PAIRS["aoi"],
    "rank": Column("Int64", "", "Rank of the photo's own chip; 1 is best, ties count against it."),
    "gallery": Column("Int64", "chips", "Size of the gallery."),
    "heading_deg": Column("Float64", "degrees", "Heading of the photo, estimated by the network."),
}
TABLES: dict[str, dict[str, Column]] = {
    "photos": PHOTOS,
    "cells": CELLS,
    "ids": IDS,
    "downloads": DOWNLOADS,
    "scenes": SCENES,
    "chips": CHIPS,
    "pairs": PAIRS,
    "pack": PACK,
    "ranks": RANKS,
}


# Checksums detect flipped bits, which would change a place or a photo.
_WRITTEN: dict[str, Any] = {"index": False, "compression": "zstd", "write_page_checksum": True}

Rows = pd.DataFrame | Sequence[Mapping[str, Any]]


def frame(name: str, rows: Rows = ()) -> pd.DataFrame:
    """Return rows (a list of dicts or a DataFrame) with the columns and dtypes of table ``name``.

    Extra columns are dropped.

    Raises:
        KeyError: a column is missing.
    """
    columns = TABLES[name]
    data = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    if data.empty:
        data = pd.DataFrame(columns=list(columns))
    dtypes: Any = {key: col.dtype for key, col in columns.items()}
    return data[list(columns)].astype(dtypes)


def write(path: Path, name: str, rows: Rows) -> pd.DataFrame:
    """Write a table atomically, sorted by its first column (which must be unique)."""
    data = frame(name, rows)
    key = data.columns[0]
    if data[key].duplicated().any():
        twice = data.loc[data[key].duplicated(), key].iloc[0]
        raise ValueError(f"{path}: {key} {twice!r} appears twice")
    data = data.sort_values(key, ignore_index=True)
    with atomic(path) as part:
        data.to_parquet(part, **_WRITTEN)
    return data


def write_geo(path: Path, name: str, rows: Rows) -> gpd.GeoDataFrame:
    """As :func:`write`, as GeoParquet with a point geometry from ``lon``/``lat`` (EPSG:4326)."""
    # The import takes half a second, which other jobs save.
    import geopandas as gpd

    data = frame(name, rows)
    data = data.sort_values([c for c in ("aoi", "id") if c in data], ignore_index=True)
    points = gpd.points_from_xy(
        data["lon"].to_numpy(dtype=float, na_value=float("nan")),
        data["lat"].to_numpy(dtype=float, na_value=float("nan")),
    )
    geo = gpd.GeoDataFrame(data, geometry=points, crs="EPSG:4326")
    with atomic(path) as part:
        geo.to_parquet(part, **_WRITTEN)
    return geo


def read(path: Path, name: str) -> pd.DataFrame:
    """Read a table written by :func:`write` or :func:`write_geo`.

    Raises:
        UserError: the file is damaged or lacks a column; says how to recreate it.
    """
    try:
        return frame(name, pd.read_parquet(path, page_checksum_verification=True))
    except FileNotFoundError:
        raise
    except Exception as error:  # Arrow raises a dozen types for damaged files
        raise UserError(
            f"{path} is not a readable {name} table; delete it and run again."
        ) from error
