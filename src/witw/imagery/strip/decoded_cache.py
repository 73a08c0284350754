"""Cache of a strip's decoded bands from `stats` to `utm`, so that it is decoded once.

Percentiles are known only after every pixel has been read, and the conversion needs them. Decoding
is half of the work on a compressed strip, and a remote strip would be fetched twice. `stats`
therefore stores the three decoded bands beside its output, and `utm` reads and removes them. The
file is optional and not an output: if it is missing, damaged or out of date, `utm` reads the strip
itself. It takes six bytes per pixel (of 16 bits) and is not written if the disk would become full.

Layout: the units of :class:`.blocks.Reader` one after the other, then JSON (`stamp`, `sums`), then
its length in eight bytes.
"""

from __future__ import annotations

import itertools
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

from witw import files

log = logging.getLogger("witw")

Unit = tuple[int, int]
Stamp = dict[str, Any]
# Required free space, in file sizes: `utm.tif` and other files need room too.
SPARE = 4


def beside(path: Path) -> Path:
    """Return the file's path for a strip, given another of the strip's files (``{strip}.*``)."""
    return path.with_name(f"{path.name.split('.')[0]}.decoded")


class Layout:
    """Content and layout of the file.

    Attributes:
        stamp: Fingerprint of all inputs; a different stamp makes the file invalid.
        shapes: Height and width of each unit [px].
        dtype: numpy's name of the values' type.
        offsets: Start of each unit [bytes].
        size: Total size of the units [bytes].
    """

    def __init__(self, stamp: Stamp, shapes: dict[Unit, tuple[int, int]], dtype: str) -> None:
        self.stamp, self.shapes, self.dtype = stamp, shapes, np.dtype(dtype)
        sizes = [3 * height * width * self.dtype.itemsize for height, width in shapes.values()]
        *starts, self.size = itertools.accumulate(sizes, initial=0)
        self.offsets = dict(zip(shapes, starts, strict=True))


class Writer:
    """Writes units in any order, from several threads."""

    def __init__(self, handle: int, layout: Layout) -> None:
        self.handle, self.layout, self.broken = handle, layout, False
        self.sums: dict[Unit, int] = {}

    def add(self, unit: Unit, data: NDArray[Any]) -> None:
        """Store (3, h, w) values of a unit; stop storing once the disk refuses."""
        if self.broken:
            return
        data = np.ascontiguousarray(data)
        try:
            self.broken = os.pwrite(self.handle, data, self.layout.offsets[unit]) != data.nbytes
        except OSError as error:
            log.info("decoded pixels are not cached: %s", error)
            self.broken = True
        self.sums[unit] = isal_zlib.crc32(data)

    def end(self) -> bool:
        """Write the trailer; return whether the file is complete."""
        if self.broken or len(self.sums) < len(self.layout.shapes):
            return False
        sums = [self.sums[unit] for unit in self.layout.shapes]
        text = json.dumps({"stamp": self.layout.stamp, "sums": sums}).encode()
        tail = text + struct.pack("<Q", len(text))
        try:
            return os.pwrite(self.handle, tail, self.layout.size) == len(tail)
        except OSError:
            return False


@contextmanager
def keeping(path: Path, layout: Layout) -> Iterator[Writer | None]:
    """Write the file atomically; yield None if it would take too much space."""
    path.unlink(missing_ok=True)
    megabytes = layout.size >> 20
    if shutil.disk_usage(path.parent).free < SPARE * layout.size:
        log.info("decoded pixels are not cached: they would take %d MB of the disk", megabytes)
        yield None
        return
    with files.scratch(path) as folder:
        part = folder / "pixels"
        handle = os.open(part, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            writer = Writer(handle, layout)
            yield writer
            whole = writer.end()
        finally:
            os.close(handle)
        if whole:
            part.replace(path)
            log.info("%s caches %d MB of decoded pixels for utm", path, megabytes)


class Kept:
    """Reads units from several threads."""

    def __init__(self, handle: int, layout: Layout, sums: list[int]) -> None:
        self.handle, self.layout = handle, layout
        self.sums = dict(zip(layout.shapes, sums, strict=True))

    def read(self, unit: Unit) -> NDArray[Any] | None:
        """Return the values of a unit, (3, h, w); None if they are damaged."""
        data = np.empty((3, *self.layout.shapes[unit]), self.layout.dtype)
        count = os.preadv(self.handle, [data], self.layout.offsets[unit])
        whole = count == data.nbytes and isal_zlib.crc32(data) == self.sums[unit]
        return data if whole else None


@contextmanager
def kept(path: Path, layout: Layout) -> Iterator[Kept | None]:
    """Open the file if it exists, is complete and matches ``layout``; else yield None."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        sums = _sums(handle, layout)
        yield Kept(handle, layout, sums) if len(sums) == len(layout.shapes) else None
    finally:
        os.close(handle)


def _sums(handle: int, layout: Layout) -> list[int]:
    """Return the checksums at the end of a file; an empty list if it is foreign or incomplete."""
    end = os.fstat(handle).st_size - 8
    try:
        (length,) = struct.unpack("<Q", os.pread(handle, 8, end))
        if length != end - layout.size:
            return []
        found = json.loads(os.pread(handle, length, layout.size))
        same = found["stamp"] == json.loads(json.dumps(layout.stamp))
        return list(found["sums"]) if same else []
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return []
