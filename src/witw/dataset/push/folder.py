"""The files of a data set or an export, with their SHA-256."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from witw import files, stage
from witw.dataset.exports import IDS
from witw.errors import UserError

PAIRS = "pairs.parquet"
_THREADS = 8
# Data comes first; tables and cards at the top, which lead to it, come last.
_DATA = (".jpg", ".tar")


class File(NamedTuple):
    """A file of the folder.

    Attributes:
        bytes: its size.
        sha256: of its content.
    """

    bytes: int
    sha256: str


def kind(folder: Path) -> str:
    """Return ``dataset``, or the name of an export.

    Raises:
        UserError: the folder is neither, or does not exist.
    """
    if (folder / PAIRS).is_file():
        return "dataset"
    if (folder / IDS).is_file():
        return folder.name
    made = f"export_{folder.name}" if folder.parent.name == "export" else "dataset"
    if not folder.is_dir() and folder.name != "dataset" and folder.parent.name != "export":
        raise UserError(f"There is no folder {folder}; correct --from.")
    raise UserError(
        f"{folder} is neither a data set nor an export of one; make it with `snakemake --cores 4 "
        f"{made}`, or give the folder with --from."
    )


def scan(folder: Path) -> dict[str, File]:
    """Return the files of a folder by relative path, without hidden files.

    The SHA-256 of photos and chips is that of the data set's table; other files are read.

    Raises:
        UserError: a photo or chip of the table is missing, or a link leads nowhere.
    """
    sizes = dict(_sizes(folder))
    known = _known(folder)
    if missing := sorted(known.keys() - sizes.keys()):
        raise UserError(
            f"{folder / missing[0]} is missing, though {PAIRS} lists it; delete {folder} and run "
            "`snakemake` again."
        )
    rest = sorted(sizes.keys() - known.keys())
    with ThreadPoolExecutor(_THREADS) as pool:
        digests = pool.map(files.sha256, [folder / path for path in rest], chunksize=64)
        known |= dict(zip(stage.progress(rest, "Comparing"), digests, strict=True))
    return {path: File(sizes[path], known[path]) for path in sorted(sizes)}


def is_last(path: str) -> bool:
    """Return whether a file is a table, a card or an index, which appears after the data."""
    return "/" not in path and not path.endswith(_DATA)


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    for top, below, names in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                path = Path(top, name)
                try:
                    yield path.relative_to(folder).as_posix(), path.stat().st_size
                except FileNotFoundError:
                    raise UserError(
                        f"{path} is a link that leads nowhere, or was deleted meanwhile; delete "
                        "it, or push again."
                    ) from None


def _known(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the data set's photos and chips by path.

    Raises:
        UserError: the table is not readable.
    """
    table = folder / PAIRS
    if not table.is_file():
        return {}
    names = ["photo_path", "photo_sha256", "chip_path", "chip_sha256"]
    try:
        rows: pd.DataFrame = pq.read_table(table, columns=names).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{table} is not a readable table; delete it and run again.") from error
    found: dict[str, str] = {}
    for path, digest in (names[:2], names[2:]):
        own = rows[[path, digest]].dropna()
        found |= dict(zip(own[path], own[digest], strict=True))
    return found
