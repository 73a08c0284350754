"""Write a strip as 8-bit RGB and alpha: a VRT holding the exact conversion table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from witw import files, stage
from witw.errors import UserError
from witw.imagery.stretch import steps
from witw.imagery.strip import source
from witw.imagery.strip.vrt import describe

VERSION = 1
READS = ("strip",)


def lut(low: float, high: float, *, whole: bool) -> str:
    """The conversion as GDAL's ``LUT`` text.

    GDAL draws straight lines between the entries, so each step of the table is two: the last
    value before it and the first after it.

    Args:
        low: becomes 0.
        high: becomes 255.
        whole: the data type has whole numbers only.
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
    return ",".join(f"{int(v) if whole else repr(v)}:{k}" for v, k in entries.items())


def run(spec: dict[str, Any], stretch: Path, vrt: Path) -> None:
    """Write the strip's 8-bit VRT.

    Raises:
        UserError: the strip cannot be read.
    """
    source.configure()
    raster = source.load(spec["aoi"], spec["strip"])
    limits = files.read_json(stretch)
    kept = raster.dtype == "Byte" and limits.get("eight_bit", "keep") == "keep"
    tables = None
    if not kept:
        whole = not raster.dtype.startswith("Float")
        try:
            tables = [
                lut(low, high, whole=whole)
                for low, high in zip(limits["low"], limits["high"], strict=True)
            ]
        except (KeyError, TypeError, ValueError):
            raise UserError(f"{stretch} holds no stretch; delete it and run again.") from None
    files.write_text(vrt, files.seal_xml(describe(raster, "Byte", tables, vrt.parent)))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = stage.arguments("rgb8", __doc__, inputs=["stretch"], outputs=["vrt"], argv=argv)
    run(args.spec, args.stretch, args.vrt)


if __name__ == "__main__":
    stage.execute(main)
