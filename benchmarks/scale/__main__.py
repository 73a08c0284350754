"""Measure planning at scale, and each stage's memory against the number of photos.

    .venv/bin/python -m benchmarks.scale              a dry run of 200 areas x 16 shards, and peers
    .venv/bin/python -m benchmarks.scale --memory     peak memory of the stages at three sizes

The dry run uses the real Snakefile. It has two peers in the same run. One is a bare Snakefile whose
rules have the same shape, names and numbers of inputs but no logic, which gives Snakemake's own
cost; it is run again with a `message:` in each rule, as witw's rules have. The other has a single
rule and the same number of jobs without dependencies.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rasterio
import yaml
from rasterio.transform import from_origin

REPO = Path(__file__).resolve().parents[2]
AREAS, SHARDS, STRIPS = 200, 16, 2
SIDE_DEG = 0.2  # side of an area's box
PARTS = ("tables", "pictures", "imagery")
_MEMORY = "measure memory instead: of all stages, or of these parts"

# The graph of the data stages, without logic.
BARE = """
AREAS = [f"a{{n:03d}}" for n in range({areas})]
SHARDS = [f"{{n:04d}}" for n in range({shards})]
STRIPS = ["s0", "s1"]
rule all:
    input: expand("{{a}}/pairs", a=AREAS)
rule search:
    output: "{{a}}/photos", "{{a}}/cells", "{{a}}/search"
    shell: "touch {{output}}"
rule shards:
    input: "{{a}}/photos"
    output: expand("{{{{a}}}}/ids/{{s}}", s=SHARDS)
    shell: "touch {{output}}"
rule download:
    input: "{{a}}/ids/{{s}}"
    output: "{{a}}/got/{{s}}"
    shell: "touch {{output}}"
rule scenes:
    input: "{{a}}/got/{{s}}"
    output: "{{a}}/scenes/{{s}}"
    shell: "touch {{output}}"
rule stats:
    output: "{{a}}/{{t}}.stats"
    shell: "touch {{output}}"
rule stretch:
    input: expand("{{{{a}}}}/{{t}}.stats", t=STRIPS)
    output: "{{a}}/stretch"
    shell: "touch {{output}}"
rule rgb8:
    input: "{{a}}/stretch"
    output: "{{a}}/{{t}}.rgb8"
    shell: "touch {{output}}"
rule utm:
    input: "{{a}}/stretch"
    output: "{{a}}/{{t}}.utm"
    shell: "touch {{output}}"
rule mosaic:
    input: expand("{{{{a}}}}/{{t}}.utm", t=STRIPS)
    output: "{{a}}/mosaic"
    shell: "touch {{output}}"
rule chips:
    input:
        "{{a}}/ids/{{s}}", "{{a}}/got/{{s}}", "{{a}}/scenes/{{s}}", "{{a}}/mosaic",
        expand("{{{{a}}}}/{{t}}.utm", t=STRIPS),
    output: "{{a}}/chips/{{s}}"
    shell: "touch {{output}}"
rule pairs:
    input:
        "{{a}}/photos",
        expand("{{{{a}}}}/{{k}}/{{s}}", k=["got", "scenes", "chips"], s=SHARDS),
    output: "{{a}}/pairs"
    shell: "touch {{output}}"
"""
MESSAGE = "Making {output} of {wildcards}"  # each of witw's rules has one
SINGLE = """
rule all:
    input: expand("out/{{n}}", n=range({jobs}))
rule one:
    output: "out/{{n}}"
    shell: "touch {{output}}"
