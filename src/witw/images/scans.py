"""Find what no camera writes in a JPEG's scans: gaps of zeros, and hundreds of scans.

A lost disk sector or packet often becomes zeros. libjpeg decodes them as flat blocks, and reports
nothing if the data behind them happen to end at the right block.

Huffman codes for JPEG are canonical, so each table has one code of zeros: that of its first
symbol. Zeros therefore repeat one symbol of each table. In a picture, such a repetition is a flat
area at most, and it is bounded by the number of blocks.

A progressive JPEG is decoded as often as it has scans, each of which may take ten bytes, so that a
small file could occupy a processor for hours.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

# Shorter runs occur in pictures: one block takes up to 63 symbols of 3 bits.
SHORTEST = 64  # bytes
MOST_SCANS = 100  # encoders write up to 20
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_DHT, _EOI, _SOS = 0xC4, 0xD9, 0xDA
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a segment
# Exceptions that reading damaged headers raises.
_BROKEN = (LookupError, ValueError, ZeroDivisionError, struct.error)
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass
class _Head:
    """The parts of the headers read so far on which the length of a run depends.

    Attributes:
        frame: marker of the frame.
        mcus: number of units of interleaved blocks.
        blocks: blocks of each component in such a unit.
        tables: class and number of each Huffman table -> its first symbol and that code's bits.
    """

    frame: int = 0
    mcus: int = 0
    blocks: dict[int, int] = field(default_factory=dict)
    tables: dict[int, tuple[int, int]] = field(default_factory=dict)


def has_gap(body: bytes) -> bool:
    """Return whether the coded data of a JPEG contain more zeros than a picture can cause.

    This takes about 40 microseconds for a photo of 500 px, of which libjpeg takes a millisecond.

    Args:
        body: content of the file. Pictures behind its end marker are not examined.

    Returns:
        False if the headers are damaged or the data are not Huffman-coded.
    """
    zeros = -1
    with suppress(*_BROKEN):
        for head, scan, place in _scans(body):
            zeros = zeros if zeros >= place else body.find(bytes(SHORTEST), place)
            if zeros < 0 or head.frame not in (_BASELINE, _EXTENDED, _PROGRESSIVE):
                return False
            longest = max(SHORTEST, _longest(head, scan))
            if body.find(bytes(longest + 1), zeros, _end(body, place)) >= 0:
                return True
    return False


def has_many_scans(body: bytes) -> bool:
    """Return whether a JPEG has more than :data:`MOST_SCANS` scans before its end marker."""
    if body.count(bytes((0xFF, _SOS))) <= MOST_SCANS:
        return False
    count = 0
    with suppress(*_BROKEN):
        for _ in _scans(body):
            count += 1
    return count > MOST_SCANS


def _scans(body: bytes) -> Iterator[tuple[_Head, bytes, int]]:
    """Yield each scan of a JPEG: the headers before it, its own header, the place of its data."""
    head, place = _Head(), 2
    while body[place] == 0xFF:
        marker = body[place + 1]
        if marker == _EOI:
            return
        if marker in _ALONE or marker == 0xFF:
            place += 1 if marker == 0xFF else 2
            continue
        (size,) = struct.unpack_from(">H", body, place + 2)
        segment, place = body[place + 4 : place + 2 + size], place + 2 + size
        if marker == _SOS:
            yield head, segment, place
            place = _end(body, place)
        else:
            _read(head, marker, segment)


def _end(body: bytes, place: int) -> int:
    """Return where the coded data of a scan end."""
    found = _END_OF_SCAN.search(body, place)
    return found.start() if found else len(body)


def _read(head: _Head, marker: int, segment: bytes) -> None:
    """Read a frame header or Huffman tables; ignore other segments."""
    if marker == _DHT:
        while segment:
            counts = segment[1:17]
            bits = 1 + [count > 0 for count in counts].index(True)
            head.tables[segment[0]] = segment[17], bits
            segment = segment[17 + sum(counts) :]
    elif 0xC0 <= marker <= 0xCF and marker not in (0xC8, 0xCC):
        height, width, count = struct.unpack_from(">HHB", segment, 1)
        sides = {segment[i]: divmod(segment[i + 1], 16) for i in range(6, 6 + 3 * count, 3)}
        across, down = (8 * max(side[axis] for side in sides.values()) for axis in (0, 1))
        head.frame = marker
        head.mcus = -(-width // across) * -(-height // down)
        head.blocks = {name: h * v for name, (h, v) in sides.items()}


def _longest(head: _Head, scan: bytes) -> int:
    """Return the bytes of zeros to which a flat picture can come in a scan; 0 if to none.

    Args:
        head: headers before the scan.
        scan: header of the scan, from its number of components on.
    """
    count = scan[0]
    parts = [(scan[1 + 2 * i], *divmod(scan[2 + 2 * i], 16)) for i in range(count)]
    first, _, bits = scan[1 + 2 * count : 4 + 2 * count]
    blocks = head.mcus * sum(head.blocks[name] for name, *_ in parts)
    each = 0
    if head.frame != _PROGRESSIVE or not first:
        is_refinement = head.frame == _PROGRESSIVE and bits >> 4
        # One raw bit per block, or the code of a change of brightness and that change.
        each += 1 if is_refinement else max(_bits(head.tables, dc) for _, dc, _ in parts)
    if head.frame != _PROGRESSIVE or first:
        symbols = [head.tables[0x10 | ac][0] for _, _, ac in parts]
        # Other first symbols are coefficients, or zeros before one.
        if any(symbol & 15 or symbol == 0xF0 for symbol in symbols):
            return 0
        each += max(_bits(head.tables, 0x10 | ac) for _, _, ac in parts)
    return -(-blocks * each // 8)


def _bits(tables: Mapping[int, tuple[int, int]], which: int) -> int:
    """Return the length of a table's code of zeros with the value behind it [bits]."""
    symbol, bits = tables[which]
    return bits + (symbol >> 4 if which & 0x10 else symbol)
