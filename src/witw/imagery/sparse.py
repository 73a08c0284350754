"""Find the parts of a strip that photos' chips need (``extent: photos``), or an area's shape.

`utm` then makes no other tiles of its raster than those that a listed photo's chip touches, so of
the source only the blocks below these are read. Their pixels are those of `extent: all`, byte for
byte. The raster ends at the outermost of them, and its other tiles are blank.

The stretch must not depend on the photos, or one new photo would recolour an area, and must not
cost a read of the whole strip. So `stats` counts an even sample of blocks at full resolution:
overviews would not do, as averaging narrows the histogram. The sample is a golden-ratio lattice
over the strip, and its percentiles are as exact as those of `extent: all`, for its pixels.
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

# So many blocks, of about 512 x 512 pixels, does `stats` count: 17 million pixels.
SAMPLE = 64
GOLDEN = (math.sqrt(5) - 1) / 2
# Pixels on either side of a position that the widest kernel takes, and a few more.
LANCZOS_PX, MARGIN_PX = 3, 4
# A chip's window is rounded to whole pixels from another corner than a strip's tiles.
SPARE_PX = 1

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Need:
    """Squares of ground that must be shown.

    Attributes:
        lon: of their middles, (n,), EPSG:4326 [degrees].
        lat: (n,), EPSG:4326 [degrees].
        size_px: their side [px of the UTM raster].
    """

    lon: Floats
    lat: Floats
    size_px: int

    def tiles(self, grid: TargetGrid) -> Bools:
        """Which tiles of a strip's raster they touch, (rows, columns)."""
        from pyproj import Transformer  # only where not all is read: half a second to import

        to_utm = Transformer.from_crs(4326, grid.epsg, always_xy=True)
        east, north = (np.asarray(v) for v in to_utm.transform(self.lon, self.lat))
        x, y = (east - grid.bounds[0]) / grid.gsd_m, (grid.bounds[3] - north) / grid.gsd_m
        middle = np.stack([x, y], axis=1)
        reach = self.size_px / 2 + SPARE_PX
        return touched(middle - reach, middle + reach, grid.shape)


@dataclass(frozen=True)
class ShapeNeed:
    """The shape of an area, with what the chips of photos on its edge show.

    Attributes:
        ground: where the area lies.
        size_px: side of a chip [px of the UTM raster].
    """

    ground: Ground
    size_px: int

    def tiles(self, grid: TargetGrid) -> Bools:
        """Which tiles of a strip's raster it touches, (rows, columns)."""
        # A chip is a square: its corners lie farther out than half its side.
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
    """What a table ``photos`` needs: every listed one, as it is not known yet which get a chip."""
    # pandas takes half a second to import; most strips are read whole.
    from witw import tables

    table = tables.read(path, "photos")
    return Need(table["lon"].to_numpy(float), table["lat"].to_numpy(float), size_px)


def touched(first: Floats, last: Floats, shape: tuple[int, int]) -> Bools:
    """Which tiles of a raster boxes touch.

    Args:
        first: left and top of each box, (n, 2) [px].
        last: right and bottom, exclusive, (n, 2) [px].
        shape: height and width of the raster [px].

    Returns:
        (rows, columns) of tiles of TILE.
    """
    height, width = shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    low, high = np.maximum(np.floor(first), 0), np.minimum(np.ceil(last), (width, height))
    inside = (low < high).all(axis=1)
    start = (low[inside] // TILE).astype(np.int64)
    end = ((high[inside] - 1) // TILE).astype(np.int64) + 1
    # Plus and minus one at the corners of each box: the sums along both axes fill it.
    marks = np.zeros((rows + 1, columns + 1), np.int64)
    for x, y, sign in ((start, start, 1), (end, start, -1), (start, end, -1), (end, end, 1)):
        np.add.at(marks, (y[:, 1], x[:, 0]), sign)
    return np.asarray(marks.cumsum(axis=0).cumsum(axis=1)[:rows, :columns] > 0)


def cropped(grid: TargetGrid, needed: Bools) -> tuple[TargetGrid, Bools]:
    """Leave out the rows and columns of tiles around all that are needed; one tile stays.

    A Sentinel-2 tile has half a million tiles of 0.3 m, of which an area takes a few thousand.
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
    """Pieces of a strip that the needed tiles are made of, for GDAL's warper.

    Args:
        grid: the target.
        needed: (rows, columns) of tiles.
        unit: width and height of a piece [px].

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
    """What `stats` counts: all, or a sample and, if that is blank, the rest."""
    return sampled(areas, SAMPLE) if sparse else [list(areas)]


def sampled[T: tuple[int, ...]](areas: Sequence[T], count: int) -> list[list[T]]:
    """An even choice of areas, and after it the others.

    Args:
        areas: each begins with x and y; they lie in rows and columns.
        count: about how many are chosen; if there are no more, all are.

    Returns:
        The chosen, then the others, each in their given order.
    """
    if len(areas) <= count:
        return [list(areas)]
    xs, ys = sorted({a[0] for a in areas}), sorted({a[1] for a in areas})
    chosen = {
        (xs[int((k * GOLDEN) % 1 * len(xs))], ys[int((k + 0.5) / count * len(ys))])
        for k in range(count)
    }
    return [[a for a in areas if (a[:2] in chosen) is taken] for taken in (True, False)]
