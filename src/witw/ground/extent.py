"""Find the extent of an area without a box, from its imagery.

The strips are opened in a separate process, as in :mod:`witw.preflight`, and only if no box is
given. The result is cached until a file changes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from witw.errors import UserError

DIGITS = 7  # decimals of a degree: a centimetre


def of_imagery(aoi: str, body: Mapping[str, Any], source: str) -> list[float] | None:
    """Return the box around an area's strips; None if it has no local files.

    Args:
        aoi: Name of the area.
        body: Its keys as in the YAML file, with defaults merged in.
        source: Name of the config file.

    Raises:
        UserError: A strip cannot be read.
    """
    strips = body.get("strips")
    if not isinstance(strips, Sequence) or isinstance(strips, str):
        return None
    specs: list[dict[str, Any]] = []
    paths: list[str] = []
    for number, strip in enumerate(strips):
        given = {"path": strip} if isinstance(strip, str) else strip
        path = given.get("path") if isinstance(given, Mapping) else None
        # Remote imagery would be queried at the start of every job.
        if not isinstance(path, str) or "://" in path or path.startswith("/vsi"):
            return None
        path = os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111
        if "*" not in path and not Path(path).is_file():
            return None
        paths.append(path)
        told: dict[str, Any] = {"name": str(number), "path": path}
        bands = given.get("bands") or body.get("bands") or [5, 3, 2]
        is_grey = isinstance(bands, list) and len(bands) == 1
        told["bands"] = bands * 3 if is_grey else bands
        told["nodata"] = given.get("nodata", body.get("nodata", "auto"))
        specs.append({"stage": "stats", "aoi": aoi, "strip": told})
    states = tuple(_state(path) for path in paths)
    return list(_looked(json.dumps(specs), states, f"{source}: ")) if specs else None


def _state(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


@cache
def _looked(specs: str, _states: tuple[tuple[int, int], ...], begin: str) -> tuple[float, ...]:
    done = subprocess.run(
        [sys.executable, "-m", "witw.imagery.strip.look"],
        input=specs,
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line[6:] for line in done.stderr.splitlines() if line.startswith("witw: ")]
    if done.returncode or told:
        why = told[0] if told else f"the process that reads them ended with code {done.returncode}."
        raise UserError(
            f"{begin}there is no `bbox_deg`, and the imagery does not determine it: {why}"
        )
    boxes = [json.loads(line)["box_deg"] for line in done.stdout.splitlines()]
    west, south, east, north = (
        pick(column)
        for pick, column in zip((min, min, max, max), zip(*boxes, strict=True), strict=True)
    )
    return tuple(round(edge, DIGITS) for edge in (west, south, east, north))
