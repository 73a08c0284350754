"""Scalars in TensorBoard's file format, so that watching needs TensorBoard but training does not.

A file is a row of records (tensorflow/core/lib/io/record_writer.h): length, checksum, content,
checksum; each content is an ``Event`` (tensorflow/core/util/event.proto).
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path


def _table() -> list[int]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        rows.append(value)
    return rows


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C of some bytes (RFC 3720, B.4)."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _checksum(data: bytes) -> bytes:
    value = crc32c(data)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def record(content: bytes) -> bytes:
    """One record of a file."""
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def event(when: float, step: int, scalars: Mapping[str, float]) -> bytes:
    """An ``Event`` with these scalars.

    Args:
        when: seconds since the epoch.
        step: of the training.
        scalars: value by tag.
    """
    values = b"".join(
        _field(1, _field(1, tag.encode()) + b"\x15" + struct.pack("<f", value))
        for tag, value in scalars.items()
    )
    return b"\x09" + struct.pack("<d", when) + b"\x10" + _varint(step) + _field(5, values)


class Events:
    """A file of events in a folder, one more for every run; ``None`` writes nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.path: Path | None = None
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.iterdir()))
        self.path = folder / f"events.out.tfevents.{int(time.time()):010d}.witw.{number}"
        head = b"\x09" + struct.pack("<d", time.time()) + _field(3, b"brain.Event:2")
        self._append(head)

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write scalars of a step."""
        if scalars:
            self._append(event(time.time(), step, scalars))

    def _append(self, content: bytes) -> None:
        if self.path is not None:
            with self.path.open("ab") as out:
                out.write(record(content))
