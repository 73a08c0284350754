"""What `stats` has decoded of a strip, kept for `utm`: a strip is read and decoded once.

Percentiles are known only when every pixel has been seen, and only then can the first one be
converted. Decoding is half of all the work on a compressed strip, and a remote one would be fetched
twice, so `stats` leaves the three bands as they are beside its output and `utm` takes them from
there and removes them. The file is a help and no output: without it, or where a block of it or
anything it was made from is not as it was, `utm` reads the strip itself. It needs six bytes a pixel
(of 16 bits) and is not made where the disk would become full.

Layout: the units of :class:`.blocks.Reader` one after the other, then JSON (`stamp`, `sums`), then
its length in eight bytes.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from witw import stage

log = logging.getLogger("witw")

Unit = tuple[int, int]
Stamp = dict[str, Any]
# So many times the file's size must be free before it is made: `utm.tif` and others need room too.
SPARE = 4


def beside(path: Path) -> Path:
    """Name of the file for a strip, next to another of its files (``{strip}.*``)."""
    return path.with_name(f"{path.name.split('.')[0]}.decoded")


def _offsets(shapes: dict[Unit, tuple[int, int]], itemsize: int) -> dict[Unit, int]:
    """Where each unit begins [bytes]; the end under the key (-1, -1)."""
    found, at = {}, 0
    for unit, (height, width) in shapes.items():
        found[unit] = at
        at += 3 * height * width * itemsize
    return found | {(-1, -1): at}


class Writer:
    """Takes units in any order, from several threads."""

    def __init__(self, handle: int, shapes: dict[Unit, tuple[int, int]], dtype: str) -> None:
        self.handle, self.broken = handle, False
        self.offsets = _offsets(shapes, np.dtype(dtype).itemsize)
        self.sums: dict[Unit, int] = {}

    def add(self, unit: Unit, data: NDArray[Any]) -> None:
        """Keep (3, h, w) values of a unit; nothing more is kept once the disk refuses."""
        if self.broken:
            return
        data = np.ascontiguousarray(data)
        try:
            self.broken = os.pwrite(self.handle, data, self.offsets[unit]) != data.nbytes
        except OSError as error:
            log.info("decoded pixels are not kept: %s", error)
            self.broken = True
        self.sums[unit] = isal_zlib.crc32(data)

    def end(self, stamp: Stamp) -> bool:
        """Write what tells how to read it; whether the file is whole."""
        names = [unit for unit in self.offsets if unit != (-1, -1)]
        if self.broken or len(self.sums) < len(names):
            return False
        text = json.dumps({"stamp": stamp, "sums": [self.sums[name] for name in names]}).encode()
        tail = text + struct.pack("<Q", len(text))
        return os.pwrite(self.handle, tail, self.offsets[-1, -1]) == len(tail)


@contextmanager
def keeping(
    path: Path, stamp: Stamp, shapes: dict[Unit, tuple[int, int]], dtype: str
) -> Iterator[Writer | None]:
    """Write the file, which appears whole or not at all; None where it would take too much room."""
    size = _offsets(shapes, np.dtype(dtype).itemsize)[-1, -1]
    path.unlink(missing_ok=True)
    if shutil.disk_usage(path.parent).free < SPARE * size:
        log.info("decoded pixels are not kept: they would take %d MB of the disk", size >> 20)
        yield None
        return
    with stage.scratch(path) as folder:
        part = folder / "pixels"
        handle = os.open(part, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            writer = Writer(handle, shapes, dtype)
            yield writer
            whole = writer.end(stamp)
        finally:
            os.close(handle)
        if whole:
            part.replace(path)
            log.info("%s keeps %d MB of decoded pixels for utm", path, size >> 20)


class Kept:
    """Reads units from several threads."""

    def __init__(
        self, handle: int, shapes: dict[Unit, tuple[int, int]], dtype: str, sums: list[int]
    ) -> None:
        self.handle, self.shapes, self.dtype = handle, shapes, np.dtype(dtype)
        self.offsets = _offsets(shapes, self.dtype.itemsize)
        self.sums = dict(zip(shapes, sums, strict=True))

    def read(self, unit: Unit) -> NDArray[Any] | None:
        """Values of a unit, (3, h, w); None: they are not what was written."""
        data = np.empty((3, *self.shapes[unit]), self.dtype)
        count = os.preadv(self.handle, [data], self.offsets[unit])
        whole = count == data.nbytes and isal_zlib.crc32(data) == self.sums[unit]
        return data if whole else None


@contextmanager
def kept(
    path: Path, stamp: Stamp, shapes: dict[Unit, tuple[int, int]], dtype: str
) -> Iterator[Kept | None]:
    """Open the file if it is there, whole and of just this; else None."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        sums = _sums(handle, stamp, _offsets(shapes, np.dtype(dtype).itemsize)[-1, -1])
        yield Kept(handle, shapes, dtype, sums) if sums and len(sums) == len(shapes) else None
    finally:
        os.close(handle)


def _sums(handle: int, stamp: Stamp, at: int) -> list[int]:
    """Checksums from the end of a file; none if it is another's or not whole."""
    end = os.fstat(handle).st_size - 8
    try:
        (length,) = struct.unpack("<Q", os.pread(handle, 8, end))
        if length != end - at:
            return []
        found = json.loads(os.pread(handle, length, at))
        same = found["stamp"] == json.loads(json.dumps(stamp))
        return list(found["sums"]) if same else []
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return []
