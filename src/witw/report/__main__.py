"""Build the report: one self-contained page on photos, pairs, training and scores."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from witw import files, stage, tables
from witw.errors import UserError
from witw.report.page import Sources, render
from witw.report.times import times

VERSION = 7
READS = ("areas",)

log = logging.getLogger(__name__)


def run(
    spec: dict[str, Any],
    pairs: Sequence[Path],
    cells: Sequence[Path],
    searches: Sequence[Path],
    training: Path | None,
    evaluation: Path | None,
    heatmaps: Sequence[Path],
    html: Path,
    mosaics: Sequence[Path] = (),
    logs: Path | None = None,
) -> None:
    """Write the page, which makes no requests and runs no script.

    Args:
        spec: ``areas``, the description of each AOI from the config.
        pairs: tables ``pairs``, one per AOI.
        cells: tables ``cells``, each in a folder named after its AOI.
        searches: summary of each search, in a folder named after its AOI.
        training: JSON lines, one per epoch, or None.
        evaluation: JSON of the scores with chance, or None.
        heatmaps: PNG files, each in a folder named after its AOI.
        html: page to write.
        mosaics: imagery of each AOI, each in a folder named after its AOI.
        logs: folder of the run's logs and benchmarks; None: no times.

    Raises:
        UserError: an input is not readable.
    """
    frames = [tables.read(path, "pairs") for path in pairs]
    sources = Sources(
        areas=spec["areas"],
        pairs=pd.concat([tables.frame("pairs"), *frames], ignore_index=True),
        cells={path.parent.name: tables.read(path, "cells") for path in cells},
        searches={path.parent.name: files.read_json(path) for path in searches},
        epochs=_epochs(training) if training else [],
        evaluation=files.read_json(evaluation) if evaluation else {},
        heatmaps=[(path.parent.name, path.stem, path.read_bytes()) for path in heatmaps],
        mosaics={path.parent.name: path for path in mosaics},
        times=times(logs) if logs else [],
    )
    files.write_text(html, render(sources))
    log.info("%s: %.1f MB", html, html.stat().st_size / 1e6)


def _epochs(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines, one object per epoch."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except ValueError:
        lines = [None]
    if not all(isinstance(line, dict) for line in lines):
        raise UserError(f"{path} is not a file of JSON lines; delete it and run again.")
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    inputs = ["pairs", "cells", "searches", "training", "evaluation", "heatmaps", "mosaics"]
    args = stage.arguments(
        "report", __doc__, inputs, ["html"], many=inputs, optional=["logs"], argv=argv
    )
    run(
        args.spec,
        args.pairs,
        args.cells,
        args.searches,
        next(iter(args.training), None),
        next(iter(args.evaluation), None),
        args.heatmaps,
        args.html,
        args.mosaics,
        args.logs,
    )


if __name__ == "__main__":
    stage.execute(main)
