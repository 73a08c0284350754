"""Write the data set with the splits of one fold of leave-one-city-out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from witw import stage, tables
from witw.cvig.folds import splits
from witw.dataset.overlap import exclude
from witw.ground import shapes
from witw.mistakes.areas import check_apart

VERSION = 2
READS = ("areas", "dataset.shared")


def run(spec: dict[str, Any], fold: str, pairs: Path, out: Path) -> None:
    """Write the pairs with the column ``split`` of a fold.

    Args:
        spec: ``areas`` (city and box of each AOI) and ``dataset.shared``.
        fold: name of a fold, see :func:`witw.cvig.folds.folds`.
        pairs: the data set's table.
        out: output, the same table.

    Raises:
        UserError: areas of different splits overlap.
    """
    areas = spec["areas"]
    chosen = splits({name: area["city"] for name, area in areas.items()}, fold)
    grounds = {name: shapes.ground({"aoi": name, **area}) for name, area in areas.items()}
    check_apart(grounds, chosen, f"Fold {fold!r}")
    table = tables.read(pairs, "pairs")
    table["split"] = table["aoi"].map(chosen)
    table["status"] = exclude(table, spec["dataset"]["shared"])
    # Its paths are relative to its own folder too.
    to = os.path.relpath(pairs.parent, out.parent)
    for name in ("photo_path", "chip_path"):
        table[name] = to + "/" + table[name]
    tables.write_geo(out, "pairs", table)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    args = stage.arguments(
        "resplit", __doc__, inputs=["pairs"], outputs=["out"], values=["fold"], argv=argv
    )
    run(args.spec, args.fold, args.pairs, args.out)


if __name__ == "__main__":
    stage.execute(main)
