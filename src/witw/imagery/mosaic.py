"""The strips as one raster: a VRT, the first of the config on top, blank where none has data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from witw import stage
from witw.errors import UserError
from witw.imagery import source
from witw.imagery.vrt import describe_masked

VERSION = 1
READS = ("strip_names",)


def run(spec: dict[str, Any], tifs: Sequence[Path], vrt: Path) -> None:
    """Write the mosaic.

    Args:
        spec: the keys of READS.
        tifs: the strips on one UTM grid, in config order.
        vrt: what is written; names the strips relative to itself.

    Raises:
        UserError: a strip is not readable; says how to make it anew.
    """
    source.configure()
    try:
        raster = source.rgb_raster([str(tif) for tif in tifs])
    except RuntimeError as error:
        text = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"AOI {spec['aoi']!r}: its strips make no mosaic ({text}); "
            "delete the one it names and run again."
        ) from None
    stage.write_text(vrt, describe_masked(raster, folder=vrt.parent))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = stage.arguments(
        "mosaic", __doc__, inputs=["tifs"], outputs=["vrt"], many=["tifs"], argv=argv
    )
    run(args.spec, args.tifs, args.vrt)


if __name__ == "__main__":
    stage.execute(main)
