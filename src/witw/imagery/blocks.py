"""Read a strip block by block, each of its blocks once, from several threads.

rasterio reads here, not GDAL's own binding: its library decodes DEFLATE by libdeflate, twice as
fast. Nothing is resampled, so both see the same numbers.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio
from numpy.typing import NDArray
from osgeo import gdal
from rasterio.windows import Window

from witw.imagery import decoded
from witw.imagery.jit import njit
from witw.imagery.vrt import Raster
from witw.paths import file_state

Pixels = NDArray[np.uint8]
# What GDAL keeps of decoded blocks: whole rows of a file in strips, neighbours of a tile set.
CACHE_BYTES = 96 << 20
UNIT_PX = 512
VALUES = 65_536
NEVER = -1
OPTIONS = (
    "AWS_NO_SIGN_REQUEST", "AWS_REGION", "AWS_S3_ENDPOINT", "AWS_HTTPS", "AWS_VIRTUAL_HOSTING",
    "GDAL_HTTP_MAX_RETRY", "GDAL_HTTP_RETRY_DELAY", "GDAL_HTTP_CONNECTTIMEOUT",
    "GDAL_HTTP_LOW_SPEED_LIMIT", "GDAL_HTTP_LOW_SPEED_TIME", "GDAL_DISABLE_READDIR_ON_OPEN",
)  # fmt: skip


@dataclass(frozen=True)
class Plain:
    """A strip that is one file of whole numbers of 8 or 16 bits, blank by value or never.

    Attributes:
        file: GDAL's name of it.
        bands: for red, green, blue, counted from 1.
        blank: a pixel is blank where all three bands hold these, as unsigned; NEVER: no such value.
        tables: (3, 65536) from a value, as unsigned, to 8 bit.
        signed: the values are.
    """

    file: str
    bands: tuple[int, int, int]
    blank: tuple[int, int, int]
    signed: bool
    tables: Pixels | None = None


WHOLE = {"Byte": (0, 255), "UInt16": (0, 65_535), "Int16": (-32_768, 32_767)}


def plain(raster: Raster) -> Plain | None:
    """The strip as :class:`Plain`, if it is so plain."""
    part = raster.parts[0]
    if len(raster.parts) > 1 or part.masked or part.dtype not in WHOLE:
        return None
    valid = dict(part.valid)
    return _plain(part.file, part.dtype, raster.bands, valid)


def _plain(
    file: str, dtype: str, bands: tuple[int, ...], valid: dict[str, float | None]
) -> Plain | None:
    low, high = WHOLE[dtype]
    blanks: list[int] = []
    for number in bands:
        value = valid.get(str(number)) if None not in valid.values() else None
        there = value is not None and value // 1 == value and low <= value <= high
        blanks.append(int(value) & (VALUES - 1) if there and value is not None else NEVER)
    if any(number not in {str(b) for b in bands} for number in valid):
        return None
    return Plain(file, (bands[0], bands[1], bands[2]), (blanks[0], blanks[1], blanks[2]), low < 0)


def plain_of(vrt: Path) -> Plain | None:
    """What a strip's 8-bit VRT shows as :class:`Plain` with its tables, if it is so plain."""
    bands = ElementTree.fromstring(vrt.read_text(encoding="utf-8")).findall("VRTRasterBand")  # noqa: S314
    if len(bands) != 4 or any(len(_sources(band)) != 1 for band in bands[:3]):
        return None
    colours = [_sources(band)[0] for band in bands[:3]]
    every = colours + _sources(bands[3])
    if len({_file(source, vrt) for source in every}) > 1 or not _sources(bands[3]):
        return None
    first = colours[0]
    dtype = _at(first, "SourceProperties").get("DataType", "")
    special = any(s.find(tag) is not None for s in colours for tag in ("UseMaskBand", "NODATA"))
    if (
        special
        or dtype not in WHOLE
        or _at(first, "SrcRect").attrib != _at(first, "DstRect").attrib
    ):
        return None
    numbers = [_text(s, "SourceBand") for s in every]
    if not all(number.isdigit() for number in numbers):
        return None
    valid: dict[str, float | None] = {}
    for source in _sources(bands[3]):
        blank = source.findtext("NODATA")
        valid[_text(source, "SourceBand")] = None if blank is None else float(blank)
    if None in valid.values():
        valid = {}
    found = _plain(_file(first, vrt), dtype, tuple(map(int, numbers[:3])), valid)
    tables = [_table(s.findtext("LUT"), dtype) for s in colours]
    if found is None or any(t is None for t in tables):
        return None
    return Plain(
        found.file,
        found.bands,
        found.blank,
        found.signed,
        np.stack([t for t in tables if t is not None]),
    )


def _sources(band: ElementTree.Element) -> list[ElementTree.Element]:
    return [node for node in band if node.find("SourceFilename") is not None]


def _at(node: ElementTree.Element, tag: str) -> ElementTree.Element:
    found = node.find(tag)
    return ElementTree.Element(tag) if found is None else found


def _text(node: ElementTree.Element, tag: str) -> str:
    return node.findtext(tag) or ""


def _file(source: ElementTree.Element, vrt: Path) -> str:
    name = _text(source, "SourceFilename")
    relative = _at(source, "SourceFilename").get("relativeToVRT") == "1"
    return str(vrt.parent / name) if relative else name


