"""Rows of ``scale.py --memory``: each stage run as a job, with its peak memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.imagery.scene import LAT, LON, STEP_DEG, strip
from witw import tables
from witw.config import Config, load
from witw.demo.build import _checkpoint
from witw.demo.fake_flickr.catalog.crowd import PARIS_BBOX_DEG, paris
from witw.demo.fake_flickr.server import FlickrServer
from witw.spec import STAGES, build

PHOTOS = (1_000, 5_000, 20_000)
# The network and the JPEG coder work photo by photo, and need minutes at these sizes.
FEW = (200, 800, 3_200)
PACKED_PX = 128
WIDTH_PX, HEIGHTS_PX = 8_192, (1_024, 2_048, 4_096)
# Measures peak memory [kB], CPU time [s] and peak memory without file pages [kB] of a command. A
# child started directly would count this process's memory as its own until it has executed another
# program. The last figure is sampled ten times a second, because the system keeps no peak of it.
MEASURE = r"""
import os, re, sys, threading
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
own, ended = [0], threading.Event()
def look():
    while not ended.wait(0.1):
        try:
            text = open(f"/proc/{pid}/status").read()
        except OSError:
            return
        own.extend(map(int, re.findall(r"RssAnon:\s+(\d+)", text)))
threading.Thread(target=look, daemon=True).start()
_, status, usage = os.wait4(pid, 0)
ended.set()
with open(sys.argv[1], "w") as out:
    print(usage.ru_maxrss, usage.ru_utime + usage.ru_stime, max(own), file=out)
sys.exit(os.waitstatus_to_exitcode(status))
"""
# Peak [MB], CPU time [s], peak without file pages [MB].
Usage = tuple[float, float, float]
Measured = tuple[str, Usage]
THREADS = {"stats": 4, "utm": 4, "scenes": 2, "pack": 4, "train": 2}


def picture(seed: int, width: int, height: int) -> Image.Image:
    """Return a picture with detail at every scale."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (height // 16, width // 16, 3), np.uint8)
    fine = rng.integers(0, 40, (height, width, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height)))
    return Image.fromarray(np.clip(smooth.astype(int) + fine, 0, 255).astype(np.uint8))


class Bench:
    """A run folder, its config, and the jobs run in it."""

    def __init__(self, folder: Path, host: str, strips: list[str]) -> None:
        self.folder = folder
        paris_box = list(PARIS_BBOX_DEG)
        box = [LON, LAT - HEIGHTS_PX[-1] * STEP_DEG, LON + WIDTH_PX * STEP_DEG, LAT]
        raw = {
            "flickr": {"api_url": f"{host}/services/rest/", "photo_hosts": [host]},
            "pack": {"chip_px": PACKED_PX, "photo_px": PACKED_PX},
            "train": {"epochs": 1},
            "defaults": {
                "shards": 1,
                "nodata": 0,
                "scenes": {"checkpoint": "places.pt", "arch": "resnet18"},
                "search": {"snapshot": "2026-11-01T00:00:00Z"},
            },
            "aois": {
                "paris": {"bbox_deg": paris_box, "strips": ["none.tif"]},
            }
            | {
                Path(name).stem: {"bbox_deg": [round(v, 6) for v in box], "strips": [name]}
                for name in strips
            },
        }
        self.config: Config = load(raw)

    def job(self, stage: str, aoi: str | None, part: str | None = None, **files: object) -> Usage:
        """Run one job."""
        told, log = self.folder / "usage.txt", self.folder / "log.txt"
        command = [sys.executable, "-I", "-S", "-c", MEASURE, str(told)]
        command += [sys.executable, "-m", STAGES[stage], "--spec"]
        command += [build(self.config, stage, aoi, part), "--threads", str(THREADS.get(stage, 1))]
        for name, value in files.items():
            values = value if isinstance(value, list) else [value]
            command += [f"--{name}", *map(str, values)]
        made = {"FLICKR_API_KEY": "0" * 32, "WITW_CALLS_PER_HOUR": "100000000"}
        with log.open("w") as out:
            done = subprocess.run(
                command,
                cwd=self.folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | made,
                check=False,
            )
        if done.returncode:
            raise SystemExit(f"{stage} failed:\n{log.read_text()[-2000:]}")
        peak, cpu, own = map(float, told.read_text().split())
        return peak / 1024, cpu, own / 1024


