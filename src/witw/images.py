"""Open photos the right way up, bounded in size, and resize photos and chips for the network."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# The largest stored file is a 500 px rendition; a phone's photo has up to 50 Mpx.
MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP")

_ORIENTATION = 0x0112  # EXIF 2.32, table 4
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's parsers raise besides OSError, led there by the bytes of a broken file.
_BROKEN = (SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)
_LYING = (5, 6, 7, 8)  # orientations whose width and height change places
_EXIF, _FOCAL_35MM = 0x8769, 0xA405  # EXIF 2.32, tables 3 and 8
_FRAME_MM = 43.267  # diagonal of the 35 mm frame, to which such focal lengths refer (CIPA DCG-001)


class TooManyPixels(ValueError):  # noqa: N818
    """A picture holds more than :data:`MAX_PIXELS` pixels; seen before it is decoded."""


@dataclass(frozen=True)
class Traits:
    """What a file holds, all of it decoded.

    Attributes:
        width: as displayed, EXIF orientation applied [px].
        height: as displayed [px].
        bands: 1 grey, 3 colour, 4 CMYK or with transparency.
        is_single: whether it is one still picture; else it is animated, or several in one file.
    """

    width: int
    height: int
    bands: int
    is_single: bool


def whole(path: Path, sha256: str | None) -> bytes:
    """Read a file that is to have a digest; whichever it has, where that is empty.

    Raises:
        OSError: it cannot be read, or is another.
    """
    body = path.read_bytes()
    if sha256 and hashlib.sha256(body).hexdigest() != sha256:
        raise OSError("it is not the file that its table tells of")
    return body


def open_photo(path: Path, sha256: str | None = None) -> Image.Image:
    """Read a photo as people see it.

    Files of the store are kept as they were served, so their EXIF orientation is applied here and
    nowhere else.

    Args:
        path: JPEG, PNG or WebP file; of an animated one, the first frame.
        sha256: its digest, where that is known.

    Returns:
        RGB picture, 8 bits a band, the right way up; decoded, its file closed.

    Raises:
        OSError: the file cannot be read or decoded, or has another digest.
        TooManyPixels: it holds more than :data:`MAX_PIXELS`.
    """
    return decode(whole(path, sha256)).convert("RGB")


def decode(body: bytes, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Decode the whole of a picture, the right way up, in its own bands.

    Raises:
        OSError: it is of no known format, or broken.
        TooManyPixels: it holds more than :data:`MAX_PIXELS`; seen before it is decoded.
    """
    with _opened(body, formats) as picture:
        _load(picture, len(body))
        turn = _UPRIGHT.get(_orientation(picture))
        return picture.copy() if turn is None else picture.transpose(turn)


def examine(body: bytes, formats: tuple[str, ...] = FORMATS) -> Traits:
    """Decode the whole of a picture and say what it is; raises as :func:`decode` does."""
    with _opened(body, formats) as picture:
        bands, (width, height) = len(picture.getbands()), picture.size
        # At an eighth of the size, grey, every coefficient of a JPEG is still decoded, so whatever
        # is broken shows; the transforms that are left out cannot fail.
        picture.draft("L", (1, 1))
        _load(picture, len(body))
        if _orientation(picture) in _LYING:
            width, height = height, width
        # Pillow calls a JPEG file with further pictures behind the first (CIPA DC-007) an MPO.
        is_single = picture.format != "MPO" and not getattr(picture, "is_animated", False)
        return Traits(width, height, bands, is_single)


@contextmanager
def _opened(body: bytes, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(body), formats=formats) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise TooManyPixels(f"{picture.width} x {picture.height} px")
            yield picture
    except Image.DecompressionBombError:
        raise TooManyPixels("a decompression bomb") from None
    except TooManyPixels:
        raise
    except _BROKEN as error:
        raise OSError(str(error)) from error


def _load(picture: Image.Image, size: int) -> None:
    # All bytes in one go: between two the decoding thread would wait for the interpreter.
    picture.decodermaxblock = max(getattr(picture, "decodermaxblock", 0), size)  # type: ignore[attr-defined]
    picture.load()


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF raises whatever its bytes lead to; the picture is whole
        return 1


def fov_deg(path: Path, width: int, height: int) -> float:
    """Field of view along a photo's long side, from the focal length in its EXIF data.

    Args:
        path: the photo.
        width: of the photo [px].
        height: of the photo [px].

    Returns:
        Degrees; NaN where the data do not tell, or tell what no lens has.
    """
    try:
        with Image.open(path) as picture:
            focal_mm = float(picture.getexif().get_ifd(_EXIF)[_FOCAL_35MM])
        half = _FRAME_MM * max(width, height) / float(np.hypot(width, height)) / 2
        found = float(np.degrees(2 * np.arctan(half / focal_mm)))
    except Exception:  # broken EXIF raises whatever its bytes lead to; the picture is whole
        return float("nan")
    return round(found, 3) if 1 < found < 140 else float("nan")


def letterbox(photo: Image.Image, side: int) -> tuple[NDArray[np.uint8], int, int]:
    """Scale a photo to a long side of ``side`` and centre it in a black square.

    A photo is never stretched: its aspect says how wide it sees.

    Args:
        photo: RGB, upright.
        side: side of the square [px].

    Returns:
        ``(side, side, 3)`` uint8, and the photo's width and height inside it [px].
    """
    scale = side / max(photo.size)
    width, height = (max(1, round(length * scale)) for length in photo.size)
    small = photo.resize((width, height), Image.Resampling.BICUBIC)
    square = np.zeros((side, side, 3), np.uint8)
    left, top = (side - width) // 2, (side - height) // 2
    square[top : top + height, left : left + width] = np.asarray(small)
    return square, width, height


def shrink(chip: Image.Image, side: int) -> NDArray[np.uint8]:
    """Resize a square chip by area: each pixel is the mean of the ground it covers.

    Args:
        chip: RGB, square.
        side: side of the result [px].

    Returns:
        ``(side, side, 3)`` uint8.
    """
    return np.asarray(chip.resize((side, side), Image.Resampling.BOX))