def _table(lut: str | None, dtype: str) -> Pixels | None:
    """A value, as unsigned, to 8 bit; as GDAL draws straight lines between the entries."""
    low, high = WHOLE[dtype]
    table = np.zeros(VALUES, np.uint8)
    every = np.arange(low, high + 1)
    if lut is None:
        if dtype != "Byte":
            return None
        table[:256] = every
        return table
    keys, levels = zip(*(map(float, entry.split(":")) for entry in lut.split(",")), strict=True)
    table[every & (VALUES - 1)] = np.rint(np.interp(every, keys, levels)).astype(np.uint8)
    return table


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
    """Count the values of (3, h, w) into (3, 65536) where they are valid; returns how many are."""
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


class Reader:
    """A raster cut into units of whole blocks.

    Attributes:
        size: width and height [px].
        unit: width and height of a unit [px].
    """

    def __init__(self, handles: Sequence[Any], source: Plain | None) -> None:
        self.source = source
        self.kept: decoded.Kept | None = None
        self.handles: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for handle in handles:
            self.handles.put(handle)
        first = handles[0]
        self.size = first.width, first.height
        self.dtype: str = first.dtypes[0]
        height, width = first.block_shapes[0]
        wide = self.size[0] if width >= self.size[0] else _whole(width, UNIT_PX)
        tall = (
            _whole(height, max(1, UNIT_PX * UNIT_PX // wide))
            if wide > UNIT_PX
            else _whole(height, UNIT_PX)
        )
        self.unit = wide, tall

    def window(self, unit: decoded.Unit) -> Window:
        """Where a unit, by column and row, lies."""
        x, y = unit[0] * self.unit[0], unit[1] * self.unit[1]
        return Window(
            x, y, min(self.unit[0], self.size[0] - x), min(self.unit[1], self.size[1] - y)
        )

    def units(self) -> list[decoded.Unit]:
        """All of them, row by row."""
        columns, rows = (-(-a // b) for a, b in zip(self.size, self.unit, strict=True))
        return [(x, y) for y in range(rows) for x in range(columns)]

    def file(self) -> tuple[decoded.Stamp, dict[decoded.Unit, tuple[int, int]], str]:
        """What :mod:`.decoded` must know of a plain strip: stamp, shapes of its units, data type."""
        assert self.source is not None
        places = {unit: self.window(unit) for unit in self.units()}
        shapes = {unit: (place.height, place.width) for unit, place in places.items()}
        stamp = {
            "file": self.source.file,
            "state": file_state(self.source.file),
            "bands": self.source.bands,
            "size": self.size,
            "unit": self.unit,
            "dtype": self.dtype,
        }
        return stamp, shapes, self.dtype

    def _read(self, bands: Sequence[int], unit: decoded.Unit) -> NDArray[Any]:
        handle = self.handles.get()
        try:
            found: NDArray[Any] = handle.read(bands, window=self.window(unit))
            return found
        finally:
            self.handles.put(handle)

    def bands(self, unit: decoded.Unit) -> NDArray[Any]:
        """The three bands of a plain strip as they are, (3, h, w)."""
        assert self.source is not None
        found = self.kept.read(unit) if self.kept else None
        return self._read(self.source.bands, unit) if found is None else found

    def values(self, unit: decoded.Unit) -> NDArray[np.uint16]:
        """Values as unsigned, (3, h, w), of a plain strip."""
        return unsigned(self.bands(unit))

    def rgba(self, unit: decoded.Unit) -> Pixels:
        """8-bit RGB and validity (0 or 1), (h, w, 4); nought where blank."""
        if self.source is not None and self.source.tables is not None:
            data = self.values(unit)
            out = np.empty((*data.shape[1:], 4), np.uint8)
            shown(data, self.source.tables, self.source.blank, out)
            return out
        data = self._read((1, 2, 3, 4), unit)
        data[3] = data[3] > 0
        data[:3] *= data[3]
        return np.ascontiguousarray(data.transpose(1, 2, 0))


def unsigned(data: NDArray[Any]) -> NDArray[np.uint16]:
    """Whole numbers of 8 or 16 bits as unsigned ones of 16."""
    return data.astype(np.uint16) if data.dtype == np.uint8 else data.view(np.uint16)


def _whole(block: int, about: int) -> int:
    return max(block, about // block * block)


@contextmanager
def opened(
    name: str, source: Plain | None, threads: int, kept: Path | None = None
) -> Iterator[Reader]:
    """Open a raster once for each thread.

    Args:
        name: what to open: the strip's file, or the VRT that shows it as RGBA.
        source: how to treat its values; None: it shows RGBA.
        threads: how many units are read at the same time.
        kept: file of :mod:`.decoded`, from which is taken what it holds of this strip.

    Raises:
        rasterio.errors.RasterioIOError: it does not open.
    """
    options = {key: value for key in OPTIONS if (value := gdal.GetConfigOption(key))}
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, **options), ExitStack() as stack:
        handles = [stack.enter_context(rasterio.open(name, sharing=False)) for _ in range(threads)]
        reader = Reader(handles, source)
        if kept and source:
            reader.kept = stack.enter_context(decoded.kept(kept, *reader.file()))
        yield reader
