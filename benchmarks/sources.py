"""Read large tables of photos: ``python -m benchmarks.sources yfcc100m`` or ``table``.

The benchmark writes ``--rows`` synthetic rows to a temporary file and lists them for an area in a
separate process. It prints rows, seconds, rows per second of wall and of CPU time, and the peak
memory. For YFCC100M, pyarrow's reader alone is timed on the same file too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

BOX = (10.0, 59.0, 11.0, 60.0)
INSIDE = 0.05  # share of a table's rows inside the area
BLOCK = 100_000  # distinct rows; a file repeats them with other ids
WORLD = 0.0005  # share of YFCC100M's rows in the area: 50,000 of 99 million are a large city

_CHILD = """
import json, resource, sys, time
from witw.sources import table, yfcc100m
from witw.sources.base import Place
kind, path, box = json.loads(sys.argv[1])
source = {"kind": kind, "name": kind, "path": path, "license": "", "owner": "", "root": ""}
spec = {"search": {"licenses": list(range(1, 17))}}
spec["flickr"] = {"photo_hosts": ["live.staticflickr.com"]}
began = time.monotonic()
if kind == "reader":
    import pyarrow.csv as csv
    columns = csv.ReadOptions(block_size=8 << 20, column_names=list(yfcc100m.LATER))
    parse = csv.ParseOptions(delimiter="\t", quote_char=False)
    some = csv.ConvertOptions(include_columns=list(yfcc100m.USED))
    rows = kept = sum(batch.num_rows for batch in csv.open_csv(path, columns, parse, some))
else:
    listed = table.listed if kind == "table" else yfcc100m.listed
    found = listed(source | {"columns": {}}, Place("oslo", tuple(box), spec))
    rows, kept = found.read, len(found.rows)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([rows, kept, time.monotonic() - began, time.process_time(), peak]))
"""


def positions(count: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return longitudes and latitudes, a share of them inside the area."""
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, count), rng.uniform(-80, -10, count)
    where = rng.choice(count, max(1, round(count * share)), replace=False)
    lon[where] = rng.uniform(BOX[0], BOX[2], len(where))
    lat[where] = rng.uniform(BOX[1], BOX[3], len(where))
    return lon, lat


def write_table(path: Path, rows: int) -> None:
    """Write a CSV file of photos with addresses."""
    lon, lat = positions(rows, INSIDE)
    urls = [f"https://photos.example/{n // 1000}/{n}_photo.jpg" for n in range(rows)]
    data = pd.DataFrame({"id": np.arange(rows), "lat": lat, "lon": lon, "url": urls})
    data["title"], data["license"] = "A photo of a street with a long title", "CC BY-SA 4.0"
    data.to_csv(path, index=False)


def write_yfcc100m(path: Path, rows: int) -> None:
    """Write the table of 25 columns; as in the real one, half of the rows have no position."""
    lon, lat = positions(BLOCK, WORLD)
    placed = np.random.default_rng(1).random(BLOCK) < 0.5
    placed |= (lon >= BOX[0]) & (lon <= BOX[2]) & (lat >= BOX[1])
    words = "a+few+words+about+the+photo%2C+as+people+write+them+"
    lines = [
        "\t{n}{k:05d}\t0123456789abcdef0123456789abcdef\t39019111@N00\tnickname\t"
        "2007-05-06 07:08:09.0\t1178435289\tCanon+PowerShot\tA+title+of+a+photo\t"
        + words * (k % 6)
        + "\tone,two,three,four\t\t"
        + (f"{x:.6f}\t{y:.6f}\t16" if there else "\t\t")
        + "\thttp://www.flickr.com/photos/39019111@N00/{n}{k:05d}/"
        "\thttp://farm5.staticflickr.com/4062/{n}{k:05d}_ab12cd34ef.jpg\tAttribution License"
        "\thttp://creativecommons.org/licenses/by/2.0/\t4062\t5\tab12cd34ef\t12ab34cd56\tjpg\t0\n"
        for k, (x, y, there) in enumerate(zip(lon, lat, placed, strict=True))
    ]
    block = "".join(line.replace("{k:05d}", f"{k:05d}") for k, line in enumerate(lines))
    with path.open("w", encoding="utf-8") as file:
        for n in range(max(1, rows // BLOCK)):
            file.write(block.replace("{n}", str(n + 1)))


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "table": write_table,
    "yfcc100m": write_yfcc100m,
}


def measured(kind: str, path: Path) -> str:
    """Measure one reading in a separate process."""
    told = json.dumps([kind, str(path), BOX])
    command = [sys.executable, "-c", _CHILD, told]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows, kept, seconds, cpu, peak = json.loads(done.stdout)
    return (
        f"{kind}: {rows:,} rows, {kept:,} kept, {seconds:.1f} s, {rows / seconds:,.0f} rows/s, "
        f"{path.stat().st_size / seconds / 1e6:,.0f} MB/s; {rows / cpu:,.0f} rows a second of CPU; "
        f"peak {peak / 1e6:,.0f} MB"
    )


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=WRITERS)
    parser.add_argument("--rows", type=int, default=1_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("t.csv" if args.kind == "table" else "yfcc100m_dataset")
        WRITERS[args.kind](path, args.rows)
        print(measured(args.kind, path))
        if args.kind == "yfcc100m":
            print(measured("reader", path))


if __name__ == "__main__":
    main()