def asked(stage: str) -> str:
    """Return the memory requested in rules/*.smk [MB]; local rules request none."""
    rule = stage.removesuffix(" again")
    rules = Path(__file__).parents[2] / "rules"
    text = "".join(path.read_text() for path in sorted(rules.glob("*.smk")))
    block = re.search(rf"^rule {rule}:.*?(?=^\S)", f"{text}\nend", re.MULTILINE | re.DOTALL)
    found = re.search(r"mem_mb=growing\((\d+)\)", block[0]) if block else None
    return found[1] if found else "local"


def fetched(ids: pd.Series) -> pd.DataFrame:
    """Return rows of ``downloads``: each photo is ``photo.jpg`` in the run folder."""
    rows = pd.DataFrame({"id": ids}).assign(status="ok", reason="", url="", path="photo.jpg")
    return rows.assign(width=500, height=375, bytes=1, sha256="")


def scored(ids: pd.Series) -> pd.DataFrame:
    """Return rows of ``scenes``: all photos are outdoors."""
    return pd.DataFrame({"id": ids}).assign(io_vote=1.0, p_outdoor=1.0, scene_top1="street")


def cut(ids: pd.Series) -> pd.DataFrame:
    """Return rows of ``chips``: each chip is ``chip.jpg`` in the run folder."""
    rows = pd.DataFrame({"id": ids}).assign(chip_path="chip.jpg", easting=1.0, northing=1.0)
    return rows.assign(sha256="0" * 64, epsg=32631, blank_fraction=0.0, strip="s")


def tabular(bench: Bench) -> Iterator[Measured]:
    """Yield the peak memory of stages that only read and write tables, for all photos."""
    at = bench.folder
    photos = at / "photos.parquet"
    more = {"cells": at / "cells.parquet", "summary": at / "search.json"}
    yield "search", bench.job("search", "paris", photos=photos, **more)
    yield "shards", bench.job("shards", "paris", photos=photos, ids=[at / "ids.parquet"])
    ids = tables.read(photos, "photos")["id"]
    made = {"downloads": fetched(ids), "scenes": scored(ids), "chips": cut(ids)}
    files: dict[str, object] = {name: [at / f"{name}.parquet"] for name in made}
    for name, rows in made.items():
        tables.write(at / f"{name}.parquet", name, rows)
    yield "pairs", bench.job("pairs", "paris", photos=photos, pairs=at / "pairs.parquet", **files)
    names = ("pairs", "funnel", "licenses", "credits", "card", "croissant", "photos", "chips")
    union = {name: at / "dataset" / name for name in names}
    paired = tables.read(at / "pairs.parquet", "pairs").query("status == 'paired'")
    for path in (at / name for name in [*paired["photo_path"], *paired["chip_path"]]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    yield "dataset", bench.job("dataset", None, inputs=[at / "pairs.parquet"], **union)


def pictured(bench: Bench) -> Iterator[Measured]:
    """Yield the peak memory of the stages that handle every photo's file."""
    at = bench.folder
    for name, _ in tabular(bench):
        del name
    ids = at / "ids.parquet"
    yield "download", bench.job("download", "paris", ids=ids, table=at / "got.parquet")
    assert (tables.read(at / "got.parquet", "downloads")["status"] == "ok").all()
    # The cost of a job that is rerun because of an upstream job.
    yield "download again", bench.job("download", "paris", ids=ids, table=at / "again.parquet")
    assert (at / "again.parquet").read_bytes() == (at / "got.parquet").read_bytes()
    _checkpoint(at / "places.pt", 0)
    table = {"checkpoint": "places.pt", "table": at / "scores.parquet"}
    yield "scenes", bench.job("scenes", "paris", photos=at / "downloads.parquet", **table)
    pack = at / "pack"
    packed = {"pictures": pack / "pictures.arrow"}
    table = {"pairs": at / "dataset" / "pairs", "table": pack / "pairs.parquet"}
    yield "pack", bench.job("pack", None, split="train", **table, **packed)
    # One epoch, validated on all training pairs, which a real run does not do at this size.
    model = {"model": at / "model.safetensors", "metrics": at / "metrics.jsonl"}
    yield "train", bench.job("train", None, train=pack, val=pack, **model)
    yield "train again", bench.job("train", None, train=pack, val=pack, **model)


def imagery(bench: Bench, strip_name: str, height: int, photos: int) -> Iterator[Measured]:
    """Yield the peak memory of the imagery stages for a strip, and of ``chips`` for its photos."""
    at = bench.folder / strip_name
    at.mkdir()
    files = {name: at / f"strip.{name}" for name in ("stats.json", "rgb8.vrt", "utm.tif")}
    yield "stats", bench.job("stats", strip_name, strip_name, stats=files["stats.json"])
    stretch = at / "stretch.json"
    bench.job("stretch", strip_name, stats=[files["stats.json"]], stretch=stretch)
    bench.job("rgb8", strip_name, strip_name, stretch=stretch, vrt=files["rgb8.vrt"])
    yield (
        "utm",
        bench.job("utm", strip_name, strip_name, stretch=stretch, photos=[], tif=files["utm.tif"]),
    )
    mosaic = at / "mosaic.vrt"
    bench.job("mosaic", strip_name, tifs=[files["utm.tif"]], vrt=mosaic)
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"id": [f"{n:010d}" for n in range(photos)], "url": "", "is_gone": False})
    rows["lat"] = LAT - STEP_DEG * height * rng.uniform(0.05, 0.95, photos)
    rows["lon"] = LON + STEP_DEG * WIDTH_PX * rng.uniform(0.05, 0.95, photos)
    tables.write(at / "ids.parquet", "ids", rows)
    tables.write(at / "got.parquet", "downloads", fetched(rows["id"]))
    tables.write(at / "scenes.parquet", "scenes", scored(rows["id"]))
    inputs = {"ids": at / "ids.parquet", "photos": at / "got.parquet"}
    yield "chips", bench.job(
        "chips", strip_name, scenes=at / "scenes.parquet", mosaic=mosaic, tifs=[files["utm.tif"]],
        chips=at / "chips", table=at / "chips.parquet", **inputs,
    )  # fmt: skip


