"""The event record of a run: one JSON object per line, in the run folder.

Each line is on disk before the next event is handled, so a killed run leaves a complete record.
Only `witw status` reads it.
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
HEARTBEAT_S = 15.0  # the file's modification time is renewed at this interval even without events

# Rule, wildcards and whether to run, for every job; set by the Snakefile before the first job.
_plan: list[tuple[str, dict[str, str], bool]] = []


def set_plan(jobs: Iterable[tuple[str, dict[str, str], bool]]) -> None:
    """Keep the plan of the run in this process, for the record that starts with its first job."""
    _plan[:] = jobs


def plan() -> list[tuple[str, dict[str, str], bool]]:
    """Return the plan; empty if the Snakefile's hooks are off."""
    return list(_plan)


class Record:
    """The event record, as written by the run."""

    def __init__(self, path: Path, known: dict[str, float]) -> None:
        """Start a new record.

        Args:
            path: File to write; it replaces the record of an earlier run.
            known: Mean job duration of each stage in earlier runs [s].
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
        """Renew the file's modification time, as a sign of life for other machines."""
        if time.monotonic() - self._touched >= HEARTBEAT_S:
            self._touched = time.monotonic()
            os.utime(self._path)

    def close(self) -> None:
        """Close the record; adding events afterwards is an error."""
        self._file.close()

    def _write(self, event: dict[str, Any]) -> None:
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a record, without a last line cut off by a kill."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event
