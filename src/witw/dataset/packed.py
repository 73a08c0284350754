"""Packed split: its pictures as JPEG in one Arrow IPC file, with their table beside it.

``pictures.arrow`` contains everything, for any tool that reads Arrow (pandas, polars, DuckDB,
``datasets``): one uncompressed record batch per :data:`BLOCK` pairs, with the columns of table
``pack`` and both pictures as bytes. ``pairs.parquet`` is the same without pictures, with page
checksums. Training reads each picture by its offset in the file.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import simplejpeg
from numpy.typing import NDArray

from witw import tables
from witw.errors import UserError
from witw.geo import geocentric, squares
from witw.images.resize import blacken_around

PICTURES, TABLE = "pictures.arrow", "pairs.parquet"
BLOCK = 64  # pairs per record batch: about 10 MB, the memory of writing
CHUNK = 8  # pairs that a thread decodes before it asks for more
_ARROW = {
    "string": pa.string(),
    "Int64": pa.int64(),
    "Int32": pa.int32(),
    "Float64": pa.float64(),
}
KINDS = ("photo", "chip")
SCHEMA = pa.schema(
    [(name, _ARROW[column.dtype]) for name, column in tables.PACK.items()]
    + [(kind, pa.binary()) for kind in KINDS]
)


class Pair(NamedTuple):
    """One pair to pack: its row of table ``pack`` and the JPEG bytes of its pictures."""

    row: dict[str, Any]
    photo: bytes
    chip: bytes


def write(path: Path, pairs: Iterable[Pair], photo_px: int, chip_px: int) -> pd.DataFrame:
    """Write ``pictures.arrow`` in blocks; equal pairs give equal bytes.

    Args:
        path: the file.
        pairs: pairs in row order; columns ``row``, ``photo_crc`` and ``chip_crc`` are added.
        photo_px: long side of the photos [px].
        chip_px: side of the chips [px].

    Returns:
        Table ``pack``.
    """
    schema = SCHEMA.with_metadata({"photo_px": str(photo_px), "chip_px": str(chip_px)})
    rows: list[dict[str, Any]] = []
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for block in _blocks(pairs):
            start = len(rows)
            rows += [
                pair.row
                | {"row": start + n, "photo_crc": _crc(pair.photo), "chip_crc": _crc(pair.chip)}
                for n, pair in enumerate(block)
            ]
            told = tables.frame("pack", rows[start:])
            arrays = [pa.array(told[name], SCHEMA.field(name).type) for name in tables.PACK]
            arrays += [pa.array([getattr(pair, kind) for pair in block]) for kind in KINDS]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
    return tables.frame("pack", rows)


def _blocks(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    block: list[Pair] = []
    for pair in pairs:
        block.append(pair)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def _crc(body: bytes) -> int:
    return zlib.crc32(body)


def _space(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.empty(shape, np.uint8)


@dataclass(frozen=True)
class Packed:
    """One packed split.

    Attributes:
        folder: folder of its two files.
        table: table ``pack``.
        photo_px: side of the square around a photo [px].
        chip_px: side of a chip [px].
        spans: ``(N, 2, 2)`` first byte and length of each row's photo and chip in the file.
        threads: number of pictures decoded in parallel.
    """

    folder: Path
    table: pd.DataFrame
    photo_px: int
    chip_px: int
    spans: NDArray[np.int64]
    threads: int = 1
    _open: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, folder: Path, threads: int = 1) -> Packed:
        """Open a folder written by the stage ``pack``.

        Args:
            folder: folder of the split.
            threads: number of pictures decoded in parallel.

        Raises:
            UserError: the files do not belong together, or one is damaged.
        """
        table = tables.read(folder / TABLE, "pack")
        path = folder / PICTURES
        try:
            sides, spans = _index(path)
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is not a readable pack ({error}); delete the folder and run again."
            ) from error
        if len(table) != len(spans):
            raise UserError(
                f"{folder}: pictures and table differ; delete the folder and run again."
            )
        return cls(folder, table, *sides, spans, threads)

    def __len__(self) -> int:
        return len(self.table)

    def __getstate__(self) -> dict[str, Any]:
        # Another process opens the file itself and starts its own threads.
        return vars(self) | {"_open": {}}

    def jpeg(self, row: int, kind: int) -> bytes:
        """Return the JPEG of a row's photo (0) or chip (1); the first read verifies its checksum.

        Raises:
            UserError: the picture is damaged.
        """
        start, length = self.spans[row, kind].tolist()
        body = os.pread(self._file, length, start)
        if not self._is_checked[row, kind]:
            if len(body) != length or zlib.crc32(body) != self._sums[row, kind]:
                raise self._damaged(row)
            self._is_checked[row, kind] = True
        return body

    def pictures(
        self,
        rows: NDArray[np.int64],
        space: Callable[[tuple[int, ...]], NDArray[np.uint8]] = _space,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Decode photos, each centred in a black square, and chips of some rows.

        Args:
            rows: row numbers, in any order.
            space: allocates an array of a shape; every byte of it is written.

        Returns:
            ``(B, photo_px, photo_px, 3)`` and ``(B, chip_px, chip_px, 3)``, uint8.

        Raises:
            UserError: a picture is damaged.
        """
        photos = space((len(rows), self.photo_px, self.photo_px, 3))
        chips = space((len(rows), self.chip_px, self.chip_px, 3))

        def fill(start: int) -> None:
            for at in range(start, min(start + CHUNK, len(rows))):
                self._decode(int(rows[at]), photos[at], chips[at])

        starts = range(0, len(rows), CHUNK)
        if self.threads > 1 and len(starts) > 1:
            # libjpeg and file reads release the interpreter's lock.
            list(self._pool.map(fill, starts))
        else:
            for start in starts:
                fill(start)
        return photos, chips

    def _decode(self, row: int, photo: NDArray[np.uint8], chip: NDArray[np.uint8]) -> None:
        """Decode one pair into its squares."""
        width, height = self.sizes[row].tolist()
        part = blacken_around(photo, width, height)
        try:
            if part.flags.c_contiguous:
                simplejpeg.decode_jpeg(self.jpeg(row, 0), buffer=part)
            else:
                part[:] = simplejpeg.decode_jpeg(self.jpeg(row, 0))
            simplejpeg.decode_jpeg(self.jpeg(row, 1), buffer=chip)
        except ValueError as error:
            raise self._damaged(row) from error

    def _damaged(self, row: int) -> UserError:
        return UserError(
            f"{self.folder}: pictures of row {row} are damaged; delete the folder and run again."
        )

    @property
    def _file(self) -> int:
        """Return the descriptor of the pictures' file, opened at the first read of a process."""
        if "file" not in self._open:
            self._open["file"] = (self.folder / PICTURES).open("rb", buffering=0)
        return int(self._open["file"].fileno())

    @property
    def _pool(self) -> ThreadPoolExecutor:
        # A forked process has the object, but not its threads.
        name = f"pool of {os.getpid()}"
        if name not in self._open:
            self._open[name] = ThreadPoolExecutor(self.threads)
        pool: ThreadPoolExecutor = self._open[name]
        return pool

    @cached_property
    def _is_checked(self) -> NDArray[np.bool_]:
        return np.zeros((len(self), 2), bool)

    @cached_property
    def _sums(self) -> NDArray[np.int64]:
        """``(N, 2)`` CRC-32 of each row's photo and chip."""
        return self.table[["photo_crc", "chip_crc"]].to_numpy(dtype=np.int64)

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """``(N,)`` number of each row's area, in the order of their names."""
        return np.unique(self.table["aoi"].to_numpy(dtype=str), return_inverse=True)[1]

    @cached_property
    def rows_by_area(self) -> dict[str, NDArray[np.int64]]:
        """Rows of each area, in the order of the areas' names."""
        names = np.unique(self.table["aoi"].to_numpy(dtype=str)).tolist()
        return {name: np.flatnonzero(self.areas == n) for n, name in enumerate(names)}

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """``(N,)`` number of each row's owner; each photo without an owner has its own number."""
        names = self.table["owner"].to_numpy(dtype=object, na_value="")
        alone = [name or f" {row}" for row, name in enumerate(names)]
        return np.unique(np.array(alone, dtype=str), return_inverse=True)[1]

    @cached_property
    def places(self) -> NDArray[np.float64]:
        """``(N, 2)`` easting and northing in the area's UTM zone [m]."""
        return self.table[["easting", "northing"]].to_numpy(dtype=np.float64)

    @cached_property
    def sizes(self) -> NDArray[np.int32]:
        """``(N, 2)`` width and height of each photo inside its square [px]."""
        return self.table[["photo_width", "photo_height"]].to_numpy(dtype=np.int32)

    @cached_property
    def fov_deg(self) -> NDArray[np.float32]:
        """``(N,)`` field of view along each photo's long side, NaN if unknown [degrees]."""
        return self.table["fov_deg"].to_numpy(dtype=np.float32, na_value=np.nan)

    @cached_property
    def lon_lat(self) -> NDArray[np.float64]:
        """``(N, 2)`` longitude and latitude, EPSG:4326 [degrees]."""
        return self.table[["lon", "lat"]].to_numpy(dtype=np.float64)

    @cached_property
    def positions(self) -> NDArray[np.float64]:
        """``(N, 3)`` Cartesian positions, comparable across areas and UTM zones [m]."""
        return geocentric(self.lon_lat[:, 0], self.lon_lat[:, 1])

    @cached_property
    def _buckets(self) -> dict[float, NDArray[np.int64]]:
        return {}

    def buckets(self, edge_m: float) -> NDArray[np.int64]:
        """Return ``(N,)`` number of each photo's square of side ``edge_m``; 0 m: one per photo.

        Photos of one square share a bucket, even in different areas.
        """
        if edge_m == 0:
            return np.arange(len(self))
        if edge_m not in self._buckets:
            keys = squares(self.lon_lat[:, 0], self.lon_lat[:, 1], edge_m)
            found = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
            self._buckets[edge_m] = found
        return self._buckets[edge_m]


