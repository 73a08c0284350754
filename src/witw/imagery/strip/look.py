"""Check strips before a run: the location of each, and what is wrong with it.

`python -m witw.imagery.strip.look` reads a JSON list of `stats` specs from stdin, each with
`sources` if a strip has alternative locations. It checks all of them in parallel and writes a line
of JSON for each to stdout. It exits with 0, or with 1 and a `witw:` line on stderr for each
unusable strip.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from osgeo import gdal
from shapely.geometry import box as rectangle

from witw.errors import UserError
from witw.ground import shapes
from witw.imagery.strip import declared, remote, source
from witw.imagery.strip.footprint import MOST_SIDE_PX, Box, box_deg, near, sides_m, too_large
from witw.imagery.strip.vrt import Raster
from witw.paths import is_remote

# Strips checked in parallel, each with several files.
STRIPS_AT_ONCE = 32
# A user is waiting, so an unreachable server is reported within a minute.
OPTIONS = {
    "GDAL_HTTP_MAX_RETRY": "2",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
}


def check(spec: Mapping[str, Any]) -> Raster:
    """Check before any work that a strip opens and shows a part of its area.

    Args:
        spec: Spec of `stats`. Given `bbox_deg`, `shape` and `chip_m`, the position is checked too;
            given `gsd_m` and `extent`, also the size.

    Raises:
        UserError: The strip is unusable; the message names area and path.
    """
    raster = source.load(spec["aoi"], spec["strip"])
    if "bbox_deg" not in spec:
        return raster
    where = f"Area {spec['aoi']!r}: strip file {remote.shown(spec['strip']['path'])}"
    found, box = box_deg(raster), spec["bbox_deg"]
    if found is None:
        raise UserError(
            f"{where} cannot be georeferenced: PROJ finds no longitude and latitude for its "
            "corners; check its CRS and geotransform (gdalinfo)."
        )
    if not near(found, box, spec["chip_m"] / 2):
        swapped = [box[1], box[0], box[3], box[2]]
        advice = "take it out of `strips` or correct the box."
        if near(found, swapped, spec["chip_m"] / 2):
            advice = f"latitude and longitude seem swapped: write `bbox_deg: {swapped}`."
        raise UserError(
            f"{where} lies outside the area: it covers {', '.join(f'{v:.4f}' for v in found)} "
            f"(west, south, east, north), `bbox_deg` is {list(box)}; {advice}"
        )
    if spec.get("shape") and not _meets(found, shapes.ground(spec), spec["chip_m"] / 2):
        raise UserError(
            f"{where} lies outside the area: it covers {', '.join(f'{v:.4f}' for v in found)} "
            "(west, south, east, north), outside the shape in `area`; take it out of `strips` or "
            "correct `area`."
        )
    gsd_m = spec.get("gsd_m")
    if gsd_m and spec.get("extent", "all") == "all":
        width, height = (side / gsd_m for side in sides_m(found))
        if max(width, height) > MOST_SIDE_PX:
            raise UserError(f"{where} is too large: {too_large(width, height, gsd_m)}.")
    return raster


def _meets(box: Box, ground: shapes.Ground, margin_m: float) -> bool:
    """Return whether a box [degrees] is within ``margin_m`` of an area's shape [m]."""
    dy = margin_m / 111_000
    dx = dy / max(0.1, math.cos(math.radians(max(abs(box[1]), abs(box[3])))))
    west, south, east, north = box[0] - dx, box[1] - dy, box[2] + dx, box[3] + dy
    return any(
        bool(ground.polygons.intersects(rectangle(west + turn, south, east + turn, north)))
        for turn in (-360, 0, 360)
    )


