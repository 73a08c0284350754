"""The record of a run: a JSON object a line, in the run folder, for whoever asks how it goes.

Each line is on the disk before the next event is handled, so that a run that is killed leaves all
of it. `witw status` reads it; nothing else depends on it.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

RECORD = Path(".snakemake", "witw", "run.jsonl")
HEARTBEAT_S = 15.0  # the file's time is renewed this often, event or not

# Set by the Snakefile before the first job: rule, wildcards and whether it is to run, of every job.
_plan: list[tuple[str, dict[str, str], bool]] = []


def set_plan(jobs: Iterable[tuple[str, dict[str, str], bool]]) -> None:
    """Keep the plan of the run in this process, for the record that is begun at its first job."""
    _plan[:] = jobs


def plan() -> list[tuple[str, dict[str, str], bool]]:
    """The plan; empty where the Snakefile's hooks are off."""
    return list(_plan)


class Record:
    """The record of a run, written by the run."""

    def __init__(self, path: Path, known: dict[str, float]) -> None:
        """Begin a new record.

        Args:
            path: file to write; what an earlier run left there is replaced.
            known: mean duration of a job of each stage in earlier runs [s].
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = path.open("w", encoding="utf-8")
        self._path = path
        self._touched = time.monotonic()
        host = {"host": platform.node(), "pid": os.getpid(), "folder": str(Path.cwd())}
        self.began = {"event": "begin", "time": time.time(), **host, "known": known}
        self._write(self.began)

    def add(self, event: dict[str, Any]) -> None:
        """Append an event."""
        self._write(event)

    def beat(self) -> None:
        """Renew the file's time: a sign of life for those on other machines."""
        if time.monotonic() - self._touched >= HEARTBEAT_S:
            self._touched = time.monotonic()
            os.utime(self._path)

    def close(self) -> None:
        """End the record; further events are an error."""
        self._file.close()

    def _write(self, event: dict[str, Any]) -> None:
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Events of a record; a line that was cut off by a kill is left out."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event
