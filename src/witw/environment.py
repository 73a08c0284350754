"""Environment of a run: secrets, and settings that jobs get outside their spec."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv import load_dotenv

from witw.errors import UserError

if TYPE_CHECKING:  # jobs need the names below, not the models of the whole config
    from witw.config import Config

KEY = "FLICKR_API_KEY"
SECRET = "FLICKR_API_SECRET"  # noqa: S105 (its name, not the secret)
MAPILLARY = "MAPILLARY_TOKEN"
SECRETS = (KEY, SECRET, MAPILLARY)
# Environment variables for settings that must not rerun a job.
CONTACT, CALLS, SLOTS = "WITW_CONTACT", "WITW_CALLS_PER_HOUR", "WITW_MAX_SLOTS"
CONFIRMED = "WITW_CONFIRM_GONE"  # JSON: AOI -> snapshot
NO_KEY = (
    f"{KEY} is not set: get a key at https://www.flickr.com/services/apps/create/ (for Pro "
    f"accounts), then `export {KEY}=...` or put {KEY}=... into a file .env here; your own photos "
    "and other sources need no key (`photos`, docs/sources.md)."
)
NO_TOKEN = (
    f"{MAPILLARY} is not set: register an application at "
    "https://www.mapillary.com/dashboard/developers, then `export "
    f"{MAPILLARY}=...` with its client token or put {MAPILLARY}=... into a file .env here."
)


def load() -> None:
    """Load ``.env`` of the run folder (variables that are set win) and let jobs find ``python``.

    The rules call ``python``. If snakemake is called by its path, without activating its
    environment,
    ``python`` would be another interpreter.
    """
    for name in SECRETS:
        if not os.environ.get(name):  # an empty variable counts as not set
            os.environ.pop(name, None)
    load_dotenv(Path(".env"), override=False)
    here, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
    if here not in path.split(os.pathsep):
        os.environ["PATH"] = here + os.pathsep + path


def token() -> str:
    """Return Mapillary's token.

    Raises:
        UserError: the token is not set; says how to get one.
    """
    load()
    if not os.environ.get(MAPILLARY):
        raise UserError(NO_TOKEN)
    return os.environ[MAPILLARY]


def secrets() -> list[str]:
    """List the names of the secrets that are set, for Snakemake's ``envvars:``."""
    return [name for name in SECRETS if os.environ.get(name)]


def announce(config: Config) -> None:
    """Pass contact, rate limits and confirmed losses to the jobs.

    They travel by the environment, not by ``spec``: another contact or rate must not rerun a job.
    """
    if config.flickr.contact:
        os.environ[CONTACT] = config.flickr.contact
    os.environ[CALLS] = str(config.flickr.calls_per_hour)
    slots = {name: area.download.max_slots for name, area in config.aois.items()}
    os.environ[SLOTS] = json.dumps(slots)
    gone = {name: area.search.confirm_gone for name, area in config.aois.items()}
    os.environ[CONFIRMED] = json.dumps({n: date.isoformat() for n, date in gone.items() if date})
