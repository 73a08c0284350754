"""Combine an area's strips into one VRT, blank where no strip has data.

Where strips overlap, the first one in the config lies on top, or the clearest one (:mod:`.haze`).
Metadata of the VRT (domain ``witw``, ``STRIPS``) lists the strips from the top, for `chips` and for
users.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from osgeo import gdal

from witw import files, stage
from witw.errors import UserError
from witw.imagery import haze
from witw.imagery.strip import source
from witw.imagery.strip.vrt import Raster, describe_masked

VERSION = 2
READS = ("strip_names", "mosaic")

log = logging.getLogger("witw")


def order(ds: gdal.Dataset) -> list[str]:
    """Return the names of a mosaic's strips, topmost first.

    Raises:
        RuntimeError: It is not a mosaic of this stage.
    """
    text = ds.GetMetadataItem("STRIPS", "witw")
    if text is None:
        raise RuntimeError(f"{ds.GetDescription()} does not name its strips")
    return str(text).split(",")


def clearest(raster: Raster) -> list[float]:
    """Return the haze of each part of a mosaic, relative to the other parts on shared ground."""
    width, height = (-(-size // haze.CELL_PX) for size in raster.size)
    maps = []
    for part in stage.progress(raster.parts, "mosaic: clarity"):
        offset = round(part.dst[0]), round(part.dst[1])
        maps.append(haze.cells(gdal.Open(part.file), offset, (height, width)))
    return haze.scores(maps)


def run(spec: dict[str, Any], tifs: Sequence[Path], vrt: Path) -> None:
    """Write the mosaic.

    Args:
        spec: The keys in READS.
        tifs: The strips on one UTM grid, in config order.
        vrt: Output file; it refers to the strips by relative paths.

    Raises:
        UserError: A strip cannot be read; the message says how to rebuild it.
    """
    source.configure()
    names = list(spec["strip_names"])
    try:
        raster = source.rgb_raster([str(tif) for tif in tifs])
        told = {"STRIPS": ",".join(names)}
        if spec["mosaic"] == "best" and len(names) > 1:
            # Parts are ordered from the lowest; names, scores and ranks from the topmost.
            scores = clearest(raster)[::-1]
            ranks = sorted(range(len(names)), key=lambda n: (scores[n], n))
            raster = replace(raster, parts=tuple(raster.parts[::-1][n] for n in ranks[::-1]))
            told["STRIPS"] = ",".join(names[n] for n in ranks)
            told["HAZE"] = ",".join(f"{scores[n]:+.6f}" for n in ranks)
            log.info("from the clearest: %(STRIPS)s; haze against the mean: %(HAZE)s", told)
    except RuntimeError as error:
        text = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"Area {spec['aoi']!r}: its strips cannot be combined ({text}); delete the file named "
            "here and run again."
        ) from None
    files.write_text(vrt, files.seal_xml(describe_masked(raster, folder=vrt.parent, told=told)))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    args = stage.arguments(
        "mosaic", __doc__, inputs=["tifs"], outputs=["vrt"], many=["tifs"], argv=argv
    )
    run(args.spec, args.tifs, args.vrt)


if __name__ == "__main__":
    stage.execute(main)
