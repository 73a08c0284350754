"""Write, check and remove files of the photo store. No network."""

from __future__ import annotations

import os
from pathlib import Path

from witw.errors import UserError
from witw.flickr.photo_host.outcome import Outcome, inspect


def store(body: bytes, path: Path) -> None:
    """Write a photo under a temporary name beside ``path``, fsync it, and rename it.

    Unlike :func:`witw.files.atomic`, this works for many threads at a time, and the temporary name
    is predictable, so that the next run can remove the leftovers of a killed one. The folder is
    synced by :func:`sync_folders`.
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
    """Return the temporary name of a photo that is being written."""
    folder, name = os.path.split(path)
    return Path(f"{folder or os.curdir}/.{name}.part")


def is_there(path: Path) -> bool:
    """Return whether there is a file to :func:`verify`: a photo, or leftovers of a killed run."""
    return os.path.lexists(path) or os.path.lexists(part_of(path))


def verify(path: Path, min_side_px: int) -> Outcome | None:
    """Judge a file of the store; remove a bad or half-written one.

    Returns:
        None if there is no good file.

    Raises:
        UserError: A file cannot be read.
    """
    try:
        part_of(path).unlink(missing_ok=True)
        outcome = inspect(path.read_bytes(), min_side_px)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}; fix that and run again."
        ) from None
    if outcome.stored:
        return outcome
    path.unlink(missing_ok=True)
    return None


def remove(path: Path) -> bool:
    """Remove a photo and its leftovers; return whether there were any.

    Raises:
        UserError: A file cannot be removed.
    """
    there = False
    for name in (path, part_of(path)):
        try:
            name.unlink()
            there = True
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise UserError(f"{name} has to be removed, but cannot be: {error.strerror}.") from None
    return there
