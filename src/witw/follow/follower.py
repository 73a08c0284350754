"""Turn Snakemake's log records into the record of the run and its display."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from witw.errors import printable
from witw.follow import events, jobs, lines, view
from witw.follow.state import State, area_of, replay, stage_of

# Messages of Snakemake that only belong in its log file.
UNTOLD = (
    "Building DAG of jobs",
    "Using shell",
    "Assuming unrestricted shared filesystem",
    "Singularity containers: ignored",
    "Select jobs to execute",
)
LOOK_S = 1.0  # interval of printed lines and heartbeats
MOST_REPEATED = 10  # failures repeated at the end


class Follower:
    """Handles log records one at a time.

    Args:
        is_shown: If False, only the record is written, because Snakemake prints its own messages.
    """

    def __init__(self, is_shown: bool) -> None:
        self.state = State()
        self._is_shown = is_shown
        self._record: events.Record | None = None
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._lines = lines.Lines(self.state)
        self._lock = threading.RLock()
        self._over = threading.Event()

    def take(self, record: logging.LogRecord) -> None:
        """Handle one log record of Snakemake."""
        kind = str(getattr(record, "event", None) or "")
        handler = getattr(self, f"_on_{kind}", None)
        with self._lock:
            if handler:
                handler(record)
            elif kind in ("", "error"):
                self._pass_on(record)

    def _pass_on(self, record: logging.LogRecord) -> None:
        text = record.getMessage().strip()
        is_due = record.levelno >= logging.WARNING or text.startswith("Complete log")
        if text in ("", "None") or text.startswith(UNTOLD) or (self._record and not is_due):
            return
        self._say(Text(printable(text), style="red" if record.levelno >= logging.ERROR else ""))

    def _on_job_info(self, record: Any) -> None:
        if record.rule_name == "all":
            return
        self._begin()
        says = (record.rule_msg or f"rule {record.rule_name}").splitlines()[0]
        where = {"stage": stage_of(record.rule_name), "area": area_of(dict(record.wildcards))}
        log = str(next(iter(record.log), ""))
        self._add("start", job=record.jobid, says=printable(says), log=log, **where)

    def _on_job_finished(self, record: Any) -> None:
        job = self.state.running.get(record.job_id)
        self._add("finish", job=record.job_id)
        if job and not self._live and (line := lines.joint(job, time.time())):
            self._print(line)

    def _on_job_error(self, record: Any) -> None:
        self._begin()
        number = record.jobid
        told = jobs.sentence([str(path) for path in record.log])
        self._add("error", job=number, sentence=told)
        if failed := self.state.failed.get(number):
            if self._live:
                self._say(view.failure_text(failed))
            else:
                self._print(lines.failure(failed))

    def _on_progress(self, record: Any) -> None:
        self._add("progress", done=record.done, total=record.total)

    def _begin(self) -> None:
        """Open the record and the display at the first job, when this run owns the folder."""
        if self._record:
            return
        self._record = events.Record(events.RECORD, _known_durations())
        self.state.apply(self._record.began)
        if plan := events.plan():
            self._add("plan", jobs=plan)
        if self._is_shown and self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console, get_renderable=self._screen, refresh_per_second=2
            )
            self._live.start()
        elif self._is_shown:
            self._print(lines.first(self.state))
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            with self._lock:
                if self._record is None or self._over.is_set():
                    return
                self._record.beat()
                if not self._live and (line := self._lines.due(time.time())):
                    self._print(line)

    def _screen(self) -> RenderableType:
        with self._lock:
            return view.screen(self.state, time.time(), self._console.height)

    def _add(self, event: str, **more: Any) -> None:
        entry = {"event": event, "time": time.time(), **more}
        self.state.apply(entry)
        if self._record:
            self._record.add(entry)

    def _say(self, text: Text) -> None:
        if self._is_shown:
            self._console.print(text, soft_wrap=True)

    def _print(self, line: str) -> None:
        if self._is_shown and not self._live:
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    def close(self) -> None:
        """Close the record and report how the run ended."""
        with self._lock:
            if self._record is None or self._over.is_set():
                return
            self._over.set()
            is_whole = self.state.done >= self.state.total
            outcome = "failed" if self.state.failed else "finished" if is_whole else "stopped"
            self._add("end", outcome=outcome)
            self._record.close()
        # The display's thread takes the lock when it draws.
        if self._live:
            self._live.stop()
        self._print(lines.last(self.state, time.time()))
        for failed in list(self.state.failed.values())[:MOST_REPEATED]:
            self._print(lines.failure(failed))


def _known_durations() -> dict[str, float]:
    """Return the mean durations recorded by the folder's earlier run [s]."""
    with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
        return replay(events.read(events.RECORD)).durations()
    return {}
