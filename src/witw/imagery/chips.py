"""Cut the square of imagery centred on each outdoor photo of a shard."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.warp import transform
from rasterio.windows import Window

from witw import stage, tables
from witw.dataset.fate import Outdoor, wants_chip
from witw.errors import UserError
from witw.settings import Chips

VERSION = 2
READS = (
    "chips",
    "pairs.min_outdoor_mass",
    "pairs.min_outdoor_vote",
    "utm_epsg",
    "strip_names",
)

log = logging.getLogger("witw")

CACHE_BYTES = 512 << 20
# Photos are cut in the order of squares of this side [px], so that neighbours share decoded blocks.
SWATH_PX = 2048


def first_pixel(centre_px: float, size_px: int) -> int:
    """First column (or row) of the window whose middle is nearest to a position.

    Args:
        centre_px: position in pixels from the raster's left (or top) edge.
        size_px: side of the window [px].
    """
    return math.floor(centre_px - size_px / 2 + 0.5)


def read_square(
    raster: rasterio.DatasetReader, col: int, row: int, size_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read a square that may reach past the raster.

    Returns:
        RGB, (3, size, size), black where blank; validity, (size, size).
    """
    left, top = max(col, 0), max(row, 0)
    right, bottom = min(col + size_px, raster.width), min(row + size_px, raster.height)
    if left >= right or top >= bottom:
        whole = size_px, size_px
        return np.zeros((3, *whole), np.uint8), np.zeros(whole, np.bool_)
    window = Window(left, top, right - left, bottom - top)
    valid = raster.read_masks(1, window=window) > 0
    rgb = raster.read((1, 2, 3), window=window)
    if valid.shape != (size_px, size_px):
        around = (top - row, row + size_px - bottom), (left - col, col + size_px - right)
        valid, rgb = np.pad(valid, around), np.pad(rgb, ((0, 0), *around))
    if not valid.all():
        rgb[:, ~valid] = 0
    return rgb, valid


def to_px[T: (float, NDArray[np.float64])](
    raster: rasterio.DatasetReader, east: T, north: T
) -> tuple[T, T]:
    """Position of a point [m] in a north-up raster [px from its top left corner]."""
    place = raster.transform
    return (east - place.c) / place.a, (north - place.f) / place.e


