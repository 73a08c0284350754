"""Files of the photo store: write whole, check, remove. No network."""

from __future__ import annotations

import os
from pathlib import Path

from witw.errors import UserError
from witw.flickr.photo_host.outcome import Outcome, inspect


def store(body: bytes, path: Path) -> None:
    """Write a photo under a temporary name beside ``path``, fsync it, rename it.

    As :func:`witw.files.atomic`, but for many threads at a time, and with a temporary name that
    is known, so that the next run finds and removes what a kill left. The folder is synced by
    :func:`sync_folders`.
    """
    part = part_of(path)
    try:
        try:
            file = part.open("wb")
        except FileNotFoundError:
            part.parent.mkdir(parents=True, exist_ok=True)
            file = part.open("wb")
        with file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def part_of(path: Path) -> Path:
    """Temporary name of a photo that is being written."""
    folder, name = os.path.split(path)
    return Path(f"{folder or os.curdir}/.{name}.part")


def is_there(path: Path) -> bool:
    """Whether there is anything to :func:`verify`: a photo, or what a kill left of one."""
    return os.path.lexists(path) or os.path.lexists(part_of(path))


def verify(path: Path, min_side_px: int) -> Outcome | None:
    """Judge a file of the store; a bad one is removed, and what a kill left half-written.

    Returns:
        None: there is no good file.

    Raises:
        UserError: there is something that cannot be read.
    """
    try:
        part_of(path).unlink(missing_ok=True)
        outcome = inspect(path.read_bytes(), min_side_px)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; put that right.") from None
    if outcome.stored:
        return outcome
    path.unlink(missing_ok=True)
    return None


def remove(path: Path) -> bool:
    """Remove a photo and whatever is left of it; whether there was anything.

    Raises:
        UserError: it cannot be removed.
    """
    there = False
    for name in (path, part_of(path)):
        try:
            name.unlink()
            there = True
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise UserError(f"{name} must go and cannot be removed: {error.strerror}.") from None
    return there
