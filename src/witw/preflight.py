"""Checks before the first job: folders, key, strips."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from witw import environment
from witw.errors import UserError
from witw.flickr.api.client import Client
from witw.flickr.crawl.journal import needs_service
from witw.mistakes import areas, command_line, yaml_files
from witw.spec import build

if TYPE_CHECKING:  # jobs need the names below, not the models of the whole config
    from witw.config import Config
    from witw.imagery.choice import Choice

CONFIG_FILE = "config.yaml"
# A person waits for the first job, so an unavailable service must be reported within a minute.
TRIES = 4
# Folders of the run folder that a run writes to.
FOLDERS = ("results", "photos", "journal", "models", "logs", "checkpoints")

_held: list[IO[str]] = []  # open until this process ends: closing a file releases its lock


def read_command(workflow: Any) -> None:
    """Check Snakemake's command line and its config files before their use.

    Args:
        workflow: Snakemake's workflow object.

    Raises:
        UserError: a file is missing or has a duplicate key, or a container is requested.
    """
    command_line.check_files(sys.argv)
    for path in config_files(workflow):
        yaml_files.read(path)
    methods = workflow.deployment_settings.deployment_method
    if any(method.name == "APPTAINER" for method in methods):
        raise UserError(
            "`--sdm apptainer` starts jobs in an image without witw; remove the option, because "
            "jobs run in the environment of this snakemake."
        )


def config_files(workflow: Any) -> list[Path]:
    """Return the config files of a run; later files override earlier ones."""
    named = [Path(path) for path in workflow.overwrite_configfiles]
    if not named and not Path(CONFIG_FILE).is_file():
        raise UserError(
            f"{Path.cwd()} has no {CONFIG_FILE}; write one there (docs/config.md), give a file "
            "with --configfile, or give the run folder with --directory."
        )
    here = Path.cwd()
    files = named or [Path(CONFIG_FILE)]
    return [path.relative_to(here) if path.is_relative_to(here) else path for path in files]


def config_name(workflow: Any) -> str:
    """Return the sources of the config, for error messages."""
    text = " + ".join(map(str, config_files(workflow)))
    return f"{text} + --config" if workflow.config_settings.config else text


def notes(config: Config) -> list[str]:
    """Return notes on a complete run as sentences, for its start and its end."""
    splits = {name: area.split for name, area in config.aois.items()}
    strips = {
        name: [source.path for strip in area.strips for source in strip.sources() if source.path]
        for name, area in config.aois.items()
    }
    if config.model:
        return [
            f"The network is {config.model}: the run prepares and indexes the areas' imagery for "
            "`witw locate`, without search, download or training."
        ]
    told = [areas.no_training(splits), *areas.shared_strips(strips, splits)]
    told += [
        f"Area {name!r} reads tiles of {strip.tiles} ({strip.attribution}): its terms must allow "
        "storing tiles, deriving a data set and training on them."
        for name, area in config.aois.items()
        for strip in area.strips
        if strip.tiles
    ]
    return [sentence for sentence in told if sentence]


def claim(folder: Path) -> None:
    """Lock a run folder for this process until it ends, even by a crash.

    Snakemake's own lock is a file that outlives a killed run; profiles/default switches it off.

    Raises:
        UserError: another run holds the lock.
    """
    path = folder / ".snakemake" / "witw.lock"
    path.parent.mkdir(exist_ok=True)
    handle = path.open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise UserError(
            f"Another run is active in {folder.resolve()}: wait until it ends, or stop it."
        ) from None
    _held.append(handle)


def tidy(results: Path) -> None:
    """Remove leftover pixels that `stats` kept for `utm`, after a run."""
    for path in results.glob("*/strips/*.decoded"):
        path.unlink(missing_ok=True)


def check(choice: Choice, config: Config, jobs: list[tuple[str, dict[str, str]]]) -> None:
    """Stop before the first job if a job is certain to fail.

    Args:
        choice: the places of the strips.
        config: the validated config.
        jobs: rule name and wildcards of every job that will run.

    Raises:
        UserError: a folder is not writable, a strip is unusable, or a search needs a key that is
            missing or refused.
    """
    check_folders()
    if unsure := choice.check(strips_of(jobs)):
        raise UserError("\n  ".join(unsure))
    searched = sorted({w["aoi"] for rule, w in jobs if rule == "search"})
    asked = [aoi for aoi in searched if config.aois[aoi].has_photos_of("flickr")]
    if any(needs_service(json.loads(build(config, "search", aoi))) for aoi in asked):
        check_key(config.flickr.api_url)
    if any(config.aois[aoi].has_photos_of("mapillary") for aoi in searched):
        environment.token()


def check_dry(choice: Choice, jobs: list[tuple[str, dict[str, str]]]) -> list[str]:
    """Check the strips of a dry run, which needs no key.

    Args:
        choice: the places of the strips.
        jobs: rule name and wildcards of every job that would run.

    Returns:
        One sentence for each strip whose server did not answer; a plan needs no network.

    Raises:
        UserError: a strip is unusable; names all unusable strips.
    """
    return choice.check(strips_of(jobs))


def strips_of(jobs: list[tuple[str, dict[str, str]]]) -> list[tuple[str, str]]:
    """Return AOI and name of every strip that a job reads."""
    return sorted({(w["aoi"], w["strip"]) for rule, w in jobs if rule in ("stats", "rgb8", "utm")})


def check_folders() -> None:
    """Test that each existing folder of the run is writable; Snakemake's own error is unclear.

    Raises:
        UserError: a folder is not writable.
    """
    for folder in filter(Path.is_dir, map(Path, FOLDERS)):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UserError(
                f"{folder.resolve()} cannot be written ({os.strerror(error.errno or 0)}); "
                "grant access, or run in another folder (--directory)."
            ) from None


def check_key(api_url: str) -> None:
    """Check the key with one call to the service, before the searches of all areas need it."""
    Client.from_environment(api_url, TRIES).check_key()
