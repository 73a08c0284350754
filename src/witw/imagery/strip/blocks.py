"""Read a strip block by block from several threads, each block once.

rasterio is used instead of GDAL's own binding because its library decodes DEFLATE with libdeflate,
twice as fast. Nothing is resampled, so both return the same numbers.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from witw.imagery.jit import njit
from witw.imagery.strip import decoded_cache, formats, single_file
from witw.imagery.strip.eight_bit import EightBit
from witw.imagery.strip.layers import Layers
from witw.imagery.strip.single_file import Plain
from witw.imagery.strip.vrt import Raster
from witw.paths import file_state

Pixels = NDArray[np.uint8]
# GDAL's cache of decoded blocks: whole rows of a striped file, neighbours in a tile set.
CACHE_BYTES = 96 << 20
UNIT_PX = 512


@njit
def shown(
    data: NDArray[np.uint16], tables: Pixels, blank: tuple[int, int, int], out: Pixels
) -> None:
    """Apply the tables: (3, h, w) values to RGB and validity (0 or 1), (h, w, 4)."""
    one, two, three = blank
    for r in range(data.shape[1]):
        for c in range(data.shape[2]):
            red, green, blue = data[0, r, c], data[1, r, c], data[2, r, c]
            if red == one and green == two and blue == three:
                out[r, c, 0] = out[r, c, 1] = out[r, c, 2] = out[r, c, 3] = 0
            else:
                out[r, c, 0], out[r, c, 1] = tables[0, red], tables[1, green]
                out[r, c, 2], out[r, c, 3] = tables[2, blue], 1


@njit
def counted(
    data: NDArray[np.uint16], blank: tuple[int, int, int], counts: NDArray[np.int64]
) -> int:
    """Add the valid values of (3, h, w) to counts (3, 65536); return the number of valid pixels."""
    one, two, three = blank
    valid = 0
    for r in range(data.shape[1]):
        for c in range(data.shape[2]):
            red, green, blue = data[0, r, c], data[1, r, c], data[2, r, c]
            if not (red == one and green == two and blue == three):
                counts[0, red] += 1
                counts[1, green] += 1
                counts[2, blue] += 1
                valid += 1
    return valid


@njit
def tabled(data: NDArray[np.uint16], valid: NDArray[np.bool_], tables: Pixels, out: Pixels) -> None:
    """Apply the tables as `shown` does, with known validity: (3, h, w) and (h, w) to (h, w, 4)."""
    for r in range(data.shape[1]):
        for c in range(data.shape[2]):
            for k in range(3):
                out[r, c, k] = tables[k, data[k, r, c]] if valid[r, c] else 0
            out[r, c, 3] = valid[r, c]


@njit
def counted_valid(
    data: NDArray[np.uint16], valid: NDArray[np.bool_], counts: NDArray[np.int64]
) -> int:
    """Count values as `counted` does, with known validity, (h, w)."""
    pixels = 0
    for r in range(data.shape[1]):
        for c in range(data.shape[2]):
            if valid[r, c]:
                for k in range(3):
                    counts[k, data[k, r, c]] += 1
                pixels += 1
    return pixels


class Reader:
    """A strip divided into units of whole blocks.

    Attributes:
        size: Width and height [px].
        unit: Width and height of a unit [px].
        plain: The strip as one plain file; None if it is read in layers.
    """

    def __init__(
        self,
        raster: Raster,
        plain: Plain | None,
        handles: Sequence[Any],
        to_8_bit: EightBit | None,
    ) -> None:
        self.plain, self.to_8_bit = plain, to_8_bit
        self.tables = to_8_bit.tables() if to_8_bit else None
        self.kept: decoded_cache.Kept | None = None
        self.handles: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for handle in handles:
            self.handles.put(handle)
        self.size = raster.size
        self.dtype: str = handles[0].dtypes[0] if plain else handles[0].dtype
        # The blocks of several files do not share a grid.
        width, height = raster.parts[0].block if len(raster.parts) == 1 else (UNIT_PX, UNIT_PX)
        wide = self.size[0] if width >= self.size[0] else _whole(width, UNIT_PX)
        tall = (
            _whole(height, max(1, UNIT_PX * UNIT_PX // wide))
            if wide > UNIT_PX
            else _whole(height, UNIT_PX)
        )
        self.unit = wide, tall

    def window(self, unit: decoded_cache.Unit) -> Window:
        """Return the window of a unit given by column and row."""
        x, y = unit[0] * self.unit[0], unit[1] * self.unit[1]
        return Window(
            x, y, min(self.unit[0], self.size[0] - x), min(self.unit[1], self.size[1] - y)
        )

    def units(self) -> list[decoded_cache.Unit]:
        """Return all units, row by row."""
        columns, rows = (-(-a // b) for a, b in zip(self.size, self.unit, strict=True))
        return [(x, y) for y in range(rows) for x in range(columns)]

    def layout(self) -> decoded_cache.Layout:
        """Return the layout of a plain strip for :mod:`.decoded_cache`."""
        assert self.plain is not None
        places = {unit: self.window(unit) for unit in self.units()}
        shapes = {unit: (place.height, place.width) for unit, place in places.items()}
        name, kind = self.plain.file, file_state(self.plain.file)
        stamp = {
            "file": name if kind is None else str(Path(name).resolve()),
            "state": kind,
            "bands": self.plain.bands,
            "size": self.size,
            "unit": self.unit,
            "dtype": self.dtype,
        }
        return decoded_cache.Layout(stamp, shapes, self.dtype)

    def _read(self, bands: Sequence[int], unit: decoded_cache.Unit) -> NDArray[Any]:
        handle = self.handles.get()
        try:
            found: NDArray[Any] = handle.read(bands, window=self.window(unit))
            return found
        finally:
            self.handles.put(handle)

    def bands(self, unit: decoded_cache.Unit) -> NDArray[Any]:
        """Return the three stored bands of a plain strip, (3, h, w)."""
        assert self.plain is not None
        found = self.kept.read(unit) if self.kept else None
        return self._read(self.plain.bands, unit) if found is None else found

    def layers(self, unit: decoded_cache.Unit) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return stored numbers, (3, h, w), and validity, (h, w), of a strip that is not plain."""
        handle = self.handles.get()
        try:
            found: tuple[NDArray[Any], NDArray[np.bool_]] = handle.read(self.window(unit))
            return found
        finally:
            self.handles.put(handle)

    def rgba(self, unit: decoded_cache.Unit) -> Pixels:
        """Return 8-bit RGB and validity (0 or 1), (h, w, 4); zero where blank."""
        assert self.to_8_bit is not None
        if self.plain and self.tables is not None:
            data = unsigned(self.bands(unit))
            out = np.empty((*data.shape[1:], 4), np.uint8)
            shown(data, self.tables, self.plain.blank, out)
            return out
        data, valid = self.layers(unit)
        out = np.empty((*valid.shape, 4), np.uint8)
        if self.tables is not None:
            tabled(unsigned(data), valid, self.tables, out)
            return out
        out[..., 3] = valid
        for band in range(3):
            # Blank floats are read as 0, so that the formula is defined for them.
            out[..., band] = self.to_8_bit.convert(band, data[band]) * valid
        return out


