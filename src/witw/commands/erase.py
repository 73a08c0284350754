"""Erase photos from all results of a run: files, packed pictures, exports, table rows."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from witw import files
from witw.errors import UserError

# Below results/: these mix many photos, so they are deleted as a whole, and rebuilt by the next run
# or on request.
EXPORTS = "export"
PAGES = ("report", "locate")
CARD = ("README.md", "example.jpg")  # of the data set: they show one pair and its author


def erase(results: Path, ids: Collection[str], tables: Iterable[Path]) -> dict[str, int]:
    """Erase photos below ``results/``; the remaining files are correct except for totals.

    Tables that name owners are rewritten last, so an interrupted command finds the rest again.

    Args:
        results: the folder ``results/``.
        ids: ids of the photos.
        tables: Parquet files with rows of the photos.

    Returns:
        The numbers of files, packs, exports, pages and table rows that were removed.
    """
    chosen, done = set(ids), dict.fromkeys(("files", "packs", "exports", "pages", "rows"), 0)
    held = sorted(tables, key=lambda path: "owner" in pq.read_schema(path).names)
    for pack in _packs(results, held):
        shutil.rmtree(pack)
        done["packs"] += 1
    for export in sorted((results / EXPORTS).glob("*")):
        if export.is_dir() and _names(export, chosen):
            shutil.rmtree(export)
            done["exports"] += 1
    # Pages may show any photo.
    for name in PAGES if held else ():
        if (results / name).is_dir():
            shutil.rmtree(results / name)
            done["pages"] += 1
    for name in CARD if held else ():
        (results / "dataset" / name).unlink(missing_ok=True)
    for path in _of_photos(results, chosen):
        path.unlink()
        done["files"] += 1
    for path in sorted(results.rglob("*.csv")):
        done["rows"] += _rewrite_csv(path, chosen)
    for path in held:
        if path.is_file():
            done["rows"] += _rewrite(path, chosen)
    return done


def _packs(results: Path, tables: Collection[Path]) -> list[Path]:
    """Return the packed splits whose table is missing or has a row of the photos."""
    found = {path.parent for path in results.rglob("pictures.arrow")}
    return sorted(p for p in found if p / "pairs.parquet" in tables or not _has_table(p))


def _has_table(pack: Path) -> bool:
    return (pack / "pairs.parquet").is_file()


def _of_photos(folder: Path, ids: set[str]) -> Iterator[Path]:
    """Yield files named after photos: chips, and photos of the data set."""
    for path in folder.rglob("*"):
        if path.name.lstrip(".").split(".")[0] in ids and path.is_file():
            yield path


def _names(export: Path, ids: set[str]) -> bool:
    """Return whether an export may contain one of the photos, by its list of ids."""
    listed = export / "ids.txt"
    if not listed.is_file():  # an incomplete export
        return True
    return not ids.isdisjoint(listed.read_text(encoding="utf-8").split())


def _rewrite_csv(path: Path, ids: set[str]) -> int:
    """Remove rows from a CSV file with a column ``id``; return their number."""
    with path.open(encoding="utf-8") as file:
        header = file.readline().rstrip("\n").split(",")
    if "id" not in header:
        return 0
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    kept = rows[~rows["id"].isin(ids)]
    if len(kept) < len(rows):
        files.write_text(path, kept.to_csv(index=False, lineterminator="\n"))
    return len(rows) - len(kept)


def _rewrite(path: Path, ids: set[str]) -> int:
    """Remove rows from a Parquet file; return their number.

    Raises:
        UserError: the file is not readable.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is not a readable table; delete the file and repeat the command."
        ) from error
    gone = pc.is_in(table["id"].cast(pa.string()), value_set=pa.array(sorted(ids)))
    kept = table.filter(pc.invert(gone))
    with files.atomic(path) as part:
        pq.write_table(kept, part, compression="zstd", write_page_checksum=True)
    return len(table) - len(kept)
