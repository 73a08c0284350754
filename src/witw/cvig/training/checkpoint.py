"""Save and resume a training; reuse the result of an identical finished one.

Checkpoints are stored outside the outputs, which Snakemake deletes before a job. A job that reruns
on the same pairs, because an upstream job reran, reuses the stored result instead of training for
hours.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from witw import files, stage
from witw.cvig.network.model import load
from witw.cvig.training.distributed import Processes
from witw.errors import UserError

FOLDER = Path("checkpoints")
# The longest delay until a node sees the files of another node on a shared disk [s].
LATE_S = 120.0
RESULT = "result.json"  # SHA-256 of each stored output


def path(
    spec: dict[str, Any],
    train: Path,
    val: Path,
    sides: tuple[int, ...],
    weights: Path | None = None,
) -> Path:
    """Return a run's checkpoint path, named by a digest of all dependencies of the run.

    The packed tables identify every picture's bytes (``photo_crc``, ``chip_crc``).

    Args:
        spec: the stage's spec.
        train: folder of the packed training split.
        val: folder of the packed validation split.
        sides: sides of the packed pictures [px].
        weights: file of the backbones' initial weights.
    """
    digest = hashlib.sha256(json.dumps([spec, list(sides)], sort_keys=True).encode())
    for folder in (train, val):
        digest.update((folder / "pairs.parquet").read_bytes())
    if weights is not None:
        digest.update(files.sha256(weights).encode())
    return FOLDER / f"{digest.hexdigest()[:16]}.pt"


def write(where: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically."""
    with files.atomic(where) as part:
        torch.save(state, part)


def read(where: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        UserError: the checkpoint is damaged.
    """
    return load(where, device)


def is_found(saved: Path, processes: Processes) -> bool:
    """Return whether there is a checkpoint; wait until all processes see the same one.

    Raises:
        UserError: they do not see the same, nor the same pairs that it is named after.
    """
    there = processes.broadcast(_seen(saved))
    until = time.monotonic() + LATE_S
    while (own := _seen(saved)) != there and time.monotonic() < until:
        time.sleep(1)
    if processes.any(own != there):
        raise UserError(
            f"The nodes of this training do not see the same {FOLDER.resolve()} and the same "
            "packed pairs: the run folder must lie on a disk that all of them share."
        )
    return bool(there[1])


def _seen(saved: Path) -> tuple[str, int, int]:
    """Return name, size and time of a checkpoint; the last two are 0 where there is none."""
    try:
        found = saved.stat()
    except FileNotFoundError:
        return saved.name, 0, 0
    return saved.name, found.st_size, found.st_mtime_ns


def beside(saved: Path) -> Path:
    """Return the folder of a run's events and, after its end, its result."""
    return saved.with_suffix("")


def keep_result(saved: Path, outputs: Sequence[Path]) -> None:
    """Store copies of the outputs of a finished run with the checkpoint ``saved``.

    Copies of the same outputs from earlier runs are removed.
    """
    for other in FOLDER.glob(f"*/{RESULT}"):
        if _kept(other).keys() == {str(path) for path in outputs}:
            for name in (RESULT, *(path.name for path in outputs)):
                (other.parent / name).unlink(missing_ok=True)
    for output in outputs:
        _copy(output, beside(saved) / output.name)
    digests = {str(path): files.sha256(path) for path in outputs}
    files.write_json(beside(saved) / RESULT, digests)
    saved.unlink(missing_ok=True)


def put_back(saved: Path, outputs: Sequence[Path]) -> bool:
    """Restore the outputs from the stored copies; return False if these are incomplete."""
    copies = {str(path): beside(saved) / path.name for path in outputs}
    if not all(copy.exists() for copy in copies.values()):
        return False
    if _kept(beside(saved) / RESULT) != {k: files.sha256(copy) for k, copy in copies.items()}:
        return False
    for path, copy in zip(outputs, copies.values(), strict=True):
        _copy(copy, path)
    return True


def _kept(result: Path) -> dict[str, str]:
    """Return the SHA-256 of each stored output beside ``result``; empty if that is damaged."""
    try:
        found = files.read_json(result)
    except (FileNotFoundError, UserError):
        return {}
    return found if isinstance(found, dict) else {}


def _copy(source: Path, target: Path) -> None:
    with files.atomic(target) as part:
        shutil.copyfile(source, part)


@contextmanager
def keeper(
    where: Path,
    state: Callable[[], dict[str, Any]],
    minutes: float,
    processes: Processes | None = None,
) -> Iterator[Callable[[], None]]:
    """Yield a function to call between steps: it saves every ``minutes``, and at SIGTERM.

    At SIGTERM (sent by Slurm and Snakemake to stop a job), the current step is finished first,
    because weights and optimiser must agree. Then the state is written, and the process exits with
    143. Of several processes, only the first writes; a signal to one stops all after the same step.
    """
    processes = processes or Processes()
    asked: list[int] = []
    last = time.monotonic()

    def note(signum: int, _frame: FrameType | None) -> None:
        asked.append(signum)

    def keep() -> None:
        nonlocal last
        stop = processes.any(bool(asked))
        if processes.first and (stop or time.monotonic() - last >= 60 * minutes):
            write(where, state())
            last = time.monotonic()
        if stop and processes.first:
            stage.log.info("stopped; the next run goes on from %s", where)
        if stop:
            sys.exit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield keep
        return
    before = signal.signal(signal.SIGTERM, note)
    try:
        yield keep
    finally:
        signal.signal(signal.SIGTERM, before)