def unsigned(data: NDArray[Any]) -> NDArray[np.uint16]:
    """Return integers of 8 or 16 bits as unsigned 16-bit integers."""
    return data.astype(np.uint16) if data.dtype == np.uint8 else data.view(np.uint16)


def _whole(block: int, about: int) -> int:
    return max(block, about // block * block)


@contextmanager
def opened(
    raster: Raster, threads: int, to_8_bit: EightBit | None = None, kept: Path | None = None
) -> Iterator[Reader]:
    """Open a strip once per thread.

    Args:
        raster: The strip.
        threads: Number of units read in parallel.
        to_8_bit: Conversion to 8 bit, for `rgba`.
        kept: File of :mod:`.decoded_cache` from which available units are taken.

    Raises:
        rasterio.errors.RasterioIOError: The strip cannot be opened.
    """
    options = formats.options()
    plain = single_file.plain(raster)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, **options), ExitStack() as stack:
        handles = [
            rasterio.open(plain.file, sharing=False) if plain else Layers(raster)
            for _ in range(threads)
        ]
        for handle in handles:
            stack.callback(handle.close)
        reader = Reader(raster, plain, handles, to_8_bit)
        if kept and plain and kept.is_file():
            reader.kept = stack.enter_context(decoded_cache.kept(kept, reader.layout()))
        yield reader