def found(spec: Mapping[str, Any]) -> tuple[int, Raster]:
    """Return the first location in which a strip exists, and the strip.

    Args:
        spec: As for :func:`check`, with `sources`: the strip in each location.

    Raises:
        UserError: The strip does not exist or cannot be used; the message names area and paths, and
            lists other files there.
    """
    missing: list[tuple[str, source.MissingError]] = []
    sources = spec.get("sources") or [spec["strip"]]
    for number, strip in enumerate(sources):
        try:
            return number, check({**spec, "strip": strip})
        except source.MissingError as error:
            missing.append((strip["path"], error))
    told = []
    for path, reason in missing:
        instead = remote.holds(path)
        told.append((remote.shown(path), reason.why, f"; {remote.shown(instead)}" * bool(instead)))
    if len(told) == 1:
        raise UserError(f"{str(missing[0][1]).rstrip('.')}{told[0][2]}.")
    places = "; ".join(f"{path}: {why}{instead}" for path, why, instead in told)
    raise UserError(
        f"Area {spec['aoi']!r}: strip {sources[0]['name']} is in none of its {len(told)} "
        f"locations; {places}."
    )


def size(raster: Raster) -> dict[str, int]:
    """Return number of files, bytes and pixels of a strip."""
    with ThreadPoolExecutor(source.OPENED_AT_ONCE) as pool:
        stats = list(pool.map(gdal.VSIStatL, (part.file for part in raster.parts)))
    return {
        "files": len(raster.parts),
        "bytes": sum(found.size for found in stats if found),
        "pixels": raster.size[0] * raster.size[1],
    }


def report(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a check's result: `source`, the location's number, and size; or `told`, the fault.

    `is_unsure` is true if a server did not say whether a strip exists.
    """
    names = {"aoi": spec["aoi"], "strip": spec["strip"]["name"]}
    if "stac" in spec:
        return names | _items(spec)
    try:
        number, raster = found(spec)
    except UserError as error:
        text = str(error)
        told = names | {"told": text, "is_unsure": remote.is_unsure(text)}
        return told | ({"unlocated": True} if declared.UNLOCATED in text else {})
    west, south, east, north = box_deg(raster) or (0.0, 0.0, 0.0, 0.0)
    path = (spec.get("sources") or [spec["strip"]])[number]["path"]
    return names | {
        "source": number,
        "path": path,
        "is_remote": is_remote(path),
        "box_deg": [west, south, east, north],
        **size(raster),
    }


def _items(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `items` of a STAC, or what is wrong with it."""
    # The import takes a second, so only areas with a STAC pay for it.
    from witw.imagery.strip import stac

    try:
        return {"items": stac.found(spec["stac"], spec["bbox_deg"])}
    except RuntimeError as error:
        where = f"Area {spec['aoi']!r}: the STAC {remote.shown(spec['stac']['stac'])}"
        return {"told": f"{where} yields no strips: {error}."}


def looked(specs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return reports of strips, checked in parallel.

    The first check skips side files (masks, world files), because GDAL requests ten of them from a
    bucket in sequence. Strips that fail it are checked again with side files.
    """
    reports: dict[int, dict[str, Any]] = {}
    usual = gdal.GetConfigOption("GDAL_DISABLE_READDIR_ON_OPEN")
    for beside in ("EMPTY_DIR", usual):
        gdal.SetConfigOption("GDAL_DISABLE_READDIR_ON_OPEN", beside)
        todo = [n for n in range(len(specs)) if "unlocated" in reports.get(n, {"unlocated": 1})]
        with ThreadPoolExecutor(STRIPS_AT_ONCE) as pool:
            reports |= dict(zip(todo, pool.map(report, [specs[n] for n in todo]), strict=True))
    return [reports[n] for n in range(len(specs))]


def main() -> None:
    """Check the strips of the specs on stdin and name each unusable one."""
    specs = json.load(sys.stdin)
    try:
        source.configure()
        for name, value in OPTIONS.items():
            if not os.environ.get(name):
                gdal.SetConfigOption(name, value)
        reports = looked(specs)
    except UserError as error:
        reports = [{"told": str(error)}]
    for one in reports:
        print(json.dumps(one))  # noqa: T201
        if "told" in one:
            print(f"witw: {one['told']}", file=sys.stderr)  # noqa: T201
    sys.exit(int(any("told" in one for one in reports)))


if __name__ == "__main__":
    main()
