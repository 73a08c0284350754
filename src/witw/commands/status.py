"""Show the state of a run from its folder alone, also of a killed run or one on another machine."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path

from witw.errors import UserError
from witw.follow import events, view
from witw.follow.state import COLUMNS, State, replay

LOCK = Path(".snakemake", "witw.lock")
SILENT_S = 4 * events.HEARTBEAT_S  # silence after which a run on another machine counts as silent

SAID = {
    "running": "running on {host} (process {pid}) since {began}",
    "finished": "finished at {latest}",
    "failed": "ended at {latest} with failed jobs; the same command tries them again",
    "stopped": "stopped at {latest}; the same command continues it",
    "killed": "killed after {latest}; the same command continues it",
    "silent": "no sign of life from {host} for {silent}: killed, or unreachable",
}


def condition(state: State, folder: Path, now: float) -> str:
    """Return the condition of a run, a key of :data:`SAID`.

    Args:
        state: state from the run's record.
        folder: run folder.
        now: current time, seconds since 1970.
    """
    if state.outcome:
        return state.outcome
    if _is_locked(folder / LOCK):
        return "running"
    is_fresh = now - (folder / events.RECORD).stat().st_mtime < SILENT_S
    if state.host != platform.node():
        return "running" if is_fresh else "silent"
    # A run without hooks holds no lock.
    return "running" if is_fresh and _is_alive(state.pid) else "killed"


def _is_locked(path: Path) -> bool:
    try:
        with path.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A zombie process has ended.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


def run(folder: Path, now: float) -> tuple[State, str]:
    """Return the state of the latest run in a folder, and its condition.

    Raises:
        UserError: no run has started a job there.
    """
    path = folder / events.RECORD
    if not path.is_file():
        raise UserError(
            f"{folder.resolve()} has no record of a run: no job has started here, or snakemake "
            "did not use witw's profile (`logger: witw`); give the run folder with --directory."
        )
    state = replay(events.read(path))
    if not state.began:
        raise UserError(f"{path} is damaged; the next run writes it again.")
    return state, condition(state, folder, now)


def text(state: State, found: str, folder: Path, now: float) -> str:
    """Format the state for a person."""
    silent = now - (folder / events.RECORD).stat().st_mtime
    latest = _clock(state.latest)
    words = {"host": state.host, "pid": state.pid, "began": _clock(state.began)}
    said = SAID[found].format(**words, latest=latest, silent=view.duration(silent))
    if found != "running" and not state.outcome:
        state.outcome, now = found, state.latest  # nothing runs, so no time is left
    return f"{folder.resolve()}: {said}\n{view.plain(state, now)}"


def as_json(state: State, found: str) -> str:
    """Return the state as JSON."""
    data = {"condition": found, "host": state.host, "pid": state.pid, "began": state.began}
    data |= {"latest": state.latest, "total": state.total, "done": state.done}
    data["areas"] = {
        area: {name: asdict(state.column(area, name)) for name in COLUMNS} for area in state.areas()
    }
    data["all_areas"] = {stage: asdict(tally) for stage, tally in state.later().items()}
    data["running"] = [asdict(job) for job in state.running.values()]
    data["failed"] = [asdict(failed) for failed in state.failed.values()]
    return json.dumps(data, indent=1)


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def command(args: argparse.Namespace) -> None:
    """Run ``witw status`` in the run folder."""
    now, folder = time.time(), Path()
    state, found = run(folder, now)
    print(as_json(state, found) if args.json else text(state, found, folder, now))  # noqa: T201
