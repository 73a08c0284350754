"""Pictures of the stand-in's photo host: from a folder, or drawn from an id."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from witw.errors import UserError

LONG_SIDE_PX = 500
Picture = Callable[[str], bytes | None]
_DRAWN = 64  # number of different drawings
_QUALITY = 88
_SHAPES = ((500, 375), (500, 333), (375, 500), (500, 281), (500, 500), (333, 500))


def folder_pictures(folder: Path) -> Picture:
    """Return the ``picture`` of a server with files ``{id}.jpg`` in a folder."""

    def picture(photo_id: str) -> bytes | None:
        path = folder / f"{photo_id}.jpg"
        return path.read_bytes() if path.is_file() else None

    return picture


def folder_of_jpegs(folder: Path) -> Picture:
    """Return the ``picture`` of a server that serves any JPEGs, chosen by id.

    Files are sorted by name and assigned to ids in turn. A file whose longer side exceeds 500 px is
    reduced to that size, as Flickr does.

    Raises:
        UserError: The folder contains none.
    """
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise UserError(f"{folder} has no .jpg files to serve.")

    @lru_cache(1024)
    def small(path: Path) -> bytes:
        body = path.read_bytes()
        return shrink(body, LONG_SIDE_PX) if max(size_px(body)) > LONG_SIDE_PX else body

    return lambda photo_id: small(files[_number(photo_id) % len(files)])


def drawn(photo_id: str) -> bytes:
    """Draw a colour JPEG of 500 px from an id; different ids give different bytes.

    There are 64 drawings in six shapes; the id is in a comment of the file.
    """
    body = _drawing(_number(photo_id) % _DRAWN)
    note = f"photo {photo_id}".encode()
    return body[:2] + b"\xff\xfe" + struct.pack(">H", len(note) + 2) + note + body[2:]


@cache
def _drawing(number: int) -> bytes:
    rng = np.random.default_rng(number)
    size = _SHAPES[number % len(_SHAPES)]
    # Coarse colours below ever finer detail, as in photographs: about 70 kB as a JPEG.
    made = Image.new("RGB", size, (128, 128, 128))
    for cells, strength in ((3, 0.8), (14, 0.5), (70, 0.35), (250, 0.3)):
        shape = (max(2, cells * size[1] // size[0]), cells, 3)
        layer = Image.fromarray(rng.integers(0, 256, shape, np.uint8))
        made = Image.blend(made, layer.resize(size, Image.Resampling.BILINEAR), strength)
    body = io.BytesIO()
    made.save(body, "JPEG", quality=_QUALITY)
    return body.getvalue()


@cache
def placeholder(kind: str) -> bytes:
    """Return the picture that says that a photo is unavailable, as ``PNG`` or ``JPEG``."""
    body = io.BytesIO()
    Image.new("RGB", (500, 374), (240, 240, 240)).save(body, kind)
    return body.getvalue()


def shrink(body: bytes, side_px: int) -> bytes:
    """Return a JPEG with its longer side at most ``side_px``."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(body)) as picture:
        picture.thumbnail((side_px, side_px))
        picture.save(out, "JPEG")
    return out.getvalue()


def size_px(body: bytes) -> tuple[int, int]:
    """Return width and height of a picture [px]."""
    with Image.open(io.BytesIO(body)) as picture:
        return picture.size


def _number(photo_id: str) -> int:
    return int(photo_id) if photo_id.isdecimal() else zlib.crc32(photo_id.encode())
