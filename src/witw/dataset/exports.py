"""Shared by all exports: the choice, order and division of the pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from witw import files, tables
from witw.dataset.overlap import SPLITS
from witw.errors import UserError
from witw.status import Status

IDS = "ids.txt"  # lists the photos of an export, for `witw forget`


def chosen(pairs: Path) -> pd.DataFrame:
    """Return the data set's pairs, each photo once, with paths from the working folder.

    As in the pack, a photo of several areas counts for the first of ``test``, ``val`` and
    ``train``, and within this split for the first area by name.

    Args:
        pairs: the data set's table.

    Returns:
        Rows of table ``pairs``, sorted by id, text without nulls.

    Raises:
        UserError: the data set has no pair.
    """
    rows = tables.read(pairs, "pairs")
    rows = rows[rows["status"] == Status.PAIRED]
    rank = rows["split"].map({name: n for n, name in enumerate(SPLITS)})
    rows = rows.assign(rank=rank).sort_values(["rank", "aoi", "id"]).drop_duplicates("id")
    if rows.empty:
        raise UserError(f"{pairs} has no pair to export.")
    rows = rows.drop(columns="rank").sort_values("id", ignore_index=True)
    for kind in ("photo", "chip"):
        rows[f"{kind}_path"] = [str(pairs.parent / path) for path in rows[f"{kind}_path"]]
    text = [name for name, column in tables.PAIRS.items() if column.dtype == "string"]
    rows[text] = rows[text].fillna("")
    return rows


def mixed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in the order of a hash of their ids, which mixes areas in a stream."""
    keys = [hashlib.sha1(str(i).encode(), usedforsecurity=False).digest() for i in rows["id"]]
    order = sorted(range(len(rows)), key=keys.__getitem__)
    return rows.iloc[order].reset_index(drop=True)


def parts(rows: pd.DataFrame, most: int) -> Iterator[pd.DataFrame]:
    """Cut rows into parts whose pictures take at most ``most`` bytes, or that have one row.

    Raises:
        UserError: a picture is missing.
    """
    start = size = 0
    for at, paths in enumerate(zip(rows["photo_path"], rows["chip_path"], strict=True)):
        own = sum(_size(Path(path)) for path in paths)
        if size + own > most and at > start:
            yield rows.iloc[start:at]
            start, size = at, 0
        size += own
    yield rows.iloc[start:]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        raise UserError(f"{path} is missing; delete results/dataset and run again.") from None


def note_ids(folder: Path, rows: pd.DataFrame) -> None:
    """Write the ids of an export's photos."""
    files.write_text(folder / IDS, "".join(f"{i}\n" for i in sorted(rows["id"])))
