"""Report a run as plain lines where there is no terminal, sparse enough even for hours."""

from __future__ import annotations

import time

from witw.follow import jobs
from witw.follow.state import Failure, Job, State
from witw.follow.view import headline

# Least time between lines [s]: in the first two minutes, in the next eight, and so on.
PACES = ((120.0, 30.0), (600.0, 120.0), (7200.0, 240.0), (float("inf"), 600.0))
TOLD = ("train", "evaluate", "report")  # joint jobs that are reported even if they are short
LEAST_S = 10.0


class Lines:
    """Decides when the next line is due."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._told_at = 0.0

    def due(self, now: float) -> str:
        """Return the line to print now; '' if none is due."""
        state, elapsed = self._state, now - self._state.began
        self._told_at = self._told_at or state.began
        pace = next(pace for until, pace in PACES if elapsed < until)
        if not state.total or now - self._told_at < pace:
            return ""
        self._told_at = now
        return f"{_clock(now)}  {headline(state, now)}{self._longest(now)}"

    def _longest(self, now: float) -> str:
        """Return the longest-running job with its latest log line."""
        running = sorted(self._state.running.values(), key=lambda job: job.began)
        if not running:
            return ""
        job, rest = running[0], len(running) - 1
        told = jobs.latest(job.log)
        more = f" (and {rest} more)" if rest else ""
        return f"; {job.says}{f': {told}' if told else ''}{more}"


def first(state: State) -> str:
    """Return the line for the start of a run."""
    if not state.is_planned:
        return f"{_clock(state.began)}  the first job begins"
    areas, jobs_ = len(state.areas()), state.total
    where = f" in {areas} area{'s' * (areas != 1)}" if areas else ""
    return f"{_clock(state.began)}  {jobs_:,} job{'s' * (jobs_ != 1)} to run{where}"


def joint(job: Job, now: float) -> str:
    """Return the line for a finished joint job; '' for a short one."""
    if job.area or (job.stage not in TOLD and now - job.began < LEAST_S):
        return ""
    told = jobs.latest(job.log) if job.stage == "train" else ""
    return f"{_clock(now)}  {job.says}: done in {now - job.began:.0f} s{told and f'; {told}'}"


def failure(failed: Failure) -> str:
    """Return the lines for a failure: the job and its log, then its error sentence."""
    where = f" ({failed.job.log})" if failed.job.log else ""
    return f"FAILED  {failed.job.says}{where}\n    {failed.sentence}"


def last(state: State, now: float) -> str:
    """Return the line for the end of a run."""
    return f"{_clock(now)}  {state.outcome}: {headline(state, now)}"


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))
