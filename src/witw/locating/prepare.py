"""Prepare imagery of one's own for the search: the workflow's stages from `stats` to `mosaic`.

``python -m witw.locating.prepare`` runs in a process of its own, as importing osgeo sets PROJ_DATA
for everything that is started or opened afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from osgeo import gdal

from witw import files, spec, stage
from witw.errors import UserError
from witw.geo import utm_epsg
from witw.imagery import mosaic, stats, stretch, utm
from witw.imagery.strip import footprint, source
from witw.settings.stretch import Stretch
from witw.settings.utm import Utm

log = logging.getLogger("witw")

STAGES = ("stats", "stretch", "utm", "mosaic")
STATE, MOSAIC = "imagery.json", "mosaic.vrt"
# Red, green and blue of the eight bands of WorldView-2 and WorldView-3.
WORLDVIEW = (5, 3, 2)
# Finer pixels cost time and show nothing to a network whose pixels are larger; coarser ones than
# the second would blur what it sees.
LEAST_GSD_M, MOST_GSD_M = 0.3, 1.0
_COLOURS = {gdal.GCI_RedBand: 0, gdal.GCI_GreenBand: 1, gdal.GCI_BlueBand: 2}


def versions() -> dict[str, int]:
    """Versions of the stages that prepare imagery."""
    return {name: spec.literals(name)[0] for name in STAGES}


def run(
    imagery: Path, folder: Path, wanted: Mapping[str, Any], name: str, threads: int = 1
) -> dict[str, Any]:
    """Prepare a raster.

    Args:
        imagery: any raster that GDAL opens, in any CRS.
        folder: output, whole or not at all: the mosaic, its strip, and ``imagery.json`` with
            ``wanted`` and ``bbox_deg``.
        wanted: what the folder is made from: ``bands`` (three numbers, or None to take those
            that the file names red, green and blue), ``nodata`` as in the config, and whatever
            tells one state of the file from another.
        name: for people.
        threads: CPU threads.

    Raises:
        UserError: the raster cannot be used.
    """
    source.configure()
    bands = wanted["bands"] or choose_bands(imagery)
    strip = {"name": "imagery", "path": str(imagery), "bands": bands, "nodata": wanted["nodata"]}
    raster = source.load(name, strip)
    box = footprint.box_deg(raster)
    if box is None or not (-80 <= (box[1] + box[3]) / 2 <= 84):
        raise UserError(f"{imagery} cannot be placed on the earth; check its CRS (gdalinfo).")
    epsg = utm_epsg((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    native_m = max(
        side / size for side, size in zip(footprint.sides_m(box), raster.size, strict=True)
    )
    gsd_m = round(min(max(native_m, LEAST_GSD_M), MOST_GSD_M), 2)
    with files.atomic_dir(folder) as part:
        base = {"aoi": name, "strip": strip, "extent": "all"}
        counts, table = part / "imagery.stats.json", part / "stretch.json"
        tif = part / "imagery.utm.tif"
        stats.run(base, counts, threads)
        stretch.run({"aoi": name, "stretch": Stretch().model_dump()}, [counts], table)
        warp = {"utm_epsg": epsg, "utm": Utm(gsd_m=gsd_m).model_dump(), "need_px": None}
        utm.run(base | warp, table, tif, threads)
        told = {"aoi": name, "strip_names": ["imagery"], "mosaic": "order"}
        # From within, so that the VRT names its strip relative to itself: the folder is renamed.
        with contextlib.chdir(part):
            mosaic.run(told, [Path(tif.name)], Path(MOSAIC))
        state = {**wanted, "bbox_deg": list(box), "used_bands": list(bands), "pixel_m": native_m}
        files.write_json(part / STATE, files.seal(state))
    return state


def choose_bands(imagery: Path) -> list[int]:
    """Numbers of the bands that hold red, green and blue.

    Raises:
        UserError: the raster does not open, or does not tell.
    """
    try:
        ds = gdal.Open(str(imagery))
    except RuntimeError as error:
        told = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"Imagery {imagery} cannot be read: {told}.") from None
    found = [ds.GetRasterBand(n + 1).GetColorInterpretation() for n in range(ds.RasterCount)]
    named = {_COLOURS[colour]: n + 1 for n, colour in enumerate(found) if colour in _COLOURS}
    seen = [colour for colour in found if colour != gdal.GCI_AlphaBand]
    if len(named) == 3:
        return [named[0], named[1], named[2]]
    if len(seen) == 1:
        return [1, 1, 1]
    if len(seen) == 3:
        return [1, 2, 3]
    if len(seen) == 8:
        log.info("%s names no colours; taken as of WorldView, bands 5, 3, 2", imagery)
        return list(WORLDVIEW)
    example = "3,2,1" if len(found) > 2 else "1,1,1 for grey"
    raise UserError(
        f"Imagery {imagery} has {len(found)} bands and does not tell which are red, green and "
        f"blue: give --bands, as in --bands {example}."
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--imagery", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--wanted", required=True, help="JSON")
    parser.add_argument("--name", required=True)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    try:
        with files.explained():
            run(args.imagery, args.folder, json.loads(args.wanted), args.name, args.threads)
    except UserError as error:
        print(in_own_words(str(error), args.name))  # noqa: T201 - the caller tells it
        sys.exit(1)


def in_own_words(text: str, name: str) -> str:
    """Reword an error of a stage, which names areas and config keys, for a user who has neither."""
    for old, new in (
        (f"Area {name!r}: strip file ", "Imagery "),
        (f"Area {name!r}: no strip has", f"Imagery {name} does not have"),
        (f"Area {name!r}: ", f"Imagery {name}: "),
        (
            "set `bands` of the area or the strip, as in `bands: [1, 2, 3]`",
            "correct it, as in --bands 1,2,3",
        ),
        ("set `bands: [1]` for the strip", "leave --bands out"),
        ("`bands`", "--bands"),
        ("`nodata`", "--nodata"),
    ):
        text = text.replace(old, new)
    return text


if __name__ == "__main__":
    stage.execute(main)
