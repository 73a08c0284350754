"""Photos of a list that `dataset` wrote, so that a colleague's data set is built again exactly.

The list holds what is needed to fetch each photo and to credit it, so no search and no key. Behind
each address stands the SHA-256 of the file; another file is refused (status `changed`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

from witw import tables
from witw.errors import UserError
from witw.sources.base import PIN, Listed, Place, Source, is_local
from witw.sources.table import explained

# The columns of the list: those of table `photos` that a source tells, what became of the photo,
# and its file's digest, which is empty for one without a file.
_OWN = ("cell", "first_seen", "last_seen", "is_gone", "unusable")
COLUMNS = ["aoi", *(name for name in tables.PHOTOS if name not in _OWN), "status", "sha256"]
BLOCK = 8 << 20  # bytes


def listed(source: Source, place: Place) -> Listed:
    """List the photos that the list has for an area of this name.

    Args:
        source: ``path``, ``name`` and ``root``.
        place: the area.

    Raises:
        UserError: it is no such list, or has nothing for an area of this name.
    """
    path = Path(source["path"])
    where = f"Area {place.aoi!r}: the list {path}"
    found = Listed(pd.DataFrame())
    others: set[str] = set()
    kept = []
    with explained(where, "an ids.csv as `dataset` writes it"):
        for batch in _batches(path, where):
            rows = batch.to_pandas()
            ours = rows["aoi"] == place.aoi
            others |= set(rows["aoi"][~ours])
            found.read += len(rows)
            kept.append(rows[ours])
    rows = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=COLUMNS)
    found.outside = found.read - len(rows)
    if not len(rows):
        raise UserError(
            f"{where} has no photo of an area of that name; it has {', '.join(sorted(others))}."
        )
    found.rows = photos(rows, source)
    return found


def _batches(path: Path, where: str) -> Iterator[pa.RecordBatch]:
    convert = pa_csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()))
    options = pa_csv.ReadOptions(block_size=BLOCK), pa_csv.ParseOptions(newlines_in_values=True)
    with pa_csv.open_csv(path, *options, convert) as reader:
        lacking = [name for name in COLUMNS if name not in reader.schema.names]
        if lacking:
            raise UserError(
                f"{where} lacks the column {lacking[0]!r}; a list of another form is read as "
                "`photos: {table: ...}`."
            )
        yield from reader


def photos(rows: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Rows of table ``photos`` from those of the list, all text."""
    root = Path(source["root"] or Path(source["path"]).parent)
    urls = [
        (str(root / url) if is_local(url) else url) + (f"{PIN}{sha256}" if sha256 and url else "")
        for url, sha256 in zip(rows["url"], rows["sha256"], strict=True)
    ]
    # One that had no file then is not asked for: it keeps its status.
    unusable = rows["status"].where(rows["sha256"] == "", "")
    out = rows.assign(url=urls, cell=source["name"], is_gone=False, unusable=unusable)
    out[["first_seen", "last_seen"]] = ""
    for name, column in tables.PHOTOS.items():
        if column.dtype in ("Float64", "Int64", "Int16"):
            out[name] = pd.to_numeric(out[name].where(out[name] != "", None))
    return tables.frame("photos", out)


def table(pairs: pd.DataFrame) -> pd.DataFrame:
    """The list of the photos of a table ``pairs``, sorted by area and id."""
    names = {"url": "photo_page", "photo_url": "url", "photo_sha256": "sha256"}
    return pairs.rename(columns=names)[COLUMNS].sort_values(["aoi", "id"])
