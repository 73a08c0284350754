"""Write one shareable file with a trained network, its calibration, figures and sources.

`witw locate` and the config's `model:` need only this file. docs/locate.md describes its content.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from witw import __version__, files, stage, tables
from witw.cvig.network.model import Model
from witw.errors import UserError
from witw.status import Status

VERSION = 1
READS = ("areas", "train")

LEARNT = ("train", "val")  # splits that shape the weights: by gradients, by the choice of the epoch
PACKAGES = ("torch", "torchvision", "timm", "safetensors")
# Large, for charts alone.
_LEFT_OUT = ("curve", "histogram")


def run(spec: dict[str, Any], model: Path, evaluation: Path, pairs: Path, out: Path) -> Model:
    """Write the model file.

    Args:
        spec: ``areas``, the description of each AOI from the config, and section ``train``.
        model: output of ``train``.
        evaluation: output of ``evaluate`` for this model.
        pairs: table ``pairs`` of all AOIs.
        out: output, see :mod:`witw.cvig.network.model_file`.

    Returns:
        The model with its facts.

    Raises:
        UserError: an input is not readable.
    """
    told = files.read_json(evaluation)
    if not isinstance(told, dict) or "calibration" not in told:
        raise UserError(f"{evaluation} is not an evaluation; delete it and run again.")
    rows = tables.read(pairs, "pairs")
    rows = rows[rows["status"] == Status.PAIRED]
    areas = {name: _area(area, rows[rows["aoi"] == name]) for name, area in spec["areas"].items()}
    figures = {name: told[name] for name in ("protocols", "heading") if name in told}
    assured = {name: told[name] for name in ("presence", "reliability", "usual") if name in told}
    learnt = rows[rows["split"].isin(LEARNT)]
    facts = {
        "calibration": told["calibration"],
        **assured,
        "figures": _without_charts(figures),
        "areas": areas,
        "licences": licences(areas, learnt),
        "settings": spec["train"],
        "versions": {
            "witw": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
    }
    whole = replace(Model.load(model, torch.device("cpu")), facts=facts)
    whole.save(out)
    return whole


def _area(told: Mapping[str, Any], rows: pd.DataFrame) -> dict[str, Any]:
    return {
        **{name: told[name] for name in ("city", "split", "satellite", "imagery_license")},
        "bbox_deg": list(told["bbox_deg"]),
        "snapshot": told["snapshot"],
        "pairs": len(rows),
        "photographers": int(rows["owner"].nunique()),
    }


def licences(areas: Mapping[str, Mapping[str, Any]], learnt: pd.DataFrame) -> dict[str, Any]:
    """Return the licences of the training data, and the resulting licence of the weights.

    Args:
        areas: description of each area.
        learnt: pairs that influenced the weights.

    Returns:
        ``imagery``: licence -> areas; ``photos``: licence -> pairs; ``weights``: an SPDX id;
        ``reason``: a sentence.
    """
    imagery: dict[str, list[str]] = {}
    for name, area in sorted(areas.items()):
        if area["split"] in LEARNT:
            imagery.setdefault(area["imagery_license"] or "not stated", []).append(name)
    counts = learnt["license"].fillna("not stated").value_counts()
    photos = {str(name): int(count) for name, count in sorted(counts.items())}
    used = [area for area in areas.values() if area["split"] in LEARNT]
    if used and all(area["satellite"] == tables.MADE for area in used):
        weights, reason = "CC0-1.0", "Everything the network learned from was drawn by a program."
    else:
        limited = sum(count for name, count in photos.items() if _is_non_commercial(name))
        weights = "CC-BY-NC-SA-4.0" if limited else "CC-BY-SA-4.0"
        reason = (
            "Whether weights are an adaptation of what they were learned from is not settled, so "
            "they are shared as the strictest of their sources asks: "
            f"{limited:,} of {sum(photos.values()):,} photos forbid commercial use, and imagery is "
            f"under {', '.join(imagery) or 'no stated licence'}."
        )
    return {"imagery": imagery, "photos": photos, "weights": weights, "reason": reason}


def _is_non_commercial(name: str) -> bool:
    text = name.lower().replace("-", "")
    return "noncommercial" in text or "bync" in text.replace(" ", "")


def _without_charts(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_charts(v) for k, v in value.items() if k not in _LEFT_OUT}
    return value


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    args = stage.arguments(
        "release", __doc__, inputs=["model", "evaluation", "pairs"], outputs=["out"], argv=argv
    )
    run(args.spec, args.model, args.evaluation, args.pairs, args.out)


if __name__ == "__main__":
    stage.execute(main)
