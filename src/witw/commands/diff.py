"""List in one table the jobs that would run, and why: key and both values, file, or version.

The plan is Snakemake's own: this command runs `snakemake -n`, whose Snakefile writes the reason for
each job (:func:`reasons`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from witw.commands.snakefile import snakefile
from witw.errors import UserError
from witw.follow.state import area_of, stage_of
from witw.spec import STAGES

ASKED = "WITW_DIFF"  # path of the file for the reasons
MOST_FILES, MOST_AREAS, MOST_VALUE = 2, 3, 40


def reasons(workflow: Any) -> list[dict[str, Any]]:
    """Return Snakemake's reasons for each job that would run, in the order of the flow.

    Args:
        workflow: Snakemake's workflow object after a dry run.
    """
    dag, found = workflow.dag, []
    for job in sorted(dag.needrun_jobs(exclude_finished=False), key=dag.jobid):
        if job.rule.name == "all":
            continue
        why = dag.reason(job)
        updated = set(map(str, why.updated_input))
        by_jobs = set(map(str, why.updated_input_run))
        makers = {
            other.rule.name
            for other, files in dag.dependencies[job].items()
            if by_jobs & set(map(str, files))
        }
        found.append(
            {
                "rule": job.rule.name,
                "wildcards": dict(job.wildcards_dict),
                "missing": sorted(map(str, why.missing_output)),
                "incomplete": sorted(map(str, why.incomplete_output)),
                "updated": sorted(updated - by_jobs),
                "after": sorted(makers),
                "is_forced": bool(why.forced),
                "is_input_changed": bool(why.input_changed),
                "is_code_changed": bool(why.code_changed),
                "old": sorted(map(str, getattr(why.params_changed, "only_old", ()))),
                "new": sorted(map(str, getattr(why.params_changed, "only_new", ()))),
            }
        )
    return found


def hand_over(workflow: Any) -> None:
    """Write the reasons to the file of `witw diff`; the Snakefile calls this in a dry run."""
    if path := os.environ.get(ASKED):
        Path(path).write_text(json.dumps(reasons(workflow)), encoding="utf-8")


def because(job: Mapping[str, Any]) -> list[str]:
    """Return the reasons for a job; for a downstream job, only the upstream stages."""
    told = changes(job["old"], job["new"])
    if job["is_forced"]:
        told.append("forced")
    if job["updated"]:
        told.append(f"newer input: {_few(job['updated'], MOST_FILES)}")
    if job["is_input_changed"] and not told:
        told.append("another list of input files")
    if job["is_code_changed"]:
        told.append("another command in the rule")
    if told:
        return told
    if job["incomplete"]:
        return ["was interrupted"]
    if job["after"]:
        return [f"after {_few([stage_of(rule) for rule in job['after']], 3)}"]
    if job["missing"]:
        return ["not made yet"]
    return ["its input is rebuilt"]


def changes(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Return the keys that differ between two specs, as ``key: old -> new``."""
    before, now = _flat(_spec(old)), _flat(_spec(new))
    keys = [key for key in [*before, *now] if before.get(key) != now.get(key)]
    return [
        f"{'version of the stage' if key == 'version' else key}: "
        f"{_value(before, key)} -> {_value(now, key)}"
        for key in dict.fromkeys(keys)
        if key != "aoi"
    ]


def _spec(params: Sequence[str]) -> dict[str, Any]:
    """Find the spec among the params that Snakemake recorded as Python literals."""
    for text in params:
        for candidate in (text, text[1:-1].replace("\\\\", "\\").replace("\\'", "'")):
            try:
                found = json.loads(candidate)
            except ValueError:
                continue
            if isinstance(found, dict):
                return found
            if isinstance(found, str):
                return _spec([found])
    return {}


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {path: value} if path else {}
    found: dict[str, Any] = {}
    for key, part in value.items():
        found |= _flat(part, f"{path}.{key}" if path else str(key))
    return found


def _value(flat: Mapping[str, Any], key: str) -> str:
    if key not in flat:
        return "(none)"
    text = json.dumps(flat[key], ensure_ascii=False)
    return text if len(text) <= MOST_VALUE else f"{text[: MOST_VALUE - 3]}..."


def _few(names: Iterable[str], most: int) -> str:
    listed = list(dict.fromkeys(names))
    rest = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {rest} more" if rest > 0 else "")


def rows(jobs: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, str, str]]:
    """Group jobs by stage and reason; each row has stage, number of jobs, areas and reason."""
    order = {stage: number for number, stage in enumerate(STAGES)}
    groups: dict[tuple[str, str], list[str]] = {}
    for job in sorted(jobs, key=lambda job: order.get(stage_of(job["rule"]), len(order))):
        area = "" if not area_of(job["wildcards"]) else job["wildcards"]["aoi"]
        key = (stage_of(job["rule"]), "; ".join(because(job)))
        groups.setdefault(key, []).append(area or "all")
    return [
        (stage, len(areas), _few(areas, MOST_AREAS), why) for (stage, why), areas in groups.items()
    ]


def table(jobs: Sequence[Mapping[str, Any]]) -> str:
    """Format the table for a person."""
    if not jobs:
        return "Nothing would run: everything is up to date."
    found = rows(jobs)
    cells = [("stage", "jobs", "areas", "because"), *((s, f"{n:,}", a, w) for s, n, a, w in found)]
    widths = [max(len(row[k]) for row in cells) for k in range(3)]
    lines = [
        f"{s.ljust(widths[0])}  {n.rjust(widths[1])}  {a.ljust(widths[2])}  {w}"
        for s, n, a, w in cells
    ]
    return "\n".join([*lines, "", f"{len(jobs):,} jobs would run."])


def run(options: Sequence[str]) -> list[dict[str, Any]]:
    """Return the jobs that `snakemake OPTIONS` would run in the working directory.

    Raises:
        UserError: snakemake fails; carries its message.
    """
    named = any(re.match(r"-s$|--snakefile", word) for word in options)
    place = [] if named else ["--snakefile", str(snakefile())]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "reasons.json")
        done = subprocess.run(  # noqa: S603 - the user's own options to the user's own snakemake
            [sys.executable, "-m", "snakemake", *options, *place, "--dry-run", "--quiet=rules"],
            env=os.environ | {ASKED: str(path)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"snakemake ended with {done.returncode}"]
            told = [line.removeprefix("witw: ") for line in said if line.startswith("witw: ")]
            raise UserError("\n".join(told or said[-5:]))
        # If no job would run, Snakemake exits before it writes the reasons.
        if not path.exists():
            return []
        found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print JSON, one object per job")
    parser.usage = "witw diff [--directory DIRECTORY] [--json] [OPTIONS OF SNAKEMAKE]"


def command(args: argparse.Namespace) -> None:
    """Run ``witw diff`` in the run folder."""
    jobs = run(args.options)
    print(json.dumps(jobs, indent=1) if args.json else table(jobs))  # noqa: T201
