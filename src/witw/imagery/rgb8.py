"""Write a strip as 8-bit RGB and alpha: a VRT with the exact conversion table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from witw import files, stage
from witw.imagery.strip import source
from witw.imagery.strip.eight_bit import WHOLE, EightBit, steps
from witw.imagery.strip.vrt import describe

VERSION = 2
READS = ("strip",)


def lut(low: float, high: float, *, whole: bool) -> str:
    """Return the conversion as GDAL's ``LUT`` text.

    GDAL interpolates linearly between entries, so each step of the table needs two: the last value
    before it and the first one after it.

    Args:
        low: Value that becomes 0.
        high: Value that becomes 255.
        whole: Whether the data type is an integer type.
    """
    starts = steps(low, high)
    if whole:
        starts = np.ceil(starts)
    entries: dict[float, int] = {}
    level = 0
    for start in np.unique(starts):
        before = start - 1 if whole else np.nextafter(start, -np.inf)
        entries.setdefault(float(before), level)
        level = int(np.searchsorted(starts, start, side="right"))
        entries[float(start)] = level
    return _text(entries, whole)


def lut_of(strip: EightBit, band: int) -> str | None:
    """Return a band's conversion from stored numbers as ``LUT`` text; None if they stay unchanged.

    If a scale is declared and the numbers have no table (32 bits, floats), a number exactly on a
    step may differ by one level.
    """
    low, high = strip.low[band], strip.high[band]
    scale, offset = strip.scale[band], strip.offset[band]
    if strip.is_identity:
        return None
    if scale == 1 and offset == 0 and low <= high:
        return lut(low, high, whole=not strip.dtype.startswith("Float"))
    if strip.dtype in WHOLE:
        every = np.arange(WHOLE[strip.dtype][0], WHOLE[strip.dtype][1] + 1)
        levels = strip.convert(band, every)
        edges = np.flatnonzero(np.diff(levels))
        kept = np.unique([0, *edges, *(edges + 1)])
        return _text({float(every[i]): int(levels[i]) for i in kept}, whole=True)
    ends = (low - offset) / scale, (high - offset) / scale
    text = lut(min(ends), max(ends), whole=False)
    if ends[0] <= ends[1]:
        return text
    pairs = (entry.split(":") for entry in text.split(","))
    return ",".join(f"{key}:{255 - int(level)}" for key, level in pairs)


def _text(entries: dict[float, int], whole: bool) -> str:
    return ",".join(f"{int(v) if whole else repr(v)}:{k}" for v, k in entries.items())


def run(spec: dict[str, Any], stretch: Path, vrt: Path) -> None:
    """Write the strip's 8-bit VRT.

    Raises:
        UserError: The strip cannot be read.
    """
    source.configure()
    raster = source.load(spec["aoi"], spec["strip"])
    strip = source.eight_bit(raster, stretch)
    tables = [lut_of(strip, band) for band in range(3)]
    files.write_text(vrt, files.seal_xml(describe(raster, "Byte", tables, vrt.parent)))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    args = stage.arguments("rgb8", __doc__, inputs=["stretch"], outputs=["vrt"], argv=argv)
    run(args.spec, args.stretch, args.vrt)


if __name__ == "__main__":
    stage.execute(main)
