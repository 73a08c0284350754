"""Strips in one file of 8- or 16-bit integers, which compiled code reads directly."""

from __future__ import annotations

from dataclasses import dataclass

from witw.imagery.strip.eight_bit import VALUES, WHOLE
from witw.imagery.strip.vrt import Raster

NEVER = -1


@dataclass(frozen=True)
class Plain:
    """A strip in one file of 8- or 16-bit integers, with blank pixels marked by value or absent.

    Attributes:
        file: GDAL's name of the file.
        bands: Bands for red, green and blue, counted from 1.
        blank: A pixel is blank if its three bands hold these numbers, as unsigned; NEVER: none is.
        signed: Whether the values are signed.
    """

    file: str
    bands: tuple[int, int, int]
    blank: tuple[int, int, int]
    signed: bool


def plain(raster: Raster) -> Plain | None:
    """Return the strip as :class:`Plain`; None if it is not of this kind."""
    part = raster.parts[0]
    if len(raster.parts) > 1 or part.mask or part.usable or part.dtype not in WHOLE:
        return None
    low, high = WHOLE[part.dtype]
    one, two, three = (
        int(value) & (VALUES - 1) if value // 1 == value and low <= value <= high else NEVER
        for value in part.blank or (0.5,) * 3
    )
    return Plain(part.file, raster.bands, (one, two, three), low < 0)
