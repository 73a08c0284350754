"""Photos from YFCC100M, 99 million openly licensed Flickr photos of 2014; no key is needed.

The metadata are a tab-separated table without a header: 25 columns in the form with line number and
hash, 23 in the older form in ten parts. The SQLite form has the same 23 columns by name. Text is
percent-encoded. The files come from Flickr's photo host, by its address rule
(https://www.flickr.com/services/api/misc.urls.html); many no longer exist.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote_plus

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from witw import stage
from witw.errors import UserError
from witw.flickr.api.records import address
from witw.sources.base import Listed, Place, Source, complete, flawed
from witw.sources.columns import moment
from witw.sources.table import explained

_NAMES = """
photoid uid unickname datetaken dateuploaded capturedevice title description usertags machinetags
longitude latitude accuracy pageurl downloadurl licensename licenseurl serverid farmid secret
secretoriginal ext marker
"""
NAMES = tuple(_NAMES.split())
LATER = ("line", *NAMES[:1], "hash", *NAMES[1:])
_UNUSED = ("capturedevice", "description", "usertags", "machinetags", "downloadurl", "farmid")
USED = tuple(n for n in NAMES if n not in (*_UNUSED, "secretoriginal", "ext"))
POSITIONS = ("longitude", "latitude")
BLOCK = 8 << 20  # bytes
THREADS = 2  # blocks parsed in parallel
BATCH = 1 << 16  # rows of the SQLite form
type Holds = Callable[[np.ndarray, np.ndarray], np.ndarray]
_SQLITE = b"SQLite format 3\0"
_NOT_OPEN = "a licence outside `search.licenses`"
_NO_ADDRESS = "no file address"


def listed(source: Source, place: Place) -> Listed:
    """List the photos of the area that have one of the wanted licences.

    Args:
        source: ``path``, ``name``, ``license`` and ``owner``.
        place: The area, with ``search.licenses`` and ``flickr.photo_hosts`` in its spec.

    Raises:
        UserError: The file does not have this form.
    """
    found = Listed(pd.DataFrame())
    kept: list[pd.DataFrame] = []
    for path in files(source["path"]):
        where = f"Area {place.aoi!r}: the metadata {path}"
        with explained(where, "the metadata of YFCC100M as published (TSV, .bz2 or SQLite)"):
            parts = batches(path, where, place.holds)
            for count, batch in stage.progress(parts, f"{place.aoi}: {path.name}"):
                wanted = _wanted(batch, place)
                found.read += count
                found.outside += count - int(wanted.sum())
                if wanted.any():
                    kept.append(batch.filter(pa.array(wanted)).to_pandas())
    rows = pd.concat([pd.DataFrame(columns=list(USED)), *kept], ignore_index=True)
    rows = rows.drop_duplicates("photoid", ignore_index=True)
    made = complete(_photos(rows, address(place.spec["flickr"]["photo_hosts"])), source)
    is_open = made["license_id"].isin(place.spec["search"]["licenses"])
    has_url = made["url"] != ""
    for reason, which in ((_NOT_OPEN, ~is_open), (_NO_ADDRESS, is_open & ~has_url)):
        if which.any():
            found.left_out[reason] = int(which.sum())
    found.rows = made[is_open & has_url].reset_index(drop=True)
    return found


def files(path: str) -> list[Path]:
    """Return the parts of the metadata, sorted."""
    given = Path(path)
    return sorted(given.parent.glob(given.name)) if "*" in given.name else [given]


def batches(path: Path, where: str, holds: Holds) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the records near an area.

    Args:
        path: One part of the metadata.
        where: Its description in errors.
        holds: Tells which longitudes and latitudes lie in the area.

    Yields:
        The number of records read, and the records that may lie in the area: the columns in use,
        all text except the positions.

    Raises:
        UserError: The number of columns is unexpected.
    """
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) == _SQLITE:
            return _sqlite(path)
    return _tsv(path, where, holds)


def _tsv(path: Path, where: str, holds: Holds) -> Iterator[tuple[int, pa.RecordBatch]]:
    with pa.input_stream(path) as stream:
        count = stream.read(1 << 16).split(b"\n", 1)[0].count(b"\t") + 1
    forms = {len(NAMES): NAMES, len(LATER): LATER}
    if count not in forms:
        raise UserError(
            f"{where} has {count} tab-separated columns; YFCC100M has {len(LATER)} or, in its "
            f"first form, {len(NAMES)}."
        )

    def block(lines: bytes) -> tuple[int, pa.RecordBatch]:
        return _near(lines, forms[count], holds)

    with pa.input_stream(path) as stream, ThreadPoolExecutor(THREADS) as pool:
        waiting: deque[Future[tuple[int, pa.RecordBatch]]] = deque()
        for lines in _lines(stream):
            waiting.append(pool.submit(block, lines))
            if len(waiting) > THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _lines(stream: pa.NativeFile) -> Iterator[bytes]:
    """Yield blocks of whole lines."""
    rest = b""
    while part := stream.read(BLOCK):
        head, newline, tail = part.rpartition(b"\n")
        if newline and (rest + head).strip():
            yield rest + head + newline
        rest = tail if newline else rest + part
    if rest:
        yield rest


