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
# A person waits for the first job, so a service that is down is told within a minute.
TRIES = 4
# What a run writes into, below the run folder.
FOLDERS = ("results", "photos", "journal", "models", "logs", "checkpoints")

_held: list[IO[str]] = []  # open until this process ends: closing a file gives up its lock


def read_command(workflow: Any) -> None:
    """Look at how Snakemake was called and at its config files, before they are used.

    Args:
        workflow: Snakemake's.

    Raises:
        UserError: a file is missing or drops a key, or a container is asked for.
    """
    command_line.check_files(sys.argv)
    for path in config_files(workflow):
        yaml_files.read(path)
    methods = workflow.deployment_settings.deployment_method
    if any(method.name == "APPTAINER" for method in methods):
        raise UserError(
            "`--sdm apptainer` starts jobs in an image that does not hold witw; leave it out, as "
            "the jobs run in the environment of this snakemake."
        )


def config_files(workflow: Any) -> list[Path]:
    """The config files of a run, in the order in which they are laid over each other."""
    named = [Path(path) for path in workflow.overwrite_configfiles]
    if not named and not Path(CONFIG_FILE).is_file():
        raise UserError(
            f"{Path.cwd()} has no {CONFIG_FILE}; write one there (docs/config.md), name a file "
            "with --configfile, or name the run folder with --directory."
        )
    here = Path.cwd()
    files = named or [Path(CONFIG_FILE)]
    return [path.relative_to(here) if path.is_relative_to(here) else path for path in files]


def config_name(workflow: Any) -> str:
    """What the config was read from, for error texts."""
    text = " + ".join(map(str, config_files(workflow)))
    return f"{text} + --config" if workflow.config_settings.config else text


def notes(config: Config) -> list[str]:
    """What a person should know of a whole run before and after it, as sentences."""
    splits = {name: area.split for name, area in config.aois.items()}
    strips = {
        name: [source.path for strip in area.strips for source in strip.sources() if source.path]
        for name, area in config.aois.items()
    }
    if config.model:
        return [
            f"The network is {config.model}: nothing is searched, downloaded or trained; the "
            "areas' imagery is prepared and indexed for `witw locate`."
        ]
    told = [areas.no_training(splits), *areas.shared_strips(strips, splits)]
    told += [
        f"Area {name!r} reads tiles of {strip.tiles} ({strip.attribution}): its terms must allow "
        "to store them, to derive a data set and to train on it."
        for name, area in config.aois.items()
        for strip in area.strips
        if strip.tiles
    ]
    return [sentence for sentence in told if sentence]


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


def check(choice: Choice, config: Config, jobs: list[tuple[str, dict[str, str]]]) -> None:
    """Stop before the first job where one is bound to fail.

    Args:
        choice: where the strips lie.
        config: the validated config.
        jobs: rule name and wildcards of every job that is to run.

    Raises:
        UserError: a folder that cannot be written, strips that cannot be used, or no key, or a
            refused one, although something is to be searched.
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
    """What a dry run can check without a key: the strips.

    Args:
        choice: where the strips lie.
        jobs: rule name and wildcards of every job that would run.

    Returns:
        Sentences of the strips whose servers said nothing; a plan may be made without a network.

    Raises:
        UserError: one cannot be used; names all that cannot.
    """
    return choice.check(strips_of(jobs))


def strips_of(jobs: list[tuple[str, dict[str, str]]]) -> list[tuple[str, str]]:
    """AOI and name of every strip that a job reads."""
    return sorted({(w["aoi"], w["strip"]) for rule, w in jobs if rule in ("stats", "rgb8", "utm")})


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
    Client.from_environment(api_url, TRIES).check_key()
