"""Estimate a run before it starts: photos, API calls, hours, gigabytes. One call per area."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from witw import config as config_module
from witw import environment
from witw.commands import imagery_size
from witw.commands.estimate import download_hours
from witw.commands.imagery_size import Imagery
from witw.commands.run_plan import Row, RunPlan, run, total
from witw.config import Config
from witw.errors import UserError
from witw.flickr.api.client import Client
from witw.mistakes import yaml_files

# A person waits for the table, so an unavailable service must be reported within a minute.
TRIES = 4


def text(plan: RunPlan) -> str:
    """Format the plan for a person."""
    head = ["aoi", "photos", "listed", "API calls", "hours", "photos GB", "chips GB"]
    head += ["in store", "store GB", "chips", "search"]
    rows = [*plan.rows, *([total(plan.rows)] if len(plan.rows) > 1 else [])]
    lines = _aligned([head, *(_cells(r) for r in rows)])
    paces = download_hours(sum(r.missing_photos for r in plan.rows))
    told = ", ".join(f"{_short(hours)} h at {pace}" for pace, hours in paces.items())
    missing = plan.missing_bytes
    measured = f"the mean of {plan.measured_on:,} photos here"
    verdict = "which is enough" if missing < plan.free_bytes else "WHICH IS NOT ENOUGH"
    return "\n".join(
        [
            *lines,
            "",
            "photos: approximate current count by Flickr, plus the photos of other sources. API "
            f"calls and hours: for a complete search of Flickr at {plan.calls_per_hour:,} calls an "
            "hour.",
            f"Download of the missing photos: {told}; the rate depends on the photo host.",
            f"GB: estimates, in 10^9 bytes, with {plan.bytes_per_photo / 1000:.0f} kB per photo "
            f"({measured if plan.measured_on else 'the default'}) and a chip for every photo.",
            *_imagery(plan.imagery),
            *([f"{plan.training.told} (If every photo is a pair.)"] if plan.training else []),
            f"Disk: about {_gb(missing)} GB more for photos, chips, rasters and packed pairs; the "
            f"disk of the run folder has {_gb(plan.free_bytes)} GB free, {verdict}.",
        ]
    )


def _imagery(found: Imagery) -> list[str]:
    sizes = [_gb(n) for n in (found.remote_bytes, found.local_bytes, found.utm_bytes)]
    return imagery_size.text(found, sizes)


def _cells(r: Row) -> list[str]:
    searched = "finished" if r.listed is not None else "begun" if r.is_begun else "-"
    return [
        r.aoi,
        f"{r.photos:,}",
        "-" if r.listed is None else f"{r.listed:,}",
        f"{r.calls:,}",
        _short(r.hours),
        _gb(r.photo_bytes),
        _gb(r.chip_bytes),
        f"{r.stored:,}",
        _gb(r.stored_bytes),
        f"{r.cut:,}",
        "" if r.aoi == "total" else searched,
    ]


def _gb(size: int) -> str:
    return _short(size / 1e9)


def _short(value: float) -> str:
    """Format a number with two or three significant digits."""
    if 0 < value < 0.01:
        return "<0.01"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Align the cells of a table: words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if n in (0, last) else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]


def as_json(plan: RunPlan) -> str:
    """Return the plan as JSON, with the keys of :class:`RunPlan` and :class:`Row`."""
    data = asdict(plan)
    data["total"] = {k: v for k, v in asdict(total(plan.rows)).items() if k != "aoi"}
    data["download_hours"] = download_hours(sum(r.missing_photos for r in plan.rows))
    data["missing_bytes"] = plan.missing_bytes
    return json.dumps(data, indent=1)


def read_config(path: Path) -> Config:
    """Read and validate a config file.

    Raises:
        UserError: the file is missing, not YAML, or not a valid config; names the file.
    """
    return config_module.load(yaml_files.read(path), path.name)


def choose(config: Config, names: Sequence[str]) -> list[str]:
    """Return the named AOIs, or all, in the config's order.

    Raises:
        UserError: a name is not in the config.
    """
    strange = [name for name in names if name not in config.aois]
    if strange:
        raise UserError(
            f"The config has no area {strange[0]!r}; its areas are {', '.join(config.aois)}."
        )
    return [name for name in config.aois if name in names or not names]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("aois", nargs="*", metavar="AREA", help="areas; default: all")
    parser.add_argument("--configfile", type=Path, help="default: the run folder's config.yaml")
    parser.add_argument("--json", action="store_true", help="print JSON")


def command(args: argparse.Namespace) -> None:
    """Run ``witw plan`` in the run folder."""
    environment.load()
    config = read_config(args.configfile or Path("config.yaml"))
    environment.announce(config)
    aois = choose(config, args.aois)
    imagery = imagery_size.measured(config, aois)
    is_asked = any(config.aois[aoi].has_photos_of("flickr") for aoi in aois)
    try:
        client = Client.from_environment(config.flickr.api_url, TRIES) if is_asked else None
        plan = run(config, aois, client, imagery)
    except UserError:
        if not args.json:  # the imagery needs no key
            print("\n".join(_imagery(imagery)))  # noqa: T201
        raise
    print(as_json(plan) if args.json else text(plan))  # noqa: T201
