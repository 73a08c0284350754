"""Show a run on a screen of any size: a table of areas, running jobs and failures."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from witw.follow import jobs
from witw.follow.state import COLUMNS, Failure, Job, State, Tally

FEWEST_ROWS = 3  # areas shown on even the smallest screen
LEAST_S = 20.0  # a smaller lower bound is not worth showing
MOST_JOBS, MOST_FAILURES = 6, 4


def duration(seconds: float) -> str:
    """Format a duration in at most two units, such as ``2 h 05 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def time_left(state: State, now: float) -> str:
    """Describe the time left; '' if no estimate exists."""
    if state.outcome or not state.began:
        return ""
    told, unknown = state.left(now)
    # A bar that counts its own steps is more accurate than the stage's mean.
    own = [jobs.seconds_left(job.log) or 0.0 for job in state.running.values()]
    longest = max(own, default=0.0)
    untimed = [s for s in unknown if s not in {job.stage for job in state.running.values()}]
    seconds = max(told or 0.0, longest)
    if unknown and (untimed or not longest):
        # These stages have no timed job and may take most of the time.
        return f"at least {duration(seconds)} left" if seconds > LEAST_S else ""
    return f"about {duration(seconds)} left"


def headline(state: State, now: float) -> str:
    """Summarize the run in a line: jobs, share, time, failures."""
    share = 100 * state.done / state.total if state.total else 0
    parts = [f"{state.done:,} of {state.total:,} jobs ({share:.0f} %)"]
    parts.append(duration((state.latest if state.outcome else now) - state.began))
    if failures := len(state.failed):
        parts.append(f"{failures} failed")
    parts += filter(None, [time_left(state, now)])
    return ", ".join(parts)


def screen(state: State, now: float, height: int = 200) -> RenderableType:
    """Render the whole run, no higher than the screen.

    Args:
        state: State of the run.
        now: Current time [s since 1970].
        height: Number of lines on the screen.
    """
    running = sorted(state.running.values(), key=lambda job: job.began)
    failed = list(state.failed.values())
    around = 8 + min(len(running), MOST_JOBS + 1) + 2 * min(len(failed), MOST_FAILURES + 1)
    rows = max(FEWEST_ROWS, height - around)
    parts: list[RenderableType] = [Text(headline(state, now), style="bold"), *_areas(state, rows)]
    if later := state.later():
        parts.append(_line("all areas", [f"{s} {_cell(t)}" for s, t in later.items()]))
    parts += _running(running, now, "at work" if not state.outcome else "was at work")
    parts += _failures(failed)
    return Group(*parts)


def _line(label: str, words: Sequence[str]) -> Text:
    return Text.assemble((f"{label}: ", "dim"), " · ".join(words))


def _areas(state: State, rows: int) -> list[RenderableType]:
    """Return the table of areas; if it is too long, show active ones and count the others."""
    areas, note = state.areas(), []
    if len(areas) > rows:
        sums = {a: sum((state.column(a, name) for name in COLUMNS), Tally()) for a in areas}
        finished = [a for a in areas if sums[a].done == sums[a].total]
        idle = [a for a in areas if a not in finished and not sums[a].running | sums[a].failed]
        idle = [a for a in idle if not sums[a].done]
        busy = [a for a in areas if a not in finished and a not in idle]
        shown = busy[:rows]
        hidden = [f"{len(finished)} finished", f"{len(busy) - len(shown)} more running"]
        note = [_line("areas not shown", [*hidden, f"{len(idle)} not started"])]
        areas = shown
    if not areas:
        return [*note]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("area")
    columns = [name for name in COLUMNS if any(state.column(a, name).total for a in areas)]
    for name in columns:
        table.add_column(name, justify="right")
    for area in areas:
        cells = [_styled(state.column(area, name)) for name in columns]
        table.add_row(area, *cells)
    return [table, *note]


def _cell(tally: Tally) -> str:
    if not tally.total:
        return "-"
    if tally.failed:
        return f"{tally.failed} failed"
    if tally.done == tally.total:
        return "done"
    if tally.total == 1:
        return "runs" if tally.running else "waits"
    return f"{tally.done}/{tally.total}" if tally.done or tally.running else "waits"


def _styled(tally: Tally) -> Text:
    style = "green" if tally.total and tally.done == tally.total else "dim"
    style = "bold red" if tally.failed else "cyan" if tally.running else style
    return Text(_cell(tally), style=style)


def _running(running: Sequence[Job], now: float, label: str) -> list[RenderableType]:
    if not running:
        return []
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", style="dim")
    for job in running[:MOST_JOBS]:
        table.add_row(job.says, duration(now - job.began), jobs.latest(job.log))
    rest = len(running) - MOST_JOBS
    more = [Text(f"and {rest} more", style="dim")] if rest > 0 else []
    return [Text(f"{label}:", style="dim"), table, *more]


def _failures(failed: Sequence[Failure]) -> list[RenderableType]:
    lines = [failure_text(failure) for failure in failed[:MOST_FAILURES]]
    rest = len(failed) - MOST_FAILURES
    more = [Text(f"and {rest} more failed", style="red")] if rest > 0 else []
    return [*lines, *more]


def failure_text(failure: Failure) -> Text:
    """Render a failure: the job, its error sentence and its log."""
    job = failure.job
    where = f" ({job.log})" if job.log else ""
    told = failure.sentence.removeprefix("witw: ")
    return Text.assemble((f"failed: {job.says}: ", "bold red"), told, (where, "dim"))


def plain(state: State, now: float, width: int = 100) -> str:
    """Render the screen as text, for a pipe or a file."""
    console = Console(width=width, color_system=None, force_terminal=False, highlight=False)
    with console.capture() as capture:
        console.print(screen(state, now))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
