"""What is checked while the workflow is planned and before its first job."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dotenv import load_dotenv

from witw.errors import UserError
from witw.spec import build

if TYPE_CHECKING:  # jobs need the names below, not the models of the whole config
    from witw.config import Config

KEY = "FLICKR_API_KEY"
SECRET = "FLICKR_API_SECRET"  # noqa: S105 (its name, not the secret)
SECRETS = (KEY, SECRET)
# How jobs are told what must not rerun them.
CONTACT, CALLS, SLOTS = "WITW_CONTACT", "WITW_CALLS_PER_HOUR", "WITW_MAX_SLOTS"
NO_KEY = (
    f"{KEY} is not set: get a key at https://www.flickr.com/services/apps/create/ (Flickr gives "
    f"them to Pro accounts), then `export {KEY}=...` or put {KEY}=... into a file .env here."
)

# What a run writes into, below the run folder.
FOLDERS = ("results", "photos", "journal", "models", "logs", "checkpoints")

_held: list[IO[str]] = []  # open until this process ends: closing a file gives up its lock


def environment() -> None:
    """Load ``.env`` of the run folder (what is set already wins) and let jobs find ``python``.

    The rules say ``python``; where snakemake is called by its path, in an environment that is not
    activated, that would be another one.
    """
    for name in SECRETS:
        if not os.environ.get(name):  # set to nothing is not set
            os.environ.pop(name, None)
    load_dotenv(Path(".env"), override=False)
    here, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
    if here not in path.split(os.pathsep):
        os.environ["PATH"] = here + os.pathsep + path


def secrets() -> list[str]:
    """Names of the secrets that are set, for Snakemake's ``envvars:``."""
    return [name for name in SECRETS if os.environ.get(name)]


def announce(config: Config) -> None:
    """Tell the jobs whom their requests speak for, and how hard they may ask.

    By the environment, not by ``spec``: another contact or pace must not rerun anything.
    """
    if config.flickr.contact:
        os.environ[CONTACT] = config.flickr.contact
    os.environ[CALLS] = str(config.flickr.calls_per_hour)
    slots = {name: area.download.max_slots for name, area in config.aois.items()}
    os.environ[SLOTS] = json.dumps(slots)


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
    if any(rule == "search" for rule, _ in jobs):
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
    # Here only: it imports this module, and most commands ask Flickr nothing.
    from witw.flickr.api import Client

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
        [sys.executable, "-m", "witw.imagery.source"],
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
