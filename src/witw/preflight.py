"""Checks before the first job: folders, key, strips."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from witw.errors import UserError
from witw.flickr.api.client import Client
from witw.flickr.crawl.journal import needs_service
from witw.spec import build

if TYPE_CHECKING:  # jobs need the names below, not the models of the whole config
    from witw.config import Config

# What a run writes into, below the run folder.
FOLDERS = ("results", "photos", "journal", "models", "logs", "checkpoints")

_held: list[IO[str]] = []  # open until this process ends: closing a file gives up its lock


def config_name(workflow: Any) -> str:
    """The config file's name, for error texts."""
    files = workflow.overwrite_configfiles or ["config.yaml"]
    return str(files[-1])


def claim(folder: Path) -> None:
    """Hold a run folder for this process, until it ends in whatever way.

    Snakemake's own lock is a file that outlives a killed run; it is off in profiles/default.

    Raises:
        UserError: another run holds it.
    """
    path = folder / ".snakemake" / "witw.lock"
    path.parent.mkdir(exist_ok=True)
    handle = path.open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise UserError(
            f"Another run is at work in {folder.resolve()}: wait for it to end, or end it."
        ) from None
    _held.append(handle)


def tidy(results: Path) -> None:
    """Remove, after a run, pixels that `stats` kept for a `utm` that had nothing to do."""
    for path in results.glob("*/strips/*.decoded"):
        path.unlink(missing_ok=True)


def check(config: Config, jobs: list[tuple[str, dict[str, str]]]) -> None:
    """Stop before the first job where one is bound to fail.

    Args:
        config: the validated config.
        jobs: rule name and wildcards of every job that is to run.

    Raises:
        UserError: a folder that cannot be written, no key, or a refused one, although something is
            to be searched, or an unreadable strip.
    """
    check_folders()
    searched = sorted({w["aoi"] for rule, w in jobs if rule == "search"})
    if any(needs_service(json.loads(build(config, "search", aoi))) for aoi in searched):
        check_key(config.flickr.api_url)
    strips = sorted(
        {(w["aoi"], w["strip"]) for rule, w in jobs if rule in ("stats", "rgb8", "utm")}
    )
    if strips:
        check_strips(config, strips)


def check_folders() -> None:
    """Write into each folder of the run that is there already: Snakemake would say it less well."""
    for folder in filter(Path.is_dir, map(Path, FOLDERS)):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UserError(
                f"{folder.resolve()} cannot be written ({os.strerror(error.errno or 0)}); "
                "give access, or run in another folder (--directory)."
            ) from None


def check_key(api_url: str) -> None:
    """Ask the service once whether it accepts the key: else every area's search would."""
    Client.from_environment(api_url).check_key()


def check_strips(config: Config, strips: list[tuple[str, str]]) -> None:
    """Open every strip, look at its bands and where it lies, in a process of its own.

    In its own: importing osgeo here would set PROJ_DATA for every job started from this process.
    """
    specs = []
    for aoi, strip in strips:
        area = config.aois[aoi]
        place = {"bbox_deg": area.bbox_deg, "chip_m": area.chips.size_px * area.utm.gsd_m}
        specs.append(json.loads(build(config, "stats", aoi, strip)) | place)
    done = subprocess.run(
        [sys.executable, "-m", "witw.imagery.strip.source"],
        input=json.dumps(specs),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        # GDAL's own warnings may stand around it.
        told = [line for line in done.stderr.splitlines() if line.startswith("witw: ")]
        ended = f"The look at the strips ended with code {done.returncode}; run again."
        raise UserError(told[0].removeprefix("witw: ") if told else done.stderr.strip() or ended)
