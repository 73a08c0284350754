"""Cut the square chip of imagery centred on each outdoor photo of a shard."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
import simplejpeg
from numpy.typing import NDArray
from rasterio.warp import transform

from witw import files, stage, tables
from witw.errors import UserError
from witw.imagery.mosaic_reader import Squares, Strip, to_px
from witw.settings.chips import Chips
from witw.status import Outdoor, wants_chip

VERSION = 4
READS = (
    "chips",
    "pairs.min_outdoor_mass",
    "pairs.min_outdoor_vote",
    "utm_epsg",
    "strip_names",
)

log = logging.getLogger("witw")

# Cache size for decoded tiles, summed over all threads; GDAL caches only one tile's blocks.
CACHE_BYTES = 320 << 20
GDAL_CACHE_BYTES = 16 << 20
# Photos are cut in the order of squares of this side [px], so that neighbours share decoded tiles.
SWATH_PX = 2048


def first_pixel(centre_px: float, size_px: int) -> int:
    """Return the first column (or row) of the window whose middle is nearest to a position.

    Args:
        centre_px: Position in pixels from the raster's left (or top) edge.
        size_px: Side of the window [px].
    """
    return math.floor(centre_px - size_px / 2 + 0.5)


@dataclass(frozen=True)
class Place:
    """Position of a photo.

    Attributes:
        id: Photo id.
        east: Easting [m].
        north: Northing [m].
        window: First column and row of its square in the mosaic.
        pixel: Column and row of the pixel that contains it.
    """

    id: str
    east: float
    north: float
    window: tuple[int, int]
    pixel: tuple[int, int]


def locate(
    photos: pd.DataFrame, mosaic: rasterio.DatasetReader, epsg: int, size_px: int
) -> list[Place]:
    """Locate photos in the mosaic, in an order in which neighbours share decoded tiles.

    Args:
        photos: ``id``, ``lon``, ``lat`` (EPSG:4326) [degrees].
        mosaic: The area's raster in UTM.
        epsg: EPSG code of the UTM zone.
        size_px: Side of a square [px].
    """
    lon, lat = photos["lon"].to_numpy(float), photos["lat"].to_numpy(float)
    east, north = (np.asarray(v) for v in transform("EPSG:4326", f"EPSG:{epsg}", lon, lat)[:2])
    x, y = to_px(mosaic, east, north)
    found = sorted(
        zip(y // SWATH_PX, x // SWATH_PX, y, x, photos["id"], east, north, strict=True),
        key=lambda row: row[:5],
    )
    return [
        Place(
            id=str(photo),
            east=float(e),
            north=float(n),
            window=(first_pixel(px, size_px), first_pixel(py, size_px)),
            pixel=(math.floor(px), math.floor(py)),
        )
        for _, _, py, px, photo, e, n in found
    ]


def portions(places: Sequence[Place], count: int) -> list[Sequence[Place]]:
    """Divide places into ``count`` runs of similar length, without splitting a square."""
    ends = [0]
    for number in range(1, count):
        end = max(ends[-1], len(places) * number // count)
        while 0 < end < len(places) and places[end].window == places[end - 1].window:
            end += 1
        ends.append(end)
    return [places[a:b] for a, b in itertools.pairwise([*ends, len(places)])]


def encoded(rgb: NDArray[np.uint8], config: Chips) -> bytes:
    """Encode a chip, (h, w, 3), as JPEG."""
    subsampling = config.subsampling.replace(":", "")
    data: bytes = simplejpeg.encode_jpeg(
        rgb, quality=config.jpeg_quality, colorsubsampling=subsampling, fastdct=False
    )
    return data


def write(
    places: Sequence[Place],
    squares: Squares,
    config: Chips,
    folder: Path,
    done: Callable[[], object],
) -> list[dict[str, Any]]:
    """Write ``{id}.jpg`` for each photo whose square contains any imagery.

    Args:
        places: Photos; those of the same square are consecutive.
        squares: Reader of the mosaic's squares.
        config: Size and JPEG settings.
        folder: Folder for the chips.
        done: Called after each photo.

    Returns:
        Rows of table ``chips``; ``chip_path`` is the bare file name.
    """
    rows, last, jpeg, digest, blank = [], None, b"", "", 1.0
    for place in places:
        # Photos with the same geotag share their square.
        if place.window != last:
            last = place.window
            rgb, valid = squares.read(*last)
            blank = 0.0 if valid is None else 1 - np.count_nonzero(valid) / valid.size
            jpeg = encoded(rgb, config) if blank < 1 else b""
            digest = hashlib.sha256(jpeg).hexdigest()
        name = f"{place.id}.jpg" if jpeg else None
        if name:
            (folder / name).write_bytes(jpeg)
        rows.append(
            {
                "id": place.id,
                "chip_path": name,
                "sha256": digest if name else None,
                "easting": place.east,
                "northing": place.north,
                "blank_fraction": blank,
                "strip": squares.owner(*place.pixel),
            }
        )
        done()
    return rows


def cut(
    photos: pd.DataFrame,
    mosaic: Path,
    tifs: Mapping[str, Path],
    epsg: int,
    config: Chips,
    folder: Path,
    threads: int,
) -> pd.DataFrame:
    """Write the chips of photos with several threads.

    Args:
        photos: ``id``, ``lon``, ``lat`` [degrees].
        mosaic: The area's raster in UTM; it defines which strip lies on top.
        tifs: Raster of each of its strips, by name.
        epsg: EPSG code of the UTM zone.
        config: Size and JPEG settings.
        folder: Folder for the chips.
        threads: Number of threads; the bytes do not depend on it.

    Returns:
        Table ``chips``; ``chip_path`` is the bare file name.
    """
    with ExitStack() as opened:
        whole = opened.enter_context(rasterio.open(mosaic))
        order = whole.tags(ns="witw").get("STRIPS", ",".join(tifs)).split(",")

        def squares() -> Squares:
            # Each thread has its own file handles and tiles, because neighbours are in the same
            # run.
            rasters = [(n, rasterio.open(tifs[n], sharing=False)) for n in order]
            strips = [Strip.of(n, opened.enter_context(r), whole) for n, r in rasters]
            return Squares(strips, config.size_px, CACHE_BYTES // threads)

        runs = portions(locate(photos, whole, epsg, config.size_px), threads)
        bar = opened.enter_context(stage.bar("chips", len(photos)))
        with ThreadPoolExecutor(threads) as pool:
            futures = [
                pool.submit(write, run, squares(), config, folder, bar.update) for run in runs
            ]
            rows = [row | {"epsg": epsg} for future in futures for row in future.result()]
    return tables.frame("chips", rows)


def run(
    spec: dict[str, Any],
    wanted: pd.DataFrame,
    mosaic: Path,
    tifs: Sequence[Path],
    chips: Path,
    table: Path,
    threads: int = 1,
) -> None:
    """Write a shard's chips and their table.

    Args:
        spec: The keys in READS.
        wanted: ``id``, ``lon``, ``lat`` of the photos that get a chip.
        mosaic: The area's raster.
        tifs: Its strips, in config order.
        chips: Folder of the chips, replaced as a whole.
        table: Output table, one row per wanted photo.
        threads: Number of threads; the bytes do not depend on it.

    Raises:
        UserError: The imagery cannot be read.
    """
    config = Chips.model_validate(spec["chips"])
    by_name = dict(zip(spec["strip_names"], tifs, strict=True))
    with rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_BYTES), files.atomic_dir(chips) as folder:
        try:
            rows = cut(wanted, mosaic, by_name, spec["utm_epsg"], config, folder, threads)
        except (rasterio.errors.RasterioError, UnicodeDecodeError) as error:
            text = " ".join(str(error.__cause__ or error).split()).rstrip(".")
            names = ", ".join(map(str, [mosaic, *tifs]))
            raise UserError(
                f"Area {spec['aoi']!r}: some of {names} cannot be read ({text}); delete the file "
                "named here, or all of them, and run again."
            ) from None
    rows["chip_path"] = f"{chips}/" + rows["chip_path"]
    tables.write(table, "chips", rows)
    log.info("%d chips of %d photos", rows["chip_path"].notna().sum(), len(rows))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    args = stage.arguments(
        "chips",
        __doc__,
        inputs=["ids", "photos", "scenes", "mosaic", "tifs"],
        outputs=["chips", "table"],
        many=["tifs"],
        argv=argv,
    )
    ids = tables.read(args.ids, "ids")
    wanted = wants_chip(
        tables.read(args.photos, "downloads"),
        tables.read(args.scenes, "scenes"),
        Outdoor(**args.spec["pairs"]),
    )
    photos = ids.loc[ids["id"].isin(wanted), ["id", "lon", "lat"]]
    run(args.spec, photos, args.mosaic, args.tifs, args.chips, args.table, args.threads)


if __name__ == "__main__":
    stage.execute(main)
