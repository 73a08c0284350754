"""Where an interrupted training goes on from. Kept outside the outputs Snakemake may delete."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from witw import stage
from witw.cvig.distributed import Crew
from witw.cvig.model import load

FOLDER = Path("checkpoints")


def path(spec: dict[str, Any], train: Path, val: Path, sides: tuple[int, ...]) -> Path:
    """Checkpoint of a run, named after all it depends on: no other run goes on from it.

    Args:
        spec: the stage's spec.
        train: folder of the packed training split.
        val: folder of the packed validation split.
        sides: sides of the packed pictures [px].
    """
    digest = hashlib.sha256(json.dumps([spec, list(sides)], sort_keys=True).encode())
    for folder in (train, val):
        digest.update((folder / "pairs.parquet").read_bytes())
    return FOLDER / f"{digest.hexdigest()[:16]}.pt"


def write(where: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically."""
    with stage.atomic(where) as part:
        torch.save(state, part)


def read(where: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        UserError: it is not whole.
    """
    return load(where, device)


@contextmanager
def keeper(
    where: Path, state: Callable[[], dict[str, Any]], minutes: float, crew: Crew | None = None
) -> Iterator[Callable[[], None]]:
    """Yield a function to call between steps: it writes every ``minutes``, and at SIGTERM.

    At SIGTERM (Slurm's and Snakemake's way to stop a job) the step under way is finished first, as
    weights and optimiser must agree; then the state is written and the process exits with 143. Of
    several processes the first one writes; one that is told to stop stops all, after the same step.
    """
    crew = crew or Crew()
    asked: list[int] = []
    last = time.monotonic()

    def note(signum: int, _frame: FrameType | None) -> None:
        asked.append(signum)

    def keep() -> None:
        nonlocal last
        stop = crew.any(bool(asked))
        if crew.first and (stop or time.monotonic() - last >= 60 * minutes):
            write(where, state())
            last = time.monotonic()
        if stop:
            stage.log.info("stopped; the next run goes on from %s", where)
            sys.exit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield keep
        return
    before = signal.signal(signal.SIGTERM, note)
    try:
        yield keep
    finally:
        signal.signal(signal.SIGTERM, before)
