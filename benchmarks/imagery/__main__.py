"""Compare the imagery chain with the original's and with hand-tuned GDAL, in one run.

    .venv/bin/python -m benchmarks.imagery [--wide | --quick] [--rounds 5]

The benchmark writes its own strip (benchmarks/out/imagery/, kept for the next run). Peers: the
system's GDAL programs and python3-gdal (Debian: apt-get install gdal-bin python3-gdal), the binding
installed here, and simplejpeg for the tuned peer. Every round runs every chain once, in turn, and
the figures are medians. CPU is user + system time of all processes of a step.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.imagery import checks, scene
from witw.config import load
from witw.spec import build

HERE = Path(__file__).parent
OUT = HERE.parent / "out" / "imagery"
ORIGINAL = str(HERE / "original.py")
SYSTEM = "/usr/bin/python3"
SCALE = ["-ot", "Byte", "-b", "5", "-b", "3", "-b", "2"]
WARP = ["-t_srs", f"EPSG:{scene.EPSG}", "-tr", "0.3", "0.3", "-r", "lanczos"]


@dataclass
class Cost:
    """Cost of a step: CPU and wall time [s], peak memory of its largest process [MB]."""

    cpu: float
    wall: float
    peak: float


@contextmanager
def alone() -> Iterator[None]:
    """Hold the lock file IMAGERY_LOCK, for machines on which several people measure."""
    name = os.environ.get("IMAGERY_LOCK")
    if not name:
        yield
        return
    with Path(name).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(
    *commands: list[str], text: list[str] | None = None, env: dict[str, str] | None = None
) -> Cost:
    """Run commands in parallel."""
    start, cpu, peak = time.perf_counter(), 0.0, 0.0
    pipes = [
        subprocess.Popen(
            c, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | (env or {})
        )
        for c in commands
    ]
    for pipe, command in zip(pipes, commands, strict=True):
        assert pipe.stdout and pipe.stderr
        said = pipe.stdout.read()
        errors = pipe.stderr.read()
        _, status, used = os.wait4(pipe.pid, 0)
        pipe.returncode = 0
        if status:
            raise SystemExit(f"{command} failed: {errors.decode()[-2000:]}")
        if text is not None:
            text.append(said.decode())
        cpu += used.ru_utime + used.ru_stime
        peak = max(peak, used.ru_maxrss / 1000)
    return Cost(cpu, time.perf_counter() - start, peak)


def fresh(name: str) -> Path:
    """Return an empty folder."""
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


class Case:
    """A strip, its photos and the chains to run on them."""

    def __init__(self, width: int, height: int, count: int) -> None:
        self.width, self.height, self.count = width, height, count
        self.chips_spec = ""
        OUT.mkdir(parents=True, exist_ok=True)
        self.strip = OUT / f"strip_{width}x{height}.tif"
        if not self.strip.exists():
            print(f"making {self.strip}", flush=True)
            # In a separate process: this process's past memory would count as its children's peak.
            with ProcessPoolExecutor(1) as pool:
                pool.submit(scene.strip, self.strip, width, height).result()
        places = scene.photos(count, width, height)
        self.photos = OUT / f"photos_{count}.txt"
        np.savetxt(self.photos, places, fmt="%.9f")
        self.places = pd.DataFrame(places, columns=["lon", "lat"])
        self.places.insert(0, "id", [str(10_000 + i) for i in range(count)])

    def ours(self, engine: str = "sweep") -> dict[str, Cost]:
        """Run the stages as the rules do, with the photos as one shard."""
        root = fresh("ours" if engine == "sweep" else engine)
        lon, lat = scene.LON, scene.LAT
        area = {"bbox_deg": [lon - 0.1, lat - 0.1, lon + 0.1, lat + 0.1], "nodata": 0}
        area |= {"strips": [{"path": str(self.strip), "name": "s"}], "bands": [5, 3, 2]}
        area |= {"utm": {"engine": engine}}
        config = load({"aois": {"town": area}})

        def call(stage: str, **paths: Path) -> list[str]:
            part = "s" if stage in ("stats", "rgb8", "utm") else None
            words = [sys.executable, "-m", f"witw.imagery.{stage}", "--threads", "2"]
            words += ["--spec", build(config, stage, "town", part)]
            return words + [w for key, path in paths.items() for w in (f"--{key}", str(path))]

        stats, stretch, vrt = root / "s.stats.json", root / "stretch.json", root / "s.rgb8.vrt"
        tif, mosaic = root / "s.utm.tif", root / "mosaic.vrt"
        found = {
            "stats": run(call("stats", stats=stats)),
            "stretch": run(call("stretch", stats=stats, stretch=stretch)),
            "rgb8": run(call("rgb8", stretch=stretch, vrt=vrt)),
            "utm": run([*call("utm", stretch=stretch, tif=tif), "--photos"]),
            "mosaic": run(call("mosaic", tifs=tif, vrt=mosaic)),
        }
        self.chips_spec = build(config, "chips", "town")
        return found | {"chips": self.shard(root, self.places)}

    def shard(self, root: Path, photos: pd.DataFrame, threads: int = 2) -> Cost:
        """Cut the chips of a shard from witw's raster."""
        wanted = root / "wanted.parquet"
        photos.to_parquet(wanted)
        words = [sys.executable, str(HERE / "shard.py"), self.chips_spec, str(threads)]
        paths = (wanted, root / "mosaic.vrt", root / "s.utm.tif", root / "chips")
        return run([*words, *map(str, paths), str(root / "chips.parquet")])

    def chips(self, times: int = 3) -> None:
        """Print the cost of a chip without start-up, and the gain of a second thread."""
        median = statistics.median
        none, one, two = (
            [self.shard(OUT / "ours", photos, threads) for _ in range(times)]
            for photos, threads in ((self.places[:0], 1), (self.places, 1), (self.places, 2))
        )
        idle = median(c.cpu for c in none), median(c.wall for c in none)
        cost, pair = (
            1000 * (median(c.cpu for c in found) - idle[0]) / self.count for found in (one, two)
        )
        gain = (median(c.wall for c in one) - idle[1]) / (median(c.wall for c in two) - idle[1])
        print(f"chips from the finished raster: {cost:.2f} ms CPU a chip without start-up "
              f"({idle[0]:.1f} s); two threads: {pair:.2f} ms, {gain:.2f} x as fast")  # fmt: skip

    def original(self, name: str, python: str, programs: bool) -> dict[str, Cost]:
        """Run whole bands, striped rasters, one window per photo, zeros counted in JPEGs."""
        root = fresh(name)
        rgb, utm, chips, said = root / "rgb.tif", root / "utm.tif", root / "chips", list[str]()
        chips.mkdir()
        small = {"GDAL_CACHEMAX": "100"}

        def tool(program: str, *words: str) -> list[str]:
            head = (
                [program]
                if programs
                else [python, ORIGINAL, program.removeprefix("gdal_").removeprefix("gdal")]
            )
            return [*head, *words]

        costs = {
            "stretch": run([python, ORIGINAL, "stretch", str(self.strip)], text=said, env=small)
        }
        words = [*SCALE, *said[0].split(), str(self.strip), str(rgb)]
        costs["translate"] = run(tool("gdal_translate", *words), env=small)
        costs["warp"] = run(tool("gdalwarp", *WARP, str(rgb), str(utm)))
        costs["clip"] = run([python, ORIGINAL, "clip", str(utm), str(self.photos), str(chips)])
        return costs

    def tuned(self) -> dict[str, Cost]:
        """Run streamed percentiles, tiled rasters, a threaded warper with memory, simplejpeg."""
        root = fresh("tuned")
        rgb, utm, chips, said = root / "rgb.tif", root / "utm.tif", root / "chips", list[str]()
        chips.mkdir()
        tiled = ["-co", "TILED=YES", "-co", "BLOCKXSIZE=512", "-co", "BLOCKYSIZE=512"]
        script = [sys.executable, str(HERE / "tuned.py")]
        costs = {"stretch": run([*script, "stretch", str(self.strip)], text=said)}
        threads = ["-oo", "NUM_THREADS=2"]
        words = [*SCALE, *said[0].split(), *tiled, *threads, str(self.strip), str(rgb)]
        costs["translate"] = run(["gdal_translate", *words])
        words = [*WARP, *tiled, "-multi", "-wo", "NUM_THREADS=2", "-wm", "512"]
        words += ["-wo", "XSCALE=1", "-wo", "YSCALE=1", "--config", "GDAL_CACHEMAX", "512"]
        costs["warp"] = run(["gdalwarp", *words, str(rgb), str(utm)])
        costs["clip"] = run([*script, "clip", str(utm), str(self.photos), str(chips)])
        return costs

    def chains(self) -> dict[str, Callable[[], dict[str, Cost]]]:
        """Return the chains that can run here."""
        out: dict[str, Callable[[], dict[str, Cost]]] = {
            "ours": self.ours,
            "ours, warped by GDAL": lambda: self.ours("gdal"),
        }
        if shutil.which("gdalwarp"):
            out["tuned"] = self.tuned
            if not subprocess.run(
                [SYSTEM, "-c", "import osgeo.gdal"], capture_output=True
            ).returncode:
                out["original, system's GDAL"] = lambda: self.original("old", SYSTEM, True)
        out["original, GDAL installed here"] = lambda: self.original("new", sys.executable, False)
        return out


