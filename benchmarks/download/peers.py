"""The downloader and its peers as commands that fetch a list of addresses into a folder.

curl, wget and aria2c come from the system's packages (`apt-get install aria2`). img2dataset is
installed once by uv into a private environment in benchmarks/out/, which git ignores. Unavailable
peers are skipped and named.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = Path(__file__).resolve().parents[1] / "out" / "peers"
# It imports imghdr, which Python 3.13 removed from the standard library.
IMG2DATASET = ["img2dataset==1.47.0", "standard-imghdr"]
# A tool written in Python is timed from this output line on, which excludes imports and so
# represents a long run. img2dataset prints such a line itself.
READY = "Downloading starting now"
STAGE = f"""
import json, sys
from pathlib import Path
from witw.sources import download
print({READY!r}, flush=True)
download.run(json.loads(sys.argv[1]), Path("ids.parquet"), Path("downloads.parquet"))
"""
QUIET = {"NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Batch:
    """Photos to fetch.

    Attributes:
        urls: Addresses by photo id.
        entry: The host as in `flickr.photo_hosts`.
        env: Environment of the commands, mainly certificates.
    """

    urls: dict[str, str]
    entry: str
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ran:
    """One run of a command: seconds in total and since READY, exit code, share of CPU stolen."""

    wall_s: float
    work_s: float
    code: int
    stolen: float


Make = Callable[[Batch, Path], list[str | Path]]


def witw(slots: int) -> Make:
    """Run the stage with all its checks."""

    def make(batch: Batch, folder: Path) -> list[str | Path]:
        from witw import tables

        rows = [
            {"id": i, "url": url, "lat": 0.001 * n, "lon": 0.0, "is_gone": False}
            for n, (i, url) in enumerate(batch.urls.items())
        ]
        tables.write(folder / "ids.parquet", "ids", rows)
        limits = {"max_megabytes": 20.0, "min_side_px": 64}
        hosts = {"photo_hosts": [batch.entry]}
        spec = json.dumps({"aoi": "bench", "download": limits, "flickr": hosts})
        return ["env", f"WITW_MAX_SLOTS={slots}", sys.executable, "-c", STAGE, spec]

    return make


def img2dataset(processes: int, threads: int, retries: int = 0) -> Make:
    """Run img2dataset without re-encoding, its fastest mode."""

    def make(batch: Batch, folder: Path) -> list[str | Path]:
        _list(batch, folder)
        options = f"--processes_count {processes} --thread_count {threads} --retries {retries}"
        fixed = (
            "--url_list urls.txt --output_folder out --output_format files --resize_mode no "
            "--disable_all_reencoding True --enable_wandb False --number_sample_per_shard 1000"
        )
        return [PRIVATE / "bin" / "img2dataset", *fixed.split(), *options.split()]

    return make


def aria2c(*options: str) -> Make:
    """Run aria2c with one connection per file, 32 files at a time."""

    def make(batch: Batch, folder: Path) -> list[str | Path]:
        _list(batch, folder)
        return ["aria2c", "-q", "-j32", "-x1", "-i", "urls.txt", "-d", "out", *options]

    return make


def wget(*options: str) -> Make:
    """Run wget, which fetches one file after the other."""

    def make(batch: Batch, folder: Path) -> list[str | Path]:
        _list(batch, folder)
        return ["wget", "-q", "-i", "urls.txt", "-P", "out", *options]

    return make


def curl(*options: str) -> Make:
    """Run curl with 32 files at a time."""

    def make(batch: Batch, folder: Path) -> list[str | Path]:
        (folder / "out").mkdir()
        lines = [f'url = "{url}"\noutput = "out/{i}.jpg"\n' for i, url in batch.urls.items()]
        (folder / "urls.conf").write_text("".join(lines))
        return ["curl", "-s", "-Z", "--parallel-max", "32", "-K", "urls.conf", *options]

    return make


def _list(batch: Batch, folder: Path) -> None:
    (folder / "urls.txt").write_text("\n".join(batch.urls.values()) + "\n")


def absent(name: str) -> str:
    """Return why a peer cannot run, or ''; install img2dataset if possible."""
    if name != "img2dataset":
        return "" if shutil.which(name) else f"{name} is not installed (apt-get install {name})"
    if (PRIVATE / "bin" / name).is_file():
        return ""
    uv = ROOT / ".tools" / "bin" / "uv"
    try:
        subprocess.run([uv, "venv", "-q", PRIVATE], check=True)
        python = PRIVATE / "bin" / "python"
        subprocess.run([uv, "pip", "install", "-q", "--python", python, *IMG2DATASET], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"img2dataset cannot be installed: {error}"
    return ""


def run(make: Make, batch: Batch, folder: Path, timeout_s: float) -> Ran:
    """Run a tool in an empty folder."""
    folder.mkdir(parents=True)
    command = make(batch, folder)
    env = os.environ | QUIET | batch.env
    before, began = _cpu(), time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    stop = threading.Timer(timeout_s, process.kill)
    stop.start()
    starts = began
    for line in process.stdout or ():
        if READY in line:
            starts = time.perf_counter()
    code = process.wait()
    stop.cancel()
    ends, after = time.perf_counter(), _cpu()
    stolen = (after[1] - before[1]) / max(after[0] - before[0], 1)
    return Ran(ends - began, ends - starts, code, stolen)


def _cpu() -> tuple[int, int]:
    """Return the ticks of all processors, and those taken by this virtual machine's host."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(ticks), ticks[7]


def stored(folder: Path) -> list[bytes]:
    """Return the files a tool kept, except its notes and files it marks as unfinished."""
    files = [
        path
        for top in ("photos", "out")
        for path in (folder / top).rglob("*")
        if path.is_file() and path.suffix not in (".json", ".txt", ".parquet", ".lock", ".aria2")
    ]
    return [path.read_bytes() for path in files if not Path(f"{path}.aria2").exists()]
