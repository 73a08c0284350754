"""Copies in a folder: ``file://``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from witw.dataset.push.refusal import told


def local_folder(url: str) -> Path | None:
    """Return the folder of a ``file://`` address; None for other addresses."""
    return Path(url.removeprefix("file://")) if url.startswith("file://") else None


def delete_unfinished(url: str, paths: Iterable[str]) -> None:
    """Delete the temporary files that a killed push left in a folder.

    obstore names them ``{path}#{number}`` and does not list them.

    Args:
        url: the address; nothing is deleted unless it is a folder.
        paths: files that pushes wrote there, relative to the address.

    Raises:
        UserError: the folder cannot be read or changed.
    """
    if not (target := local_folder(url)):
        return
    own = {target / path for path in paths}
    with told(url):
        for parent in {path.parent for path in own}:
            for found in parent.glob("*#*"):
                name, _, number = found.name.rpartition("#")
                if parent / name in own and number.isdecimal():
                    found.unlink(missing_ok=True)