def steal() -> float:
    """Return the seconds of CPU that the host has taken from this machine."""
    try:
        return int(Path("/proc/stat").read_text().split()[8]) / 100
    except OSError:
        return 0.0


def report(rounds: dict[str, list[dict[str, Cost]]], case: Case) -> dict[str, dict[str, float]]:
    """Print medians per step and chain, and ratios; return the totals."""
    totals = {}
    for name, runs in rounds.items():
        if not runs:
            continue
        steps = {
            step: [
                statistics.median(getattr(r[step], key) for r in runs)
                for key in ("cpu", "wall", "peak")
            ]
            for step in runs[0]
        }
        totals[name] = {
            key: statistics.median(sum(getattr(c, key) for c in r.values()) for r in runs)
            for key in ("cpu", "wall")
        } | {"peak": max(s[2] for s in steps.values())}
        detail = ", ".join(f"{step} {cpu:.1f}/{wall:.1f}" for step, (cpu, wall, _) in steps.items())
        total = totals[name]
        print(f"{name} ({len(runs)} rounds): cpu {total['cpu']:.1f} s, wall {total['wall']:.1f} s, "
              f"peak {total['peak']:.0f} MB\n    cpu/wall: {detail}")  # fmt: skip
    for name, total in totals.items():
        if "ours" in totals and name != "ours":
            ratios = [total[key] / totals["ours"][key] for key in ("cpu", "wall")]
            print(f"{name} / ours: cpu {ratios[0]:.2f} x, wall {ratios[1]:.2f} x")
    return totals