"""


def areas(folder: Path, count: int, shards: int) -> None:
    """Write a config with ``count`` areas, their coarse strips, and an empty checkpoint."""
    strips = folder / "strips"
    strips.mkdir()
    (folder / "places.pt").touch()
    aois = {}
    for n in range(count):
        files = [strips / f"a{n:03d}_s{s}.tif" for s in range(STRIPS)]
        west, south = -150 + 10.0 * (n % 25), -60 + 5.0 * (n // 25)
        for file in files:
            _strip(file, west, south)
        aois[f"a{n:03d}"] = {
            "bbox_deg": [west, south, west + SIDE_DEG, south + SIDE_DEG],
            "split": {1: "val", 2: "test"}.get(n % 20, "train"),
            "strips": [str(file.relative_to(folder)) for file in files],
        }
    defaults = {
        "shards": shards,
        "scenes": {"checkpoint": "places.pt"},
        "search": {"snapshot": "2026-11-01T00:00:00Z"},
    }
    text = yaml.safe_dump({"defaults": defaults, "aois": aois})
    (folder / "config.yaml").write_text(text)


def _strip(path: Path, west: float, south: float) -> None:
    """Write eight bands of 20 x 20 pixels over an area's box: a dry run opens local strips."""
    profile = {"width": 20, "height": 20, "count": 8, "dtype": "uint16", "crs": "EPSG:4326"}
    place = from_origin(west, south + SIDE_DEG, SIDE_DEG / 20, SIDE_DEG / 20)
    with rasterio.open(path, "w", driver="GTiff", transform=place, **profile):
        pass


def dry_run(folder: Path, snakefile: Path) -> tuple[int, float, float, float]:
    """Plan a run.

    Returns:
        Jobs, wall time [s], CPU time [s], peak memory of the process [MB].
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile)]
    command += ["--directory", str(folder), "--dry-run", "--quiet", "rules"]
    with tempfile.TemporaryFile("w+") as out:
        begin = time.monotonic()
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"FLICKR_API_KEY": "0" * 32},
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
        out.seek(0)
        text = out.read()
    found = re.search(r"^total\s+(\d+)", text, re.MULTILINE)
    if status or not found:
        raise SystemExit(f"the dry run failed:\n{text[-2000:]}")
    peak_mb = usage.ru_maxrss / 1024
    return int(found[1]), wall, usage.ru_utime + usage.ru_stime, peak_mb


def plans(count: int, shards: int) -> None:
    """Print a line for the Snakefile and for each peer."""
    print(f"{count} areas x {shards} shards x {STRIPS} strips, dry run")
    print(f"{'':28}{'jobs':>8}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}")
    with tempfile.TemporaryDirectory(prefix="witw-scale-") as scratch:
        places = [Path(scratch) / name for name in ("witw", "bare", "single")]
        for place in places:
            place.mkdir()
        areas(places[0], count, shards)
        bare = BARE.format(areas=count, shards=shards)
        (places[1] / "Snakefile").write_text(bare)
        rows = {"witw": dry_run(places[0], REPO / "Snakefile")}
        rows["same graph, no logic"] = dry_run(places[1], places[1] / "Snakefile")
        (places[2] / "Snakefile").write_text(SINGLE.format(jobs=rows["witw"][0] - 1))
        told = bare.replace("    shell:", "    message: " + repr(MESSAGE) + "\n    shell:")
        (places[1] / "Snakefile").write_text(told)
        rows["the same with messages"] = dry_run(places[1], places[1] / "Snakefile")
        rows["one rule, no dependencies"] = dry_run(places[2], places[2] / "Snakefile")
    for name, (jobs, wall, cpu, peak) in rows.items():
        print(f"{name:28}{jobs:8d}{wall:9.1f}{cpu:9.1f}{peak:9.0f}")
    ours, peer = rows["witw"], rows["same graph, no logic"]
    print(f"witw / same graph: CPU {ours[2] / peer[2]:.2f}, memory {ours[3] / peer[3]:.2f}")
    peer = rows["the same with messages"]
    print(f"witw / the same with messages: CPU {ours[2] / peer[2]:.2f}")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--areas", type=int, default=AREAS)
    parser.add_argument("--shards", type=int, default=SHARDS)
    parser.add_argument("--memory", nargs="*", metavar="PART", choices=PARTS, help=_MEMORY)
    args = parser.parse_args()
    if args.memory is not None:
        from benchmarks.scale import memory

        memory.main(args.memory or PARTS)
    else:
        plans(args.areas, args.shards)


if __name__ == "__main__":
    main()
