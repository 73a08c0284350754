"""Photos from a table: CSV, Parquet, GeoPackage or another vector file.

The table is read in batches and only rows in the area are kept, which bounds the memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from witw import stage
from witw.errors import UserError, one_line
from witw.sources import columns
from witw.sources.base import PIN, Listed, Place, Source, chosen, complete, ids, is_local

BLOCK = 8 << 20  # bytes of a CSV file per batch
BATCH = 1 << 16  # rows of another file per batch
CSV = (".csv", ".tsv", ".txt", ".gz", ".bz2")
_COMMA = re.compile(r"^\s*([+-]?\d{1,3}),(\d+)\s*$")
_NO_FILE = "neither path nor address"
_TWICE = "a duplicate id"


@dataclass(frozen=True)
class Table:
    """A table that can be read in batches.

    Attributes:
        names: Its columns, without geometries.
        geometry: Column of point geometries (WKB), or ''.
        crs: CRS of the geometries.
        read: Reads batches of some columns.
    """

    names: list[str]
    geometry: str
    crs: Any
    read: Callable[[list[str]], Iterator[pa.RecordBatch]]


def listed(source: Source, place: Place) -> Listed:
    """List the rows of a table that lie in the area or have no valid position.

    Args:
        source: ``path``, ``name``, ``license``, ``owner``, ``root`` and ``columns``.
        place: The area.

    Raises:
        UserError: The file cannot be read, or lacks a required column.
    """
    path = Path(source["path"])
    where = f"Area {place.aoi!r}: the table {path}"
    found = Listed(pd.DataFrame())
    kept: list[pd.DataFrame] = []
    with explained(where):
        table = opened(path)
        use = columns.found(table.names, source["columns"], where, bool(table.geometry))
        needed = {*use.values(), table.geometry} - {""}
        batches = table.read([name for name in (*table.names, table.geometry) if name in needed])
        for batch in stage.progress(batches, f"{place.aoi}: {path.name}"):
            lon, lat = positions(batch, use, table)
            wanted, _ = chosen(place, lon, lat)
            found.read += len(lon)
            found.outside += int((~wanted).sum())
            if wanted.any():
                rows = batch.filter(pa.array(wanted))
                kept.append(_rows(rows, use).assign(lon=lon[wanted], lat=lat[wanted]))
    rows = pd.concat([pd.DataFrame({"id": [], "path": []}, dtype=str), *kept], ignore_index=True)
    local = rows["path"].fillna("")
    rows["url"] = addresses(rows, Path(source["root"] or path.parent))
    no_file = rows["url"] == ""
    # A photo without an id is identified by its path or address, as given by the table.
    given = rows["id"].fillna("").where(lambda i: i != "", local.where(local != "", rows["url"]))
    rows["id"] = ids(source["name"], list(given))
    twice = rows["id"].duplicated() & ~no_file
    for reason, which in ((_NO_FILE, no_file), (_TWICE, twice)):
        if which.any():
            found.left_out[reason] = int(which.sum())
    found.rows = complete(rows[~no_file & ~twice].reset_index(drop=True), source)
    return found


def _rows(batch: pa.RecordBatch, use: dict[str, str]) -> pd.DataFrame:
    """Return the columns in use as text, named as in table ``photos``."""
    out: dict[str, Any] = {}
    for key, name in use.items():
        if key in ("lat", "lon"):
            continue
        values = batch.column(name)
        if key in ("heading_deg", "accuracy"):
            numbers = pd.to_numeric(values.to_pandas(), errors="coerce")
            out[key] = numbers % 360 if key == "heading_deg" else numbers.where(numbers % 1 == 0)
            continue
        text = [_text(value) for value in values.to_pylist()]
        out[key] = [columns.moment(t) for t in text] if key == "date_taken" else text
    return pd.DataFrame(out, index=range(batch.num_rows))


def _text(value: Any) -> str:
    """Return the text of a cell; integers lose the `.0` that a column with gaps adds."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def addresses(rows: pd.DataFrame, root: Path) -> list[str]:
    """Return the location of each row's file: its path from ``root``, else its address."""
    empty = pd.Series("", index=rows.index)
    path, url = (rows.get(key, empty).fillna("") for key in ("path", "url"))
    pins = rows.get("sha256", empty).fillna("")
    out = []
    for local, remote, pin in zip(path, url, pins, strict=True):
        place = local or remote
        place = str(root / place) if is_local(place) else place
        out.append(f"{place}{PIN}{pin}" if place and pin else place)
    return out


