"""Fetch the model that the config names by an ``hf://`` address into ``models/``."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from witw import files, stage
from witw.locating import hub

VERSION = 1
READS = ("model",)


def run(spec: dict[str, Any], file: Path) -> None:
    """Fetch the model.

    Raises:
        UserError: it cannot be fetched, or is none.
    """
    found = hub.fetch(spec["model"])
    with files.atomic(file) as part:
        shutil.copyfile(found, part)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    args = stage.arguments("fetch_model", __doc__, outputs=["file"], argv=argv)
    run(args.spec, args.file)


if __name__ == "__main__":
    stage.execute(main)
