"""Plot an evaluation with chance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from witw import files
from witw.cvig import metrics

FOUND, GUESSED = "#c2410c", "#64748b"


def draw(
    rank: NDArray[np.int64], gallery: NDArray[np.int64], told: Mapping[str, Any], path: Path
) -> None:
    """Plot recall against the share of the area searched, and recall at k of the chips.

    Args:
        rank: ``(Q,)`` of protocol ``chips``.
        gallery: ``(Q,)``.
        told: ``protocols`` of the evaluation.
        path: output PNG.
    """
    figure = Figure(figsize=(10.4, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    curve, grid, chips = told["grid"]["curve"], told["grid"], told["chips"]
    _pair(left, curve["area_pct"], curve["recall"], curve["chance"])
    left.set(xlim=(0, 100), ylim=(0, 100))
    left.set_xscale("symlog", linthresh=0.1)
    left.set_xticks([0, 0.1, 1, 10, 100], ["0", "0.1", "1", "10", "100"])
    left.set(xlabel="share of the area searched, best cells first [%]")
    left.set_ylabel("geotag within 50 m of a cell searched [%]")
    half = f"half found in {grid['median_area_pct']:.2g} % of the area"
    left.set_title(f"{half} (chance {grid['chance']['median_area_pct']:.2g} %)")
    largest = int(gallery.max())
    ks = np.unique(np.geomspace(1, largest, 200).round().astype(np.int64))
    _pair(right, ks, *metrics.curve(rank, gallery, ks))
    right.set(xscale="log", xlim=(1, max(2, largest)), ylim=(0, 100))
    right.set(xlabel="k (chips looked at)", ylabel="own chip among the best k [%]")
    middle = f"median percentile {chips['median_percentile']:.1f} (chance 50)"
    right.set_title(middle)
    names = ", ".join(sorted(chips["areas"]))
    figure.suptitle(f"{chips['n']} photos of {names}, never seen in training", fontsize=11)
    with files.atomic(path) as part:
        # matplotlib writes its version and the like into the file unless told not to.
        figure.savefig(part, dpi=150, metadata={"Software": None})


def _pair(axes: Axes, xs: Any, found: Any, guessed: Any) -> None:
    """Draw two curves: the model's and that of chance."""
    axes.plot(xs, found, color=FOUND, linewidth=2.2, label="this model")
    axes.plot(xs, guessed, color=GUESSED, linewidth=1.6, linestyle="--", label="chance")
    axes.fill_between(xs, guessed, found, color=FOUND, alpha=0.10, linewidth=0)
    axes.grid(alpha=0.25, which="both", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.title.set_fontsize(10)
    axes.legend(frameon=False, loc="best")
