"""Run the demo: build synthetic cities, serve them as Flickr, run the workflow, summarize.

``python -m witw.demo --dir demo-run --cores 2``; a second run continues an interrupted one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from witw import stage
from witw.commands.snakefile import snakefile
from witw.demo.build import CITIES, JUDGED, PHOTOS, build, served
from witw.demo.city.cities import City
from witw.demo.fake_flickr.server import FlickrServer
from witw.environment import KEY
from witw.status import STATUS_MEANING, Status

# The stand-in accepts any key; this one is valid nowhere else.
MADE_KEY = "0123456789abcdef0123456789abcdef"


def snakemake(run_dir: Path, cores: int, targets: Sequence[str]) -> int:
    """Run the workflow in a run folder, with its output on the terminal.

    Returns:
        Exit status of Snakemake.

    Raises:
        UserError: The package was installed without the workflow.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile())]
    command += ["--directory", str(run_dir), "--cores", str(cores)]
    # With many small cities, parallel jobs use a core better than threads within a job.
    command += ["--set-threads", "chips=1", "scenes=1", "stats=1", "utm=1", "--", *targets]
    # Several jobs share the cores: threads that spin while waiting would block the others.
    made = {KEY: MADE_KEY, "OMP_WAIT_POLICY": "PASSIVE"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, **made, "PATH": path}
    return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603


def summary(run_dir: Path, cities: Sequence[City], server: FlickrServer) -> str:
    """Describe the cities, the model's scores next to chance, and the files to open."""
    results = run_dir / "results"
    splits = pd.Series([city.split for city in cities]).value_counts()
    lines = [
        "",
        f"{len(cities)} synthetic cities ("
        + ", ".join(f"{splits[name]} {name}" for name in ("train", "val", "test") if name in splits)
        + f"); the Flickr stand-in has {len(server.catalog.photos)} photos",
    ]
    union = results / "dataset" / "pairs.parquet"
    if union.is_file():
        pairs = pd.read_parquet(union, columns=["status"])
        lines += ["", f"{len(pairs):7d} photos listed with an open licence, of these"]
        counts = pairs["status"].value_counts()
        for status in Status:
            if counts.get(status, 0):
                lines.append(f"{counts[status]:7d}   {status:<12} {STATUS_MEANING[status]}")
    metrics = results / "evaluation" / "metrics.json"
    if metrics.is_file():
        lines += ["", *_scores(json.loads(metrics.read_text(encoding="utf-8")))]
    lines += ["", "To open:"]
    shown = [results / "report" / "report.html", results / "dataset" / "README.md"]
    shown += sorted(results.glob("locate/*/answers/answer.html"))
    lines += [f"  {path}" for path in shown if path.is_file()]
    return "\n".join([*lines, *_next(run_dir, cities)])


def _next(run_dir: Path, cities: Sequence[City]) -> list[str]:
    """Suggest next steps, as commands that work in the current folder."""
    command = f"{Path(sys.executable).parent / 'witw'}"
    if Path(command).is_relative_to(Path.cwd()):
        command = str(Path(command).relative_to(Path.cwd()))
    train = next(city.name for city in cities if city.split == "train")
    return [
        "",
        "To try next:",
        *_locating(run_dir, command),
        f"  {command} status --directory {run_dir}",
        f"  (add `chips: {{jpeg_quality: 80}}` to {train} in {run_dir / 'config.yaml'})",
        f"  {command} diff --directory {run_dir}   # shows which jobs would run, and why",
        "  README.md, Your own photos and area    # the same with your own data",
    ]


def _locating(run_dir: Path, command: str) -> list[str]:
    """Return two commands: locate the test city's best photo, and open the answer."""
    ranks = run_dir / "results" / "evaluation" / "ranks.parquet"
    if not ranks.is_file():
        return []
    best = pd.read_parquet(ranks).sort_values(["rank", "id"]).iloc[0]
    rows = pd.read_parquet(run_dir / "results" / best["aoi"] / "pairs.parquet")
    photo = rows.loc[rows["id"] == best["id"], "photo_path"].iloc[0]
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    return [
        f"  {command} locate {run_dir / photo} --directory {run_dir} --area {best['aoi']}",
        f"  {opener} located/answer.html",
    ]


def _scores(metrics: dict[str, dict[str, dict[str, float | dict[str, float]]]]) -> list[str]:
    chips = metrics["protocols"]["chips"]
    chance = chips["chance"]
    assert isinstance(chance, dict)
    lines = [
        f"Unseen city, {chips['n']} photos: where was each taken?",
        f"{'':23}model chance",
    ]
    rows = {
        "recall_at_1": ("right at once", "%"),
        "recall_at_5": ("among the first 5", "%"),
        "recall_at_10": ("among the first 10", "%"),
        "median_percentile": ("median rank", "% of the city"),
    }
    for key, (label, unit) in rows.items():
        if key in chips and key in chance:
            ours, luck = (float(v[key]) for v in (chips, chance))  # type: ignore[arg-type]
            lines.append(f"  {label:<20} {ours:5.1f}  {luck:5.1f} {unit}")
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Run the demo from the command line."""
    parser = argparse.ArgumentParser(description="Run the whole workflow on synthetic cities.")
    parser.add_argument("--dir", type=Path, default=Path("demo-run"), help="run folder")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 2, help="number of cores")
    parser.add_argument("--cities", type=int, default=CITIES, help="made cities")
    parser.add_argument("--photos", type=int, default=PHOTOS, help="photos per training city")
    parser.add_argument(
        "--judged", type=int, default=JUDGED, help="photos per validation or test city"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all synthetic data")
    parser.add_argument("--port", type=int, help="port of the Flickr stand-in")
    parser.add_argument("targets", nargs="*", help="files to build; default: all")
    args = parser.parse_args(argv)
    cities = build(
        args.dir,
        cities=args.cities,
        photos=args.photos,
        judged=args.judged,
        seed=args.seed,
        cores=args.cores,
        port=args.port,
    )
    with served(args.dir) as server:
        status = snakemake(args.dir, args.cores, args.targets)
        print(summary(args.dir, cities, server))  # noqa: T201
    sys.exit(status)


if __name__ == "__main__":
    stage.execute(main)
