"""Background of the report's maps: the area's imagery, its strips, the boxes of its search."""

from __future__ import annotations

import io
import logging
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
from PIL import Image
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.transform import from_bounds, xy
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform

log = logging.getLogger(__name__)

PAPER = 248  # grey level of the map without imagery
STRENGTH = 0.6  # opacity of the imagery, to make dots and lines stand out
MOST_BOXES = 3000  # maximum number of drawn boxes: a fifth of a megabyte


def picture(mosaic: Path, bbox_deg: Sequence[float], width: int, height: int) -> bytes | None:
    """Return the imagery of an area as a small JPEG in longitude and latitude.

    Args:
        mosaic: VRT of the area's strips in UTM.
        bbox_deg: west, south, east, north of the picture.
        width: width of the picture [px].
        height: height of the picture [px].

    Returns:
        The JPEG; None if the imagery is not readable, which must not prevent the report.
    """
    target = from_bounds(*bbox_deg, width, height)
    shape = {"crs": "EPSG:4326", "transform": target, "width": width, "height": height}
    try:
        with (
            rasterio.open(mosaic) as source,
            WarpedVRT(source, resampling=Resampling.average, add_alpha=True, **shape) as warped,
        ):
            bands = warped.read()
    except RasterioError as error:
        log.warning("%s is not shown: %s", mosaic, error)
        return None
    alpha = bands[3:4].astype(np.float32) / 255
    ink = alpha * STRENGTH
    paper = ink * bands[:3] + (1 - ink) * PAPER
    out = io.BytesIO()
    pixels = np.ascontiguousarray(paper.round().astype(np.uint8).transpose(1, 2, 0))
    Image.fromarray(pixels).save(out, "JPEG", quality=72)
    return out.getvalue()


def footprints(mosaic: Path) -> dict[str, list[tuple[float, float]]]:
    """Return the corners (longitude, latitude) of each strip of a mosaic, by the strip's name."""
    try:
        root = ET.parse(mosaic).getroot()  # noqa: S314 - written by this run, and sealed
        with rasterio.open(mosaic) as source:
            crs, grid = source.crs, source.transform
    except (OSError, ET.ParseError, RasterioError) as error:
        log.warning("strips of %s are not shown: %s", mosaic, error)
        return {}
    found = {}
    for part in root.iterfind("VRTRasterBand[@band='1']/*"):
        name, box = part.find("SourceFilename"), part.find("DstRect")
        if name is None or name.text is None or box is None:
            continue
        x, y, wide, high = (float(box.get(k, "0")) for k in ("xOff", "yOff", "xSize", "ySize"))
        columns, rows = (x, x + wide, x + wide, x), (y, y, y + high, y + high)
        eastings, northings = xy(grid, rows, columns, offset="ul")
        lons, lats = transform(crs, "EPSG:4326", eastings, northings)
        strip = Path(name.text).name.removesuffix(".utm.tif")
        found[strip] = list(zip(lons, lats, strict=True))
    return found


def boxes(cells: pd.DataFrame) -> list[tuple[float, float, float, float]]:
    """Return west, south, east, north of the boxes that a search read, at most the largest ones."""
    leaves = cells[cells["is_leaf"].fillna(False)]
    sides = leaves[["west", "south", "east", "north"]].dropna().to_numpy(dtype=float)
    order = np.argsort(-(sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1]), kind="stable")
    return [(float(w), float(s), float(e), float(n)) for w, s, e, n in sides[order[:MOST_BOXES]]]
