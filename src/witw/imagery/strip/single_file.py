"""Strips that are one file of whole numbers of 8 or 16 bits: compiled code reads them directly."""

from __future__ import annotations

from dataclasses import dataclass

from witw.imagery.strip.eight_bit import VALUES, WHOLE
from witw.imagery.strip.vrt import Raster

NEVER = -1


@dataclass(frozen=True)
class Plain:
    """A strip that is one file of whole numbers of 8 or 16 bits, blank by value or never.

    Attributes:
        file: GDAL's name of it.
        bands: for red, green, blue, counted from 1.
        blank: a pixel is blank where all three bands hold these, as unsigned; NEVER: no such value.
        signed: the values are.
    """

    file: str
    bands: tuple[int, int, int]
    blank: tuple[int, int, int]
    signed: bool


def plain(raster: Raster) -> Plain | None:
    """The strip as :class:`Plain`, if it is so plain."""
    part = raster.parts[0]
    if len(raster.parts) > 1 or part.mask or part.usable or part.dtype not in WHOLE:
        return None
    low, high = WHOLE[part.dtype]
    one, two, three = (
        int(value) & (VALUES - 1) if value // 1 == value and low <= value <= high else NEVER
        for value in part.blank or (0.5,) * 3
    )
    return Plain(part.file, raster.bands, (one, two, three), low < 0)
