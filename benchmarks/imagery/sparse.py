"""Measure the reads of a large remote strip for a few photos (`extent: photos`).

    .venv/bin/python -m benchmarks.imagery.sparse

The strip of `imagery.py` (8,000 x 8,000, 8 bands, 624 MiB) lies on a server on 127.0.0.1, and 20
photos are in 3 places. Bytes are counted by the server.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.imagery import scene as scene
from benchmarks.imagery.__main__ import OUT, Case
from witw.config import load
from witw.spec import build

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "imagery"))
from made_photos import write_photos
from servers import ranges

MIB = 1 << 20


def table(root: Path) -> Path:
    """Write table `photos` with 20 photos in 3 places."""
    rng = np.random.default_rng(4)
    where = rng.uniform(0.2, 0.8, (3, 2))[rng.integers(0, 3, 20)] + rng.normal(0, 0.004, (20, 2))
    lon, lat = (np.array([scene.LON, scene.LAT]) + where * [8000, -8000] * scene.STEP_DEG).T
    rows = pd.DataFrame({"id": [str(n) for n in range(20)], "lon": lon, "lat": lat})
    path = root / "photos.parquet"
    write_photos(path, rows)
    return path


def chain(url: str, extent: str, server: Any) -> None:
    """Run the stages up to the UTM raster in separate processes; print what they read."""
    root = OUT / f"sparse_{extent}"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    lon, lat = scene.LON, scene.LAT
    area = {"bbox_deg": [lon - 0.1, lat - 0.1, lon + 0.1, lat + 0.1], "nodata": 0}
    area |= {"strips": [{"path": url, "name": "s"}], "bands": [5, 3, 2], "extent": extent}
    config = load({"aois": {"town": area | {"split": "train"}}})
    stats, stretch, vrt, tif = (
        root / f"s.{n}" for n in ("stats.json", "json", "rgb8.vrt", "utm.tif")
    )
    photos = [str(table(root))] if extent == "photos" else []
    start = time.perf_counter()
    for name, paths, rest in (
        ("stats", {"stats": stats}, []),
        ("stretch", {"stats": stats, "stretch": stretch}, []),
        ("rgb8", {"stretch": stretch, "vrt": vrt}, []),
        ("utm", {"stretch": stretch, "tif": tif}, ["--photos", *photos]),
    ):
        spec = build(config, name, "town", "s" if name != "stretch" else None)
        words = [sys.executable, "-m", f"witw.imagery.{name}", "--threads", "2", "--spec", spec]
        words += [w for key, path in paths.items() for w in (f"--{key}", str(path))]
        subprocess.run([*words, *rest], check=True, capture_output=True)
        print(f"  {extent:7} {name:8} {server.taken()['sent'] / MIB:7.0f} MiB read", flush=True)
    print(
        f"  {extent:7} {time.perf_counter() - start:.1f} s; the UTM raster has "
        f"{tif.stat().st_size / MIB:.0f} MiB; {json.loads(stats.read_text())['valid'] / 1e6:.0f} M "
        "pixels counted"
    )


def main() -> None:
    """Measure both extents."""
    case = Case(8_000, 8_000, 800)
    print(f"the strip has {case.strip.stat().st_size / MIB:.0f} MiB")
    with ranges(case.strip.parent) as server:
        for extent in ("all", "photos"):
            server.taken()
            chain(f"{server.url}/{case.strip.name}", extent, server)


if __name__ == "__main__":
    main()