def positions(
    batch: pa.RecordBatch, use: dict[str, str], table: Table
) -> tuple[np.ndarray, np.ndarray]:
    """Return longitude and latitude of a batch's rows [degrees]; NaN where they are not numbers."""
    if {"lat", "lon"} <= use.keys():
        return _numbers(batch.column(use["lon"])), _numbers(batch.column(use["lat"]))
    # The import takes half a second, so only tables with geometries pay for it.
    import shapely
    from pyproj import CRS, Transformer

    points = shapely.from_wkb(batch.column(table.geometry).to_numpy(zero_copy_only=False))
    middle = shapely.centroid(points)
    x, y = shapely.get_x(middle), shapely.get_y(middle)
    crs = CRS.from_user_input(table.crs or "OGC:CRS84")
    if not crs.is_geographic:
        known = np.isfinite(x) & np.isfinite(y)
        to_deg = Transformer.from_crs(crs, 4326, always_xy=True)
        x[known], y[known] = to_deg.transform(x[known], y[known])
    return np.where(np.isfinite(x), x, np.nan), np.where(np.isfinite(y), y, np.nan)


def _numbers(values: pa.Array) -> np.ndarray:
    given = values.to_pandas()
    found = pd.to_numeric(given, errors="coerce")
    unread = found.isna() & given.notna()
    if unread.any():  # spreadsheets of many countries write 59,92
        points = given[unread].astype(str).str.replace(_COMMA, r"\1.\2", regex=True)
        found[unread] = pd.to_numeric(points, errors="coerce")
    return np.asarray(found.to_numpy(dtype=float, na_value=np.nan))


def opened(path: Path) -> Table:
    """Open a table according to its file type."""
    suffix = path.suffix.lower()
    if suffix in CSV:
        return _csv(path)
    if suffix in (".parquet", ".geoparquet", ".pq"):
        return _parquet(path)
    # GDAL's vector formats take half a second to import.
    import pyogrio

    about = pyogrio.read_info(path)
    name = about["geometry_name"] or "wkb_geometry"

    def read(names: list[str]) -> Iterator[pa.RecordBatch]:
        plain = [column for column in names if column != name]
        options = {"columns": plain, "batch_size": BATCH, "use_pyarrow": True}
        with pyogrio.raw.open_arrow(path, read_geometry=name in names, **options) as (_, reader):
            yield from reader

    return Table(list(about["fields"]), name if about["geometry_type"] else "", about["crs"], read)


def _csv(path: Path) -> Table:
    with pa.input_stream(path) as file:  # decompresses according to the file's ending
        head = file.read(1 << 20).split(b"\n", 1)[0].decode("utf-8-sig").rstrip("\r")
    parse = pa_csv.ParseOptions(delimiter=max("\t;,", key=head.count), newlines_in_values=True)
    names = pa_csv.read_csv(pa.BufferReader(f"{head}\n".encode()), parse_options=parse)

    def read(use: list[str]) -> Iterator[pa.RecordBatch]:
        convert = pa_csv.ConvertOptions(
            include_columns=use, column_types=dict.fromkeys(use, pa.string())
        )
        yield from pa_csv.open_csv(path, pa_csv.ReadOptions(block_size=BLOCK), parse, convert)

    return Table(names.column_names, "", None, read)


def _parquet(path: Path) -> Table:
    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    geo = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
    name = geo.get("primary_column", "")
    crs = geo.get("columns", {}).get(name, {}).get("crs")
    names = [column for column in schema.names if column != name]
    return Table(names, name, crs, lambda use: file.iter_batches(BATCH, columns=use))


@contextmanager
def explained(
    where: str, wanted: str = "a complete CSV (UTF-8), Parquet or GeoPackage file"
) -> Iterator[None]:
    """Turn the exceptions of an unreadable table into a message for the user.

    Raises:
        UserError: The table cannot be read.
    """
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError, OSError, RuntimeError, ValueError) as error:
        # Arrow repeats the bytes of a file that is no table.
        told = one_line(error)[:90]
        told = "".join(c if c.isprintable() and c != "\ufffd" else "?" for c in told)
        raise UserError(f"{where} cannot be read ({told}); it must be {wanted}.") from error
