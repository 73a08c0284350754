"""Find the parts of a strip needed by the photos' chips (``extent: photos``) or an area's shape.

`utm` then writes only the tiles of its raster that a listed photo's chip touches, and reads only
the source blocks below them. The pixels of these tiles are identical to those of `extent: all`. The
raster ends at the outermost of them, and its other tiles are blank.

The stretch must not depend on the photos, because one new photo would then recolour an area. It
must not require reading the whole strip either. `stats` therefore counts an even sample of blocks
at full resolution. Overviews are unsuitable, because averaging narrows the histogram. The sample is
a golden-ratio lattice over the strip, and the percentiles of its pixels are exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from witw.ground.shapes import Ground
from witw.imagery import TILE
from witw.imagery.warp.target_grid import TargetGrid

# Number of blocks, of about 512 x 512 pixels, that `stats` counts: 17 million pixels.
SAMPLE = 64
GOLDEN = (math.sqrt(5) - 1) / 2
# Margin around a position for the widest kernel, with a few pixels to spare.
LANCZOS_PX, MARGIN_PX = 3, 4
# Margin because a chip's window is rounded from another corner than a strip's tiles.
SPARE_PX = 1

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Need:
    """Squares of ground that are needed.

    Attributes:
        lon: Longitudes of their middles, (n,), EPSG:4326 [degrees].
        lat: Latitudes, (n,), EPSG:4326 [degrees].
        size_px: Side of a square [px of the UTM raster].
    """

    lon: Floats
    lat: Floats
    size_px: int

    def tiles(self, grid: TargetGrid) -> Bools:
        """Return which tiles of a strip's raster the squares touch, (rows, columns)."""
        from pyproj import Transformer  # only for partial reads: the import takes half a second

        to_utm = Transformer.from_crs(4326, grid.epsg, always_xy=True)
        east, north = (np.asarray(v) for v in to_utm.transform(self.lon, self.lat))
        x, y = (east - grid.bounds[0]) / grid.gsd_m, (grid.bounds[3] - north) / grid.gsd_m
        middle = np.stack([x, y], axis=1)
        reach = self.size_px / 2 + SPARE_PX
        return touched(middle - reach, middle + reach, grid.shape)


@dataclass(frozen=True)
class ShapeNeed:
    """The shape of an area, widened by the chips of photos on its edge.

    Attributes:
        ground: Extent of the area.
        size_px: Side of a chip [px of the UTM raster].
    """

    ground: Ground
    size_px: int

    def tiles(self, grid: TargetGrid) -> Bools:
        """Return which tiles of a strip's raster the shape touches, (rows, columns)."""
        # A chip is a square, so its corners are farther out than half its side.
        margin_m = (self.size_px / 2 + SPARE_PX) * math.sqrt(2) * grid.gsd_m
        shape = self.ground.projected(grid.epsg, margin_m)
        rows, columns = (-(-size // TILE) for size in grid.shape)
        west, north = grid.bounds[0], grid.bounds[3]
        x = west + np.arange(columns + 1) * TILE * grid.gsd_m
        y = north - np.arange(rows + 1) * TILE * grid.gsd_m
        shapely.prepare(shape)
        tiles = shapely.box(x[:-1], y[1:, None], x[1:], y[:-1, None])
        return np.asarray(shapely.intersects(shape, tiles))


def of_photos(path: Path, size_px: int) -> Need:
    """Return the need of a table ``photos``: all listed photos, as their fate is not known yet."""
    # pandas takes half a second to import, and most strips are read whole.
    from witw import tables

    table = tables.read(path, "photos")
    return Need(table["lon"].to_numpy(float), table["lat"].to_numpy(float), size_px)


def touched(first: Floats, last: Floats, shape: tuple[int, int]) -> Bools:
    """Return which tiles of a raster the boxes touch.

    Args:
        first: Left and top of each box, (n, 2) [px].
        last: Right and bottom, exclusive, (n, 2) [px].
        shape: Height and width of the raster [px].

    Returns:
        (rows, columns) of tiles of TILE.
    """
    height, width = shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    low, high = np.maximum(np.floor(first), 0), np.minimum(np.ceil(last), (width, height))
    inside = (low < high).all(axis=1)
    start = (low[inside] // TILE).astype(np.int64)
    end = ((high[inside] - 1) // TILE).astype(np.int64) + 1
    # Cumulative sums along both axes turn plus and minus one at the corners into filled boxes.
    marks = np.zeros((rows + 1, columns + 1), np.int64)
    for x, y, sign in ((start, start, 1), (end, start, -1), (start, end, -1), (end, end, 1)):
        np.add.at(marks, (y[:, 1], x[:, 0]), sign)
    return np.asarray(marks.cumsum(axis=0).cumsum(axis=1)[:rows, :columns] > 0)


def cropped(grid: TargetGrid, needed: Bools) -> tuple[TargetGrid, Bools]:
    """Crop to the rows and columns of needed tiles; at least one tile remains.

    A Sentinel-2 tile has half a million tiles at 0.3 m, of which an area needs a few thousand.
    """
    rows, columns = np.nonzero(needed)
    if not len(rows):
        rows = columns = np.array([0])
    high, wide = (
        (int(rows.min()), int(rows.max()) + 1),
        (int(columns.min()), int(columns.max()) + 1),
    )
    return grid.cropped(high, wide), needed[slice(*high), slice(*wide)]


def units(grid: TargetGrid, needed: Bools, unit: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the pieces of a strip that contain the needed tiles, for GDAL's warper.

    Args:
        grid: The target grid.
        needed: (rows, columns) of tiles.
        unit: Width and height of a piece [px].

    Returns:
        Column and row of each piece, row by row.
    """
    steps = np.linspace(0, TILE, 5)
    margin = np.ceil(LANCZOS_PX / np.array(grid.scale())) + MARGIN_PX
    found = set()
    for row, column in zip(*np.nonzero(needed), strict=True):
        x, y = grid.source_px(*np.meshgrid(column * TILE + steps, row * TILE + steps))
        first = np.maximum(np.floor([x.min(), y.min()]) - margin, 0) // unit
        last = np.minimum(np.ceil([x.max(), y.max()]) + margin, grid.size)
        end = np.ceil(last / unit)
        found |= {
            (i, j)
            for j in range(int(first[1]), int(end[1]))
            for i in range(int(first[0]), int(end[0]))
        }
    return sorted(found, key=lambda at: at[::-1])


def choices[T: tuple[int, ...]](areas: Sequence[T], sparse: bool) -> list[list[T]]:
    """Return what `stats` counts: everything, or a sample with the rest as a fallback."""
    return sampled(areas, SAMPLE) if sparse else [list(areas)]


def sampled[T: tuple[int, ...]](areas: Sequence[T], count: int) -> list[list[T]]:
    """Choose an even sample of areas.

    Args:
        areas: Each starts with x and y; together they form rows and columns.
        count: Approximate size of the sample; it contains all areas if there are no more.

    Returns:
        The sample, then the other areas, each in their original order.
    """
    if len(areas) <= count:
        return [list(areas)]
    xs, ys = sorted({a[0] for a in areas}), sorted({a[1] for a in areas})
    chosen = {
        (xs[int((k * GOLDEN) % 1 * len(xs))], ys[int((k + 0.5) / count * len(ys))])
        for k in range(count)
    }
    return [[a for a in areas if (a[:2] in chosen) is taken] for taken in (True, False)]
