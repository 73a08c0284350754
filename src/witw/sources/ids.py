"""Photos from a list written by `dataset`, to rebuild a colleague's data set exactly.

The list contains all data needed to fetch and credit each photo, so it needs no search and no key.
Each address is followed by the SHA-256 of the file; a different file is rejected (status
`changed`).
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

# Columns of the list: those of table `photos` that a source provides, the photo's fate, and the
# digest of its file, which is empty if there is none.
_OWN = ("cell", "first_seen", "last_seen", "is_gone", "unusable")
COLUMNS = ["aoi", *(name for name in tables.PHOTOS if name not in _OWN), "status", "sha256"]
BLOCK = 8 << 20  # bytes


def listed(source: Source, place: Place) -> Listed:
    """List the photos in the list for an area of this name.

    Args:
        source: ``path``, ``name`` and ``root``.
        place: The area.

    Raises:
        UserError: The file is not such a list, or has no area of this name.
    """
    path = Path(source["path"])
    where = f"Area {place.aoi!r}: the list {path}"
    found = Listed(pd.DataFrame())
    others: set[str] = set()
    kept = []
    with explained(where, "an ids.csv as written by `dataset`"):
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
            f"{where} has no photo of an area with this name; its areas are "
            f"{', '.join(sorted(others))}."
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
                f"{where} lacks the column {lacking[0]!r}; read a list of another form as `photos: "
                "{table: ...}`."
            )
        yield from reader


def photos(rows: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Return rows of table ``photos`` from rows of the list, all as text."""
    root = Path(source["root"] or Path(source["path"]).parent)
    urls = [
        (str(root / url) if is_local(url) else url) + (f"{PIN}{sha256}" if sha256 and url else "")
        for url, sha256 in zip(rows["url"], rows["sha256"], strict=True)
    ]
    # A photo without a file is not requested: it keeps its status.
    unusable = rows["status"].where(rows["sha256"] == "", "")
    out = rows.assign(url=urls, cell=source["name"], is_gone=False, unusable=unusable)
    out[["first_seen", "last_seen"]] = ""
    for name, column in tables.PHOTOS.items():
        if column.dtype in ("Float64", "Int64", "Int16"):
            out[name] = pd.to_numeric(out[name].where(out[name] != "", None))
    return tables.frame("photos", out)


def table(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the list of the photos in a table ``pairs``, sorted by area and id."""
    names = {"url": "photo_page", "photo_url": "url", "photo_sha256": "sha256"}
    return pairs.rename(columns=names)[COLUMNS].sort_values(["aoi", "id"])
