"""Locate a photo in an area: GeoTIFF heat map, GeoJSON of the best cells, and a picture.

In the workflow the photo is the one of median rank among the area's test photos, of two the better:
neither the best nor the worst the network can do. By hand, ``--photo my.jpg`` takes any photo.

``--calibration`` is the evaluation's ``metrics.json``: with the temperature and the geotag error it
fitted on the validation areas, the map is the one whose credible regions were checked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
import torch
from rasterio.warp import transform

from witw import files, stage, tables
from witw.cvig.grid import Grid
from witw.cvig.heat import Heat, encode_photos, heat
from witw.cvig.heatmap import Scene, draw
from witw.cvig.network.model import Model, device
from witw.cvig.scoring import localization
from witw.cvig.scoring.calibration import Calibration
from witw.cvig.search.index_file import Index
from witw.errors import UserError
from witw.images.photo import TooManyPixels, fov_deg, open_photo
from witw.images.resize import letterbox

VERSION = 3
READS = ()

TOP = 10  # cells in the GeoJSON, none within 50 m of a better one


@dataclass(frozen=True)
class Query:
    """The photo to be placed, and what is known of it."""

    path: Path
    place: tuple[float, float] | None = None  # geotag in the area's UTM zone [m]
    rank: int | None = None  # of its own chip among the area's test chips
    gallery: int | None = None
    credit: str = ""


def median_photo(pairs: Path, ranks: Path, aoi: str) -> Query:
    """The photo of median rank among an area's, the better of the two middle ones.

    Raises:
        UserError: the area has no ranked photo.
    """
    table = tables.read(ranks, "ranks")
    table = table[table["aoi"] == aoi].sort_values(["rank", "id"], ignore_index=True)
    if table.empty:
        raise UserError(f"Area {aoi!r}: {ranks} holds no photo of it; only test areas are ranked.")
    chosen = table.iloc[(len(table) - 1) // 2]
    rows = tables.read(pairs, "pairs")
    row = rows[rows["id"] == chosen["id"]].iloc[0]
    return Query(
        Path(row["photo_path"]),
        (float(row["easting"]), float(row["northing"])),
        int(chosen["rank"]),
        int(chosen["gallery"]),
        row["credit"] if pd.notna(row["credit"]) else "",
    )


def fitted(path: Path | None, model: Model) -> Calibration:
    """What the evaluation fitted; without it, the model's temperature alone.

    Raises:
        UserError: the file holds no calibration.
    """
    if path is None:
        return Calibration(model.temperature, 0.0)
    try:
        return Calibration.read(files.read_json(path)["calibration"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} holds no calibration; give an evaluation's metrics.json.") from (
            error
        )


def write_tif(path: Path, grid: Grid, found: Heat) -> None:
    """Write probabilities as float32 GeoTIFF in the area's CRS; NaN is no cell."""
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": "float32",
        "count": 1,
        "width": grid.columns,
        "height": grid.rows,
        "crs": f"EPSG:{grid.epsg}",
        "transform": grid.transform,
        "nodata": np.nan,
        "compress": "deflate",
        "predictor": 3,
    }
    with files.atomic(path) as part, rasterio.open(part, "w", **profile) as out:
        out.write(grid.raster(found.probability), 1)
        out.set_band_description(1, "probability that the photo was taken in this cell")


def features(grid: Grid, found: Heat) -> dict[str, Any]:
    """The best places as a GeoJSON FeatureCollection (EPSG:4326, RFC 7946)."""
    best = localization.non_max_suppression(found.probability[None], grid, TOP)[0]
    best = best[best >= 0]
    centres = grid.centres()[best]
    lons, lats = transform(f"EPSG:{grid.epsg}", "EPSG:4326", *centres.T)
    items = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [round(lon, 7), round(lat, 7)]},
            "properties": {
                "rank": place + 1,
                "probability": float(f"{found.probability[cell]:.6g}"),
                "heading_deg": round(float(found.heading_deg[cell]) % 360, 1),
                "easting": round(float(centres[place, 0]), 2),
                "northing": round(float(centres[place, 1]), 2),
                "epsg": grid.epsg,
                "cell_m": round(grid.step_m, 3),
            },
        }
        for place, (cell, lon, lat) in enumerate(zip(best, lons, lats, strict=True))
    ]
    return {"type": "FeatureCollection", "features": items}


def run(
    aoi: str,
    query: Query,
    model_path: Path,
    cells: Path,
    mosaic: Path,
    tif: Path,
    png: Path,
    geojson: Path,
    calibration: Path | None = None,
) -> Heat:
    """Place one photo in an area.

    Args:
        aoi: name of the area.
        query: the photo.
        model_path: the model.
        cells: the area's index.
        mosaic: the area's raster, for the picture.
        tif: output, float32 probability a cell, in the area's CRS.
        png: output, photo and map.
        geojson: output, the ten best cells at least 50 m apart, with heading [degrees from grid
            north] and probability.
        calibration: an evaluation's JSON, or None.

    Raises:
        UserError: the photo cannot be read, or the index belongs to another network.
    """
    model = Model.load(model_path, device())
    index = Index.open(cells, model)
    grid, shape = index.grid, model.network.shape
    try:
        photo = open_photo(query.path)
    except TooManyPixels as error:
        raise UserError(f"{query.path} is too large: {error}; make it smaller.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{query.path} is not a readable photo: {error}.") from error
    square, width, height = letterbox(photo, shape.photo_px)
    lens_deg = fov_deg(query.path, *photo.size)
    code = encode_photos(model, [square], [(width, height)], [lens_deg])
    found = heat(model, code, index, fitted(calibration, model))
    write_tif(tif, grid, found)
    files.write_json(geojson, features(grid, found))
    seen_deg = shape.photo_fov_deg if math.isnan(lens_deg) else lens_deg
    half = math.tan(math.radians(seen_deg) / 2) * width / max(width, height)
    scene = Scene(
        aoi, photo, query.credit, query.place, query.rank, query.gallery, found.probability,
        found.heading_deg, 2 * math.degrees(math.atan(half)),
    )  # fmt: skip
    draw(scene, grid, mosaic, png)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = stage.arguments(
        "locate",
        __doc__,
        inputs=["model", "cells", "mosaic"],
        outputs=["tif", "png", "geojson"],
        optional=["pairs", "ranks", "photo", "calibration"],
        argv=argv,
    )
    torch.set_num_threads(args.threads)
    if args.photo is None and (args.pairs is None or args.ranks is None):
        raise UserError("Give `--photo my.jpg`, or `--pairs` and `--ranks` to take the median one.")
    aoi = args.spec["aoi"]
    query = Query(args.photo) if args.photo else median_photo(args.pairs, args.ranks, aoi)
    paths = (args.model, args.cells, args.mosaic, args.tif, args.png, args.geojson)
    run(aoi, query, *paths, args.calibration)


if __name__ == "__main__":
    stage.execute(main)
