"""Write the table of leave-one-city-out: each city is tested by a model that never saw it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from witw import files, stage
from witw.cvig.metrics import Metric
from witw.cvig.scoring.intervals import intervals
from witw.errors import UserError

VERSION = 2
READS = ("areas",)

# Column -> protocol and name of the figure in an evaluation.
COLUMNS = {
    "median_percentile": ("chips", "median_percentile"),
    "recall_at_1pct": ("chips", "recall_at_1pct"),
    "recall_at_10": ("chips", "recall_at_10"),
    "recall_at_1_within_50m": ("grid", "recall_at_1_within_50m"),
    "recall_at_10_within_50m": ("grid", "recall_at_10_within_50m"),
    "median_area_pct": ("grid", "median_area_pct"),
}


def run(spec: dict[str, Any], evaluations: Sequence[Path], csv: Path, markdown: Path) -> None:
    """Collect the figures of the folds.

    Args:
        spec: ``areas``, the city of each AOI.
        evaluations: JSON of one evaluation per fold, each in a folder named after its fold.
        csv: output: ``city``, ``photos``, and for each figure its value, ``_low``, ``_high`` (the
            interval) and ``_chance``; last rows: mean and standard deviation over the cities. With
            enough cities, the mean has an interval from the spread of the cities.
        markdown: output, the same table for people.

    Raises:
        UserError: a file is not an evaluation.
    """
    rows = [_row(spec["areas"][path.parent.name]["city"], path) for path in evaluations]
    table = pd.DataFrame(rows).sort_values("city", ignore_index=True)
    figures = table.drop(columns=["city", "photos"])
    spread = [
        {"city": "mean", "photos": table["photos"].sum(), **_mean(figures)},
        {"city": "standard deviation", **figures[list(COLUMNS)].std(ddof=1).to_dict()},
    ]
    whole = pd.concat([table, pd.DataFrame(spread)], ignore_index=True).round(4)
    whole["photos"] = whole["photos"].astype("Int64")
    files.write_text(csv, whole.to_csv(index=False))
    files.write_text(markdown, _markdown(whole))


def _mean(figures: pd.DataFrame) -> dict[str, float]:
    """Return the means over the cities, with intervals from the spread of the cities."""
    values = {name: Metric(figures[name].to_numpy(np.float64)) for name in COLUMNS}
    found = intervals(values, np.arange(len(figures)))
    out = figures[[*COLUMNS, *(f"{name}_chance" for name in COLUMNS)]].mean().to_dict()
    for name in COLUMNS:
        out[f"{name}_low"], out[f"{name}_high"] = found.get(name, (np.nan, np.nan))
    return {str(key): value for key, value in out.items()}


def _row(city: str, path: Path) -> dict[str, Any]:
    told = files.read_json(path)
    try:
        row: dict[str, Any] = {"city": city, "photos": told["protocols"]["chips"]["n"]}
        for column, (protocol, name) in COLUMNS.items():
            figures = told["protocols"][protocol]
            low, high = figures["interval"].get(name, (np.nan, np.nan))
            row |= {column: figures[name], f"{column}_low": low, f"{column}_high": high}
            row[f"{column}_chance"] = figures["chance"][name]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not an evaluation; delete it and run again.") from error
    return row


def _markdown(table: pd.DataFrame) -> str:
    """Format values, intervals and chance as a Markdown table."""
    lines = ["| city | photos | " + " | ".join(c.replace("_", " ") for c in COLUMNS) + " |"]
    lines.append("|---|---:|" + "---:|" * len(COLUMNS))
    for row in table.to_dict("records"):
        cells = [_cell(row, column) for column in COLUMNS]
        photos = "" if pd.isna(row["photos"]) else f"{row['photos']:,}"
        lines.append(f"| {row['city']} | {photos} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(row: dict[Any, Any], column: str) -> str:
    low, high, chance = (row[f"{column}_{end}"] for end in ("low", "high", "chance"))
    interval = "" if pd.isna(low) else f" ({low:.1f} to {high:.1f})"
    return f"{row[column]:.1f}{interval}" + ("" if pd.isna(chance) else f", chance {chance:.1f}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    args = stage.arguments(
        "leave_one_out",
        __doc__,
        inputs=["evaluations"],
        outputs=["csv", "markdown"],
        many=["evaluations"],
        argv=argv,
    )
    run(args.spec, args.evaluations, args.csv, args.markdown)


if __name__ == "__main__":
    stage.execute(main)