def show(title: str, sizes: Sequence[int], rows: Sequence[Iterator[Measured]]) -> None:
    """Print a line per stage: peak at each size, request of its rule, CPU time per unit of size.

    Each peak is followed by its part outside file pages, which the system cannot reclaim. The CPU
    time is the slope between the smallest and the largest size, which excludes the start-up.
    """
    head = "".join(f"{size:15d}" for size in sizes)
    print(f"{title:16}{head}{'asked':>9}{'CPU ms each':>13}   (peak, own part, asked in MB)")
    for measured in zip(*rows, strict=True):
        stage = measured[0][0]
        peaks = "".join(f"{peak:8.0f} ({own:4.0f})" for _, (peak, _, own) in measured)
        spent = measured[-1][1][1] - measured[0][1][1]
        each = 1000 * spent / (sizes[-1] - sizes[0])
        print(f"  {stage:14}{peaks}{asked(stage):>9}{each:13.2f}", flush=True)


def main(parts: Sequence[str]) -> None:
    """Run all parts and print a table for each kind of stage."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="witw-memory-")))
        names = [f"h{height}.tif" for height in HEIGHTS_PX]
        body = b""

        def bench(name: str, count: int) -> Bench:
            nonlocal body
            folder = scratch / f"{name}{count}"
            folder.mkdir()
            picture(0, 750, 750).save(folder / "chip.jpg", quality=90)
            picture(1, 500, 375).save(folder / "photo.jpg", quality=90)
            body = (folder / "photo.jpg").read_bytes()
            server = FlickrServer(paris(count, seed=1), lambda _: body)
            return Bench(folder, stack.enter_context(server).url, names)

        if "tables" in parts:
            show("photos", PHOTOS, [tabular(bench("tables", count)) for count in PHOTOS])
        if "pictures" in parts:
            show("photos", FEW, [pictured(bench("pictures", count)) for count in FEW])
        if "imagery" in parts:
            place = bench("imagery", 1)
            for height, name in zip(HEIGHTS_PX, names, strict=True):
                strip(place.folder / name, WIDTH_PX, height)
            cells = zip(names, HEIGHTS_PX, FEW, strict=True)
            print(f"strips of {WIDTH_PX} px by so many; chips of {', '.join(map(str, FEW))} photos")
            show("rows", HEIGHTS_PX, [imagery(place, n[:-4], h, c) for n, h, c in cells])
