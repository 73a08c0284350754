"""Effects of the filters, for the report: outdoor votes, blank fractions, examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from witw.report import charts
from witw.report.samples import Sample, sample
from witw.status import Status

VOTES = 10  # the vote is a share of ten scenes
BLANK_PCT = (0.0, 1.0, 5.0, 25.0, 100.0)  # upper ends of the classes
NEAR = 4  # photos shown on either side of the threshold


def outdoor(pairs: pd.DataFrame) -> dict[str, Any]:
    """Count indoor and outdoor photos by outdoor vote; empty if no photo was scored.

    Args:
        pairs: ``io_vote`` (share of outdoor scenes among the ten likeliest), ``status``.
    """
    scored = pairs[pairs["io_vote"].notna()]
    if scored.empty:
        return {}
    step = (scored["io_vote"].astype(float) * VOTES).round().astype(int).clip(0, VOTES)
    inside = (scored["status"] == Status.INDOOR).to_numpy()
    counts = [
        (int((step[inside] == n).sum()), int((step[~inside] == n).sum())) for n in range(VOTES + 1)
    ]
    return {
        "chart": charts.two_bars(
            [f"{n}" for n in range(VOTES + 1)],
            counts,
            ("indoor", "outdoor"),
            "Photos by outdoor scenes among the ten likeliest",
        ),
        "rows": [(n, *pair) for n, pair in enumerate(counts)],
        "indoor": int(inside.sum()),
        "outdoor": int((~inside).sum()),
    }


def near_threshold(pairs: pd.DataFrame, count: int = NEAR) -> list[tuple[str, Sample]]:
    """Choose the photos nearest to the threshold, equally many on each side."""
    scored = pairs[pairs["io_vote"].notna()]
    inside = scored["status"] == Status.INDOOR
    order = ["io_vote", "p_outdoor", "id"]
    last_in = scored[inside].sort_values(order, ascending=[False, False, True])
    first_out = scored[~inside].sort_values(order)
    found = []
    for label, rows in (("indoor", last_in), ("outdoor", first_out)):
        shown = 0
        for row in rows.head(5 * count).to_dict("records"):
            if shown < count and (one := sample(row, chip=False)):
                vote = round(VOTES * float(row["io_vote"]))
                found.append((f"{label}, {vote} of {VOTES} scenes are outdoor", one))
                shown += 1
    return found


def blanks(pairs: pd.DataFrame) -> list[dict[str, Any]]:
    """Count chips by their share without imagery: one row per class of :data:`BLANK_PCT`."""
    share = 100 * pairs["blank_fraction"].dropna().astype(float)
    rows, low = [], -np.inf
    for high in BLANK_PCT:
        part = pairs.loc[share[(share > low) & (share <= high)].index]
        label = "none" if high == 0 else f"up to {high:g} %"
        paired = int((part["status"] == Status.PAIRED).sum())
        rows.append({"label": label, "chips": len(part), "paired": paired})
        low = high
    return rows if len(share) else []