def _index(path: Path) -> tuple[tuple[int, int], NDArray[np.int64]]:
    """Return the sides of photos and chips [px], and the position of each picture in the file.

    Raises:
        ValueError: a position is outside the file.
    """
    with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
        whole = file.read_buffer(file.size()) if file.seek(0) == 0 else None
        told = reader.schema.metadata or {}
        sides = int(told[b"photo_px"]), int(told[b"chip_px"])
        parts = [
            np.stack([_spans(batch.column(kind), whole) for kind in KINDS], axis=1)
            for batch in map(reader.get_batch, range(reader.num_record_batches))
        ]
    return sides, np.concatenate([np.empty((0, 2, 2), np.int64), *parts])


def _spans(column: pa.BinaryArray, whole: pa.Buffer) -> NDArray[np.int64]:
    """Return ``(n, 2)`` first byte and length of each value of a memory-mapped column."""
    _, offsets, data = column.buffers()
    at = np.frombuffer(offsets, np.int32, len(column) + 1, 4 * column.offset).astype(np.int64)
    start = data.address - whole.address
    if at[0] < 0 or (np.diff(at) < 0).any() or at[-1] > data.size or start < 0:
        raise ValueError("its offsets are damaged")
    return np.stack([start + at[:-1], np.diff(at)], axis=1)


def encode(picture: NDArray[np.uint8], quality: int) -> bytes:
    """Encode a picture as JPEG, with colours at full resolution.

    Args:
        picture: ``(rows, columns, 3)`` uint8.
        quality: libjpeg quality, 1 to 100.
    """
    body: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(picture), quality=quality, colorsubsampling="444"
    )
    return body
