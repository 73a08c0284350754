"""The data set with the splits of one fold of leave-one-city-out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from witw import stage, tables
from witw.cvig.folds import splits

VERSION = 1
READS = ("areas",)


def run(spec: dict[str, Any], fold: str, pairs: Path, out: Path) -> None:
    """Write the pairs with the column ``split`` of a fold.

    Args:
        spec: ``areas``: the city of each AOI.
        fold: name of a fold, see :func:`witw.cvig.folds.folds`.
        pairs: the data set's table.
        out: output, the same table.
    """
    chosen = splits({name: area["city"] for name, area in spec["areas"].items()}, fold)
    table = tables.read(pairs, "pairs")
    tables.write_geo(out, "pairs", table.assign(split=table["aoi"].map(chosen)))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = stage.arguments(
        "resplit", __doc__, inputs=["pairs"], outputs=["out"], values=["fold"], argv=argv
    )
    run(args.spec, args.fold, args.pairs, args.out)


if __name__ == "__main__":
    stage.execute(main)
