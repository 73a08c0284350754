"""Erase photos from all that a run made of them: files, packed pictures, exports, rows."""

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

# Below results/: made anew as a whole by the next run, or on request, as they mix many photos.
EXPORTS = "export"
PAGES = ("report", "locate")
CARD = ("README.md", "example.jpg")  # of the data set: a picture of one pair, and whose it is


def erase(results: Path, ids: Collection[str], tables: Iterable[Path]) -> dict[str, int]:
    """Erase photos below ``results/``; what is left is right but for sums and pictures of all.

    Tables that name owners go last, so that a command that is interrupted finds the rest again.

    Args:
        results: the folder.
        ids: of the photos.
        tables: Parquet files that have rows of them.

    Returns:
        How many files, packs, exports and pages were removed, and rows of tables.
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
    # Their pictures and maps may show any photo.
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
    """Packed splits whose table has a row of the photos, or is gone."""
    found = {path.parent for path in results.rglob("pictures.arrow")}
    return sorted(p for p in found if p / "pairs.parquet" in tables or not _has_table(p))


def _has_table(pack: Path) -> bool:
    return (pack / "pairs.parquet").is_file()


def _of_photos(folder: Path, ids: set[str]) -> Iterator[Path]:
    """Files named after photos: chips, and photos of the data set."""
    for path in folder.rglob("*"):
        if path.name.lstrip(".").split(".")[0] in ids and path.is_file():
            yield path


def _names(export: Path, ids: set[str]) -> bool:
    """Whether an export may hold one of the photos: its list of ids tells."""
    listed = export / "ids.txt"
    if not listed.is_file():  # not whole
        return True
    return not ids.isdisjoint(listed.read_text(encoding="utf-8").split())


def _rewrite_csv(path: Path, ids: set[str]) -> int:
    """Take rows out of a CSV file with a column ``id``; how many."""
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
    """Take rows out of a Parquet file; how many.

    Raises:
        UserError: it is not readable.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} is not a readable table; delete it and do this again.") from error
    gone = pc.is_in(table["id"].cast(pa.string()), value_set=pa.array(sorted(ids)))
    kept = table.filter(pc.invert(gone))
    with files.atomic(path) as part:
        pq.write_table(kept, part, compression="zstd", write_page_checksum=True)
    return len(table) - len(kept)
