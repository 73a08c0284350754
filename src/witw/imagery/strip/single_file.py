"""Strips readable without a VRT: one file of 8 or 16 bit integers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from witw.imagery.strip.vrt import Raster

Pixels = NDArray[np.uint8]
VALUES = 65_536
NEVER = -1


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
