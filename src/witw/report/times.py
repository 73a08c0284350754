"""Time and memory of each stage, from the benchmarks that Snakemake writes beside the logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from witw.spec import STAGES


def times(logs: Path) -> list[dict[str, Any]]:
    """Return jobs, wall time, CPU time and peak memory of each stage, in the order of the flow.

    Stages without a benchmark take seconds and are left out.

    Args:
        logs: folder of logs, with ``AREA/STAGE/PART.bench.jsonl``, ``AREA/STAGE.bench.jsonl`` or
            ``STAGE.bench.jsonl``.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(logs.rglob("*.bench.jsonl")):
        names = (path.name.removesuffix(".bench.jsonl"), *reversed(path.relative_to(logs).parts))
        stage = next((name for name in names if name in STAGES), None)
        told = _latest(path)
        if stage is None or told is None or "loo" in path.relative_to(logs).parts:
            continue
        row = found.setdefault(stage, {"stage": stage, "jobs": 0, "wall": 0.0, "cpu": 0.0, "mb": 0})
        row["jobs"] += 1
        row["wall"] += told["s"]
        row["cpu"] += told["cpu_time"]
        row["mb"] = max(row["mb"], round(told["max_rss"]))
    return [found[stage] for stage in STAGES if stage in found]


def _latest(path: Path) -> dict[str, float] | None:
    """Return seconds, CPU seconds and memory [MB] of a job's latest run; None without a record."""
    try:
        told = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
        return {key: float(told[key] or 0) for key in ("s", "cpu_time", "max_rss")}
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        return None
