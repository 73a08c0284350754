"""Provenance of the data set: settings, versions, and the SHA-256 of its inputs.

It contains no time and no path of this machine, so equal inputs and software give equal bytes. The
report lists the cost of each stage.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import witw
from witw import files

# Libraries that affect pixels, votes and tables.
PACKAGES = ("numpy", "pandas", "pyarrow", "pillow", "rasterio", "torch", "torchvision")
_PLACES = ("path",)  # keys that hold the place of a file


def provenance(
    made: Mapping[str, Any],
    dataset: Mapping[str, Any],
    inputs: Mapping[str, Path],
    weights: Sequence[Path],
) -> dict[str, Any]:
    """Return the content of ``provenance.json``.

    Args:
        made: ``stages``, ``config`` and ``areas`` of the spec.
        dataset: section ``dataset`` of the config.
        inputs: area -> its table ``pairs``, which has the SHA-256 of every photo and chip.
        weights: Places365 checkpoints.
    """
    return {
        "versions": {"witw": witw.__version__, "commit": commit(), **_packages()},
        "stages": dict(made["stages"]),
        "config": public({**made["config"], "dataset": dict(dataset)}),
        "areas": {name: public(area) for name, area in made["areas"].items()},
        "sha256": {
            "pairs": {name: files.sha256(path) for name, path in inputs.items()},
            "weights": {path.name: files.sha256(path) for path in weights},
        },
    }


def public(value: Any, key: str = "") -> Any:
    """Remove private parts from a value: folders of this machine, tokens in addresses."""
    if isinstance(value, Mapping):
        return {name: public(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [public(inner, key) for inner in value]
    if not isinstance(value, str):
        return value
    if "://" in value:
        parts = urlsplit(value)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return PurePosixPath(value).name if key in _PLACES else value


def commit(root: Path | None = None) -> str | None:
    """Return the commit of the checkout that witw runs from, with ``-dirty`` after edits, or None.

    Args:
        root: top folder of the checkout; default: the folder above ``src/witw``.
    """
    root = root or Path(witw.__file__).parents[2]
    if not (root / ".git").exists():  # installed: the version tells it
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed words and the folder of this file
            [*command, "--exclude=*"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _packages() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