def locate(photos: pd.DataFrame, raster: rasterio.DatasetReader, epsg: int) -> pd.DataFrame:
    """Add where photos lie in a raster, in an order in which neighbours share decoded blocks.

    Args:
        photos: ``id``, ``lon``, ``lat`` (EPSG:4326) [degrees].
        raster: in the UTM zone.
        epsg: code of the UTM zone.

    Returns:
        The photos with ``easting``, ``northing`` [m] and ``x``, ``y`` [px].
    """
    lon, lat = photos["lon"].to_numpy(float), photos["lat"].to_numpy(float)
    east, north = transform("EPSG:4326", f"EPSG:{epsg}", lon, lat)[:2]
    x, y = to_px(raster, np.asarray(east), np.asarray(north))
    out = photos.assign(easting=east, northing=north, x=x, y=y, a=y // SWATH_PX, b=x // SWATH_PX)
    return out.sort_values(["a", "b", "y", "x", "id"])


def top_strip(
    strips: Sequence[tuple[str, rasterio.DatasetReader]], east: float, north: float
) -> str:
    """Name of the first strip with imagery at a point of its CRS [m] where the mosaic has some."""
    for name, raster in strips[:-1]:
        x, y = to_px(raster, east, north)
        col, row = math.floor(x), math.floor(y)
        inside = 0 <= col < raster.width and 0 <= row < raster.height
        if inside and raster.read_masks(1, window=Window(col, row, 1, 1))[0, 0]:
            return name
    # What no strip above it shows is the last one's; its mask need not be read.
    return strips[-1][0]


@dataclass(frozen=True)
class Square:
    """The imagery around a photo.

    Attributes:
        jpeg: the chip; empty if nothing of it has imagery.
        valid: where there is imagery, (size, size).
    """

    jpeg: bytes
    valid: NDArray[np.bool_]


def square(raster: rasterio.DatasetReader, col: int, row: int, config: Chips) -> Square:
    """Read and encode a square whose top left pixel is given."""
    rgb, valid = read_square(raster, col, row, config.size_px)
    if not valid.any():
        return Square(b"", valid)
    out = io.BytesIO()
    # Merging is several times faster than interleaving the bands in numpy.
    picture = Image.merge("RGB", [Image.fromarray(band) for band in rgb])
    picture.save(out, "JPEG", quality=config.jpeg_quality, subsampling=config.subsampling)
    return Square(out.getvalue(), valid)


def cut(
    photos: pd.DataFrame,
    mosaic: rasterio.DatasetReader,
    strips: Sequence[tuple[str, rasterio.DatasetReader]],
    epsg: int,
    config: Chips,
    folder: Path,
) -> pd.DataFrame:
    """Write ``{id}.jpg`` of each photo whose square holds any imagery.

    Args:
        photos: ``id``, ``lon``, ``lat`` [degrees].
        mosaic: RGB with a mask, in the UTM zone.
        strips: name and raster of each strip, the topmost first.
        epsg: code of the UTM zone.
        config: size and JPEG settings.
        folder: where the chips go.

    Returns:
        Table ``chips``; ``chip_path`` is the bare file name.
    """
    where = locate(photos, mosaic, epsg)
    columns = [where[key].tolist() for key in ("id", "easting", "northing", "x", "y")]
    rows, last, found = [], None, Square(b"", np.zeros((1, 1), np.bool_))
    places = stage.progress(zip(*columns, strict=True), "chips", len(where))
    for photo_id, east, north, x, y in places:
        at = first_pixel(x, config.size_px), first_pixel(y, config.size_px)
        # Photos of one geotag follow each other and share their square.
        if at != last:
            last, found = at, square(mosaic, *at, config)
        name = f"{photo_id}.jpg" if found.jpeg else None
        if name:
            (folder / name).write_bytes(found.jpeg)
        here = found.valid[math.floor(y) - at[1], math.floor(x) - at[0]]
        rows.append(
            {
                "id": photo_id,
                "chip_path": name,
                "easting": east,
                "northing": north,
                "epsg": epsg,
                "blank_fraction": 1 - np.count_nonzero(found.valid) / found.valid.size,
                "strip": top_strip(strips, east, north) if here else "",
            }
        )
    return tables.frame("chips", rows)


def run(
    spec: dict[str, Any],
    wanted: pd.DataFrame,
    mosaic: Path,
    tifs: Sequence[Path],
    chips: Path,
    table: Path,
) -> None:
    """Write a shard's chips and their table.

    Args:
        spec: the keys of READS.
        wanted: ``id``, ``lon``, ``lat`` of the photos that get a chip.
        mosaic: the AOI's raster.
        tifs: its strips, in config order.
        chips: folder of the chips, replaced as a whole.
        table: one row a wanted photo.

    Raises:
        UserError: the imagery is not readable.
    """
    config = Chips.model_validate(spec["chips"])
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), stage.atomic_dir(chips) as folder:
        try:
            by_name = dict(zip(spec["strip_names"], tifs, strict=True))
            with rasterio.open(mosaic) as raster:
                order = raster.tags(ns="witw").get("STRIPS", ",".join(by_name)).split(",")
                strips = [(name, rasterio.open(by_name[name])) for name in order]
                rows = cut(wanted, raster, strips, spec["utm_epsg"], config, folder)
        except (rasterio.errors.RasterioError, UnicodeDecodeError) as error:
            text = " ".join(str(error.__cause__ or error).split()).rstrip(".")
            names = ", ".join(map(str, [mosaic, *tifs]))
            raise UserError(
                f"AOI {spec['aoi']!r}: not all of {names} are readable ({text}); delete the one it "
                "names, or all of them, and run again."
            ) from None
    rows["chip_path"] = f"{chips}/" + rows["chip_path"]
    tables.write(table, "chips", rows)
    log.info("%d chips of %d photos", rows["chip_path"].notna().sum(), len(rows))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
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
    run(args.spec, photos, args.mosaic, args.tifs, args.chips, args.table)


if __name__ == "__main__":
    stage.execute(main)