def _near(lines: bytes, names: Sequence[str], holds: Holds) -> tuple[int, pa.RecordBatch]:
    """Count the records of some lines, and parse those in the area.

    The other lines, which are nearly all, are never parsed into columns.
    """
    positions = _parsed(lines, names, POSITIONS)
    inside = holds(*(positions.column(name).to_numpy() for name in POSITIONS))
    ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n")) + 1
    if len(ends) < len(inside):  # the file's last line has no newline
        ends = np.append(ends, len(lines))
    if len(ends) == len(inside):  # no blank lines, and no other line endings
        starts = np.append(0, ends[:-1])
        some = zip(starts[inside].tolist(), ends[inside].tolist(), strict=True)
        lines = b"".join(lines[start:end] for start, end in some)
    found = _parsed(lines, names, USED).combine_chunks().to_batches() if lines else []
    return len(inside), found[0] if found else _as_batch([])


def _parsed(lines: bytes, names: Sequence[str], used: Sequence[str]) -> pa.Table:
    numbers = dict.fromkeys(POSITIONS, pa.float64())
    return pa_csv.read_csv(
        pa.BufferReader(lines),
        pa_csv.ReadOptions(use_threads=False, block_size=len(lines) + 1, column_names=list(names)),
        # A quotation mark is an ordinary character of a title.
        pa_csv.ParseOptions(delimiter="\t", quote_char=False, newlines_in_values=False),
        pa_csv.ConvertOptions(
            include_columns=list(used),
            column_types=dict.fromkeys(USED, pa.string()) | numbers,
            null_values=[""],
            strings_can_be_null=False,
        ),
    )


def _sqlite(path: Path) -> Iterator[tuple[int, pa.RecordBatch]]:
    columns = ", ".join(USED)
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute(f"SELECT {columns} FROM yfcc100m_dataset")  # noqa: S608
        while chunk := rows.fetchmany(BATCH):
            yield len(chunk), _as_batch(chunk)


def _as_batch(rows: Sequence[tuple[object, ...]]) -> pa.RecordBatch:
    values = zip(*rows, strict=True) if rows else [()] * len(USED)
    columns = dict(zip(USED, values, strict=True))
    arrays = {
        name: pa.array(pd.to_numeric(pd.Series(values), errors="coerce").astype(float))
        if name in POSITIONS
        else pa.array(["" if v is None else str(v) for v in values])
        for name, values in columns.items()
    }
    return pa.RecordBatch.from_pydict(arrays)


def _wanted(batch: pa.RecordBatch, place: Place) -> np.ndarray:
    """Return which records are photos, not videos, and lie in the area."""
    lon, lat = (batch.column(name).to_numpy(zero_copy_only=False) for name in POSITIONS)
    inside = place.holds(lon, lat)
    if inside.any():
        inside = inside & ~flawed(lon, lat)
        inside &= pc.equal(batch.column("marker"), "0").to_numpy(zero_copy_only=False)
    return np.asarray(inside)


def _photos(rows: pd.DataFrame, host: str) -> pd.DataFrame:
    """Return columns of table ``photos``."""
    licenses = rows["licenseurl"].str.replace("http://", "https://", n=1)
    sound = rows["serverid"].str.fullmatch("[1-9][0-9]*") & rows["secret"].str.fullmatch(
        "[0-9a-zA-Z]+"
    )
    sound &= rows["photoid"].str.fullmatch("[0-9]{1,20}")
    urls = host + "/" + rows["serverid"] + "/" + rows["photoid"] + "_" + rows["secret"] + ".jpg"
    accuracy = pd.to_numeric(rows["accuracy"], errors="coerce")
    return pd.DataFrame(
        {
            "id": rows["photoid"],
            "owner": rows["uid"],
            "owner_name": rows["unickname"].map(unquote_plus),
            "title": rows["title"].map(unquote_plus),
            "license": rows["licensename"],
            "license_url": licenses,
            "date_taken": rows["datetaken"].map(moment),
            "date_upload": pd.to_numeric(rows["dateuploaded"], errors="coerce"),
            "lat": rows["latitude"],
            "lon": rows["longitude"],
            "accuracy": accuracy.where(accuracy.between(1, 16)),
            "photo_page": rows["pageurl"].str.replace("http://", "https://", n=1),
            "url": urls.where(sound.astype(bool), ""),
        }
    )
