"""Read a job's log: its latest line, and the error sentence of a failed job."""

from __future__ import annotations

import re
from pathlib import Path

from witw.errors import printable

TAIL_BYTES = 8192
_LEFT = re.compile(r"<((?:\d+:)?\d+:\d\d)")  # tqdm: [elapsed<left, rate]
_CLOCK = re.compile(r"^\d\d:\d\d:\d\d ")


def tail(path: str) -> list[str]:
    """Return the last non-empty lines of a log; an empty list if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    lines = (line.rsplit("\r", 1)[-1].strip() for line in text.splitlines())
    return [printable(line) for line in lines if line]


def latest(path: str) -> str:
    """Return the latest line of a log without its time stamp; of a bar, only the figures."""
    lines = [_CLOCK.sub("", line) for line in tail(path)]
    # A training logs each epoch as JSON between the lines of its bar.
    told = [line for line in lines if not line.startswith("{")]
    return shorten(told[-1]) if told else ""


def shorten(line: str) -> str:
    """Strip label and bar from a line of tqdm to save width; return other lines unchanged.

    ``train:  41%|####1     | 82/200 [00:31<00:44, 2.6step/s, loss=2.1]`` becomes ``41 %, 82/200,
    2.6step/s, loss=2.1, 00:44 left``.
    """
    found = re.search(r"(\d+)%\|[^|]*\| *(\S+) \[[\d:?]+<([\d:?]+), *(.*?)\]?$", line)
    if found:
        share, count, left, rest = found.groups()
        return f"{share} %, {count}, {rest}" + (f", {left} left" if "?" not in left else "")
    found = re.search(r"^(?:.*: )?(\S+ ?\S*) \[([\d:]+), *(.*?)\]?$", line)
    return f"{found[1]}, {found[3]}" if found else line


def seconds_left(path: str) -> float | None:
    """Return the time left [s] according to the job's own bar; None without a bar."""
    found = [match for line in tail(path)[-3:] for match in _LEFT.findall(line)]
    if not found:
        return None
    parts = [int(part) for part in found[-1].split(":")]
    return float(sum(part * 60**n for n, part in enumerate(reversed(parts))))


def sentence(paths: list[str]) -> str:
    """Return the message of a failed job: its ``witw: ...`` line, else its last line."""
    for path in paths:
        lines = tail(path)
        told = [line for line in lines if line.startswith("witw: ")]
        if told or lines:
            return told[-1] if told else lines[-1]
    return "the job left no log"
