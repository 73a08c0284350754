"""Convert a strip's stored numbers to 8 bit: one formula for the kernel, the VRT and the tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witw.imagery.strip.vrt import Raster, Triple

Pixels = NDArray[np.uint8]
# Number of 16-bit values.
VALUES = 65_536
# Data types with a tabulated conversion, with their least and greatest number.
WHOLE = {"Byte": (0, 255), "UInt16": (0, 65_535), "Int16": (-32_768, 32_767)}


def table(values: NDArray[Any], low: float, high: float) -> Pixels:
    """Convert to 8 bit: 0 at ``low``, 255 at ``high``, linear, halves rounded up, clipped.

    For a band with a single value (``low == high``), this value becomes mid-grey, and others become
    0 or 255.
    """
    data = np.asarray(values, np.float64)
    if low == high:
        return (128 + 128 * np.sign(data - low)).clip(0, 255).astype(np.uint8)
    scaled = np.floor((data - low) / (high - low) * 255 + 0.5)
    return scaled.clip(0, 255).astype(np.uint8)


def steps(low: float, high: float) -> NDArray[np.float64]:
    """Return the least double that becomes k or more, for k = 1..255, (255,)."""
    levels = np.arange(1, 256)
    start = low + (levels - 0.5) / 255 * (high - low)
    if low == high:
        return np.where(levels <= 128, low, np.nextafter(low, np.inf))
    # The inverse formula is exact except for rounding, so the last few doubles are searched.
    while (late := table(np.nextafter(start, -np.inf), low, high) >= levels).any():
        start = np.where(late, np.nextafter(start, -np.inf), start)
    while (early := table(start, low, high) < levels).any():
        start = np.where(early, np.nextafter(start, np.inf), start)
    return start


@dataclass(frozen=True)
class EightBit:
    """Conversion of a strip's three bands to 8 bit.

    Attributes:
        dtype: GDAL's name of the stored data type.
        low: Physical value of each band that becomes 0.
        high: Physical value of each band that becomes 255.
        scale: Declared scale of each band: physical value = stored number * scale + offset.
        offset: Declared offset of each band.
    """

    dtype: str
    low: Triple
    high: Triple
    scale: Triple
    offset: Triple

    @classmethod
    def of(cls, raster: Raster, stretch: Mapping[str, Any]) -> EightBit:
        """Return the conversion of a strip according to ``stretch.json``.

        Raises:
            KeyError, TypeError, ValueError: It does not contain a stretch.
        """
        kept = raster.dtype == "Byte" and stretch.get("eight_bit", "keep") == "keep"
        if kept:
            # Stays as displayed: a declared scale changes no colour, and a negative is inverted.
            black, white = (0.0, 255.0) if raster.white is None else (float(raster.white), 0.0)
            return cls("Byte", (black,) * 3, (white,) * 3, (1.0,) * 3, (0.0,) * 3)
        (r0, g0, b0), (r1, g1, b1) = (map(float, stretch[key]) for key in ("low", "high"))
        return cls(raster.dtype, (r0, g0, b0), (r1, g1, b1), raster.scale, raster.offset)

    @property
    def is_identity(self) -> bool:
        """Whether the numbers stay unchanged."""
        kept = self.dtype == "Byte" and self.scale == (1,) * 3 and self.offset == (0,) * 3
        return kept and self.low == (0,) * 3 and self.high == (255,) * 3

    def convert(self, band: int, values: NDArray[Any]) -> Pixels:
        """Convert stored numbers of a band, counted from 0; any shape."""
        physical = np.asarray(values, np.float64)
        if (self.scale[band], self.offset[band]) != (1, 0):
            physical = physical * self.scale[band] + self.offset[band]
        return table(physical, self.low[band], self.high[band])

    def tables(self) -> Pixels | None:
        """The 8-bit value of every 8- or 16-bit number, as unsigned, (3, 65536); else None."""
        if self.dtype not in WHOLE:
            return None
        low, high = WHOLE[self.dtype]
        every = np.arange(low, high + 1)
        out = np.zeros((3, VALUES), np.uint8)
        for band in range(3):
            out[band, every & (VALUES - 1)] = self.convert(band, every)
        return out