def main() -> None:
    """Run the rounds and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wide", action="store_true", help="24,000 x 8,000, 2,400 photos")
    parser.add_argument("--quick", action="store_true", help="1,500 x 1,500, 20 photos, one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="chains whose name contains this word")
    args = parser.parse_args()
    case = (
        Case(*((24_000, 8_000, 2_400) if args.wide else (8_000, 8_000, 800)))
        if not args.quick
        else Case(1_500, 1_500, 20)
    )
    chains = {k: v for k, v in case.chains().items() if not args.only or args.only in k}
    rounds: dict[str, list[dict[str, Cost]]] = {name: [] for name in chains}
    for number in range(1 if args.quick else args.rounds):
        for name, chain in chains.items():
            with alone():
                taken, start = steal(), time.perf_counter()
                rounds[name].append(chain())
                share = (steal() - taken) / (time.perf_counter() - start) / (os.cpu_count() or 1)
            costs = rounds[name][-1].values()
            cpu, wall = sum(c.cpu for c in costs), sum(c.wall for c in costs)
            print(f"round {number + 1}, {name}: cpu {cpu:.1f} s, wall {wall:.1f} s; ", end="")
            print(f"the host took {share:.0%} of the CPUs", flush=True)
    totals = report(rounds, case)
    (OUT / "last.json").write_text(json.dumps(totals, indent=1))
    if "ours" in totals:
        with alone():
            checks.limit(case, totals["ours"])
            case.chips()
        checks.geometry(OUT / "checks")
        checks.radiometry(OUT / "checks", case.strip)
        checks.chroma()


if __name__ == "__main__":
    main()
