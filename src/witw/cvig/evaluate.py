"""Rank the test areas' chips for each of their photos; chance stands beside every figure.

Protocol ``chips``: the gallery is the area's own chips, one a photo, as the original project
scored Paris.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from witw import stage, tables
from witw.cvig import metrics, search
from witw.cvig.batches import Packed
from witw.cvig.model import Model, device

VERSION = 1
READS = ()


def run(
    model_path: Path, test_dir: Path, metrics_path: Path, ranks: Path, plot: Path, threads: int = 1
) -> dict[str, Any]:
    """Score a model on areas it has never seen.

    Args:
        model_path: ``model.pt``.
        test_dir: packed test split.
        metrics_path: output JSON: ``protocols.chips`` with the figures of
            :func:`witw.cvig.metrics.summary`, ``chance`` and ``areas`` (the same for each area).
        ranks: output, table ``ranks``.
        plot: output, recall at k against chance.
        threads: CPU threads.

    Returns:
        What ``metrics_path`` holds.
    """
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    where = device()
    model, test = Model.load(model_path, where), Packed.open(test_dir)
    found = search.find(search.encode(model.network, test, where), test.areas)
    rows = test.table[["id", "aoi"]].assign(
        rank=found.rank, gallery=found.gallery, heading_deg=found.heading_deg.round(2)
    )
    tables.write(ranks, "ranks", rows)
    values = {"model": about(model), "protocols": {"chips": figures(found, test)}}
    stage.write_json(metrics_path, values)
    draw(found, values["protocols"]["chips"], plot)
    return values


def about(model: Model) -> dict[str, Any]:
    """What the figures are of."""
    shape = model.network.shape
    return {
        "epoch": model.epoch,
        "val": model.val,
        "temperature": model.temperature,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "chip_m": shape.chip_m,
        "headings": shape.headings,
    }


def figures(found: search.Found, test: Packed) -> dict[str, Any]:
    """Figures of all photos, of chance, and of each area."""
    names = test.table["aoi"].to_numpy(dtype=str)
    areas = {}
    for name in np.unique(names):
        rank, gallery = found.rank[names == name], found.gallery[names == name]
        areas[str(name)] = metrics.summary(rank, gallery) | {"chance": metrics.chance(gallery)}
    return {
        **metrics.summary(found.rank, found.gallery),
        "chance": metrics.chance(found.gallery),
        "areas": areas,
    }


def draw(found: search.Found, chips: dict[str, Any], path: Path) -> None:
    """Plot recall at k, k from 1 to the gallery's size, against chance."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    largest = int(found.gallery.max())
    ks = np.unique(np.geomspace(1, largest, 200).round().astype(np.int64))
    recall, guess = metrics.curve(found.rank, found.gallery, ks)
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    axes.plot(ks, recall, color="#c2410c", linewidth=2.2, label="this model")
    axes.plot(ks, guess, color="#64748b", linewidth=1.6, linestyle="--", label="chance")
    axes.fill_between(ks, guess, recall, color="#c2410c", alpha=0.10, linewidth=0)
    names = ", ".join(sorted(chips["areas"]))
    axes.set(xscale="log", xlim=(1, max(2, largest)), ylim=(0, 100))
    axes.set(xlabel="k (chips looked at)", ylabel="own chip among the best k [%]")
    axes.set_title(
        f"{chips['n']} photos of {names}, never seen in training\n"
        f"median percentile {chips['median_percentile']:.1f} (chance 50)",
        fontsize=10.5,
        loc="left",
    )
    axes.grid(alpha=0.25, which="both", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    with stage.atomic(path) as part:
        # matplotlib writes its version and the like into the file unless told not to.
        figure.savefig(part, dpi=150, metadata={"Software": None})
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = stage.arguments(
        "evaluate",
        __doc__,
        inputs=["model", "test"],
        outputs=["metrics", "ranks", "plot"],
        argv=argv,
    )
    run(args.model, args.test, args.metrics, args.ranks, args.plot, args.threads)


if __name__ == "__main__":
    stage.execute(main)
