"""Read squares of an area's mosaic from the tiles of its strips.

The strips share one grid of whole pixels, so a square is copied and never resampled. Each tile is
decoded and interleaved once and cached while there is room: photos cluster, so many of them use the
same tiles. Reading the mosaic's VRT gives the same pixels but takes several times as long, because
GDAL returns separate bands while a JPEG encoder needs interleaved pixels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from witw.imagery import TILE

Colours = NDArray[np.uint8]
Valid = NDArray[np.bool_]
Cut = tuple[slice, slice]


def to_px[T: (float, NDArray[np.float64])](
    raster: rasterio.DatasetReader, east: T, north: T
) -> tuple[T, T]:
    """Convert a point [m] to a position in a north-up raster [px from its top left corner]."""
    place = raster.transform
    return (east - place.c) / place.a, (north - place.f) / place.e


@dataclass(frozen=True)
class Strip:
    """Raster of a strip.

    Attributes:
        name: Name in the config.
        raster: RGB with a mask, on the mosaic's grid.
        first: Column and row of its first pixel in the mosaic.
    """

    name: str
    raster: rasterio.DatasetReader
    first: tuple[int, int]

    @classmethod
    def of(cls, name: str, raster: rasterio.DatasetReader, mosaic: rasterio.DatasetReader) -> Self:
        """Locate a raster within a mosaic."""
        x, y = to_px(mosaic, raster.transform.c, raster.transform.f)
        return cls(name, raster, (round(x), round(y)))


@dataclass(frozen=True)
class DecodedTile:
    """A decoded tile.

    Attributes:
        colours: RGB, (h, w, 3), black where blank.
        valid: Validity, (h, w); None if all pixels are valid.
    """

    colours: Colours
    valid: Valid | None


class Squares:
    """Reads squares of one size; not thread-safe.

    Args:
        strips: The strips, topmost first.
        size_px: Side of a square [px].
        cache_bytes: Largest size of the cache of decoded tiles.
    """

    def __init__(self, strips: Sequence[Strip], size_px: int, cache_bytes: int) -> None:
        self.strips, self.size_px = strips, size_px
        self.most = max(1, cache_bytes // (3 * TILE * TILE))
        self.tiles: OrderedDict[tuple[int, int, int], DecodedTile] = OrderedDict()
        # One reused array: allocating a new one would cost as much as filling it.
        self.rgb = np.zeros((size_px, size_px, 3), np.uint8)
        self.valid = np.zeros((size_px, size_px), np.bool_)

    def read(self, col: int, row: int) -> tuple[Colours, Valid | None]:
        """Read a square that may extend beyond the mosaic.

        Args:
            col: Its first column in the mosaic.
            row: Its first row.

        Returns:
            RGB, (size, size, 3), black where blank, and validity, (size, size), or None if all
            pixels are valid. Both are overwritten by the next call.

        Raises:
            rasterio.errors.RasterioIOError: A strip cannot be read.
        """
        first = self._under(0, col, row)
        if sum(_area(cut) for cut, _, _ in first) == self.valid.size and all(
            tile.valid is None for _, _, tile in first
        ):
            for here, there, tile in first:
                self.rgb[here] = tile.colours[there]
            return self.rgb, None
        self.rgb[:], self.valid[:] = 0, False
        for here, there, tile in first:
            self.rgb[here] = tile.colours[there]
            self.valid[here] = True if tile.valid is None else tile.valid[there]
        for number in range(1, len(self.strips)):
            # A strip hides the pixels of those below it.
            if self.valid.all():
                break
            for here, there, tile in self._under(number, col, row):
                fresh = ~self.valid[here]
                if tile.valid is not None:
                    fresh &= tile.valid[there]
                np.copyto(self.rgb[here], tile.colours[there], where=fresh[..., None])
                self.valid[here] |= fresh
        return self.rgb, self.valid

    def owner(self, col: int, row: int) -> str:
        """Return the topmost strip with imagery at a pixel of the mosaic; "" if there is none."""
        for number, strip in enumerate(self.strips):
            x, y = col - strip.first[0], row - strip.first[1]
            if 0 <= x < strip.raster.width and 0 <= y < strip.raster.height:
                valid = self._tile(number, x // TILE, y // TILE).valid
                if valid is None or valid[y % TILE, x % TILE]:
                    return strip.name
        return ""

    def _under(self, number: int, col: int, row: int) -> list[tuple[Cut, Cut, DecodedTile]]:
        """Return the tiles of a strip in a square: place in the square, part of the tile, tile."""
        strip, size = self.strips[number], self.size_px
        x, y = col - strip.first[0], row - strip.first[1]
        columns = _pieces(x, size, strip.raster.width)
        return [
            (
                (slice(top, bottom), slice(left, right)),
                (slice(y + top - j * TILE, y + bottom - j * TILE),
                 slice(x + left - i * TILE, x + right - i * TILE)),
                self._tile(number, i, j),
            )
            for j, top, bottom in _pieces(y, size, strip.raster.height)
            for i, left, right in columns
        ]  # fmt: skip

    def _tile(self, number: int, x: int, y: int) -> DecodedTile:
        key = number, x, y
        if key in self.tiles:
            self.tiles.move_to_end(key)
            return self.tiles[key]
        raster = self.strips[number].raster
        wide, high = min(TILE, raster.width - x * TILE), min(TILE, raster.height - y * TILE)
        window = Window(x * TILE, y * TILE, wide, high)
        mask = raster.read_masks(1, window=window) > 0
        bands = raster.read((1, 2, 3), window=window)
        colours = np.empty((high, wide, 3), np.uint8)
        # Copies band by band, because numpy's own interleaving takes four times as long.
        for band in range(3):
            colours[..., band] = bands[band]
        whole = bool(mask.all())
        if not whole:
            colours *= mask[..., None]
        while len(self.tiles) >= self.most:
            self.tiles.popitem(last=False)
        self.tiles[key] = tile = DecodedTile(colours, None if whole else mask)
        return tile


def _pieces(first: int, size: int, length: int) -> list[tuple[int, int, int]]:
    """Split a span of pixels at the tile borders of a strip.

    Args:
        first: Start of the span, relative to the strip [px].
        size: Length of the span [px].
        length: Length of the strip [px].

    Returns:
        Number of each tile, with start and end of its piece relative to the span.
    """
    low, high = max(first, 0), min(first + size, length)
    return [
        (n, max(n * TILE, low) - first, min((n + 1) * TILE, high) - first)
        for n in range(low // TILE, -(-high // TILE))
        if low < high
    ]


def _area(cut: Cut) -> int:
    return int((cut[0].stop - cut[0].start) * (cut[1].stop - cut[1].start))
