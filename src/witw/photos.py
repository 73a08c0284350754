"""Opening a photo: the one place that says which way up it is and how large it may be."""

from __future__ import annotations

import io
from pathlib import Path

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


def open_photo(path: Path) -> Image.Image:
    """Read a photo as people see it.

    Files of the store are kept as they were served, so their EXIF orientation is applied here and
    nowhere else.

    Args:
        path: JPEG, PNG or WebP file.

    Returns:
        RGB picture, 8 bits a band, the right way up; decoded, its file closed.

    Raises:
        OSError: the file cannot be read or decoded.
        ValueError: it holds more than :data:`MAX_PIXELS` pixels.
    """
    return decode(path.read_bytes()).convert("RGB")


def decode(body: bytes, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Decode the whole of a picture, the right way up, in its own bands.

    Raises:
        OSError: it is of no known format, or broken.
        ValueError: it holds more than :data:`MAX_PIXELS` pixels; seen before it is decoded.
    """
    try:
        with Image.open(io.BytesIO(body), formats=formats) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} px")
            picture.load()
            turn = _UPRIGHT.get(_orientation(picture))
            return picture.copy() if turn is None else picture.transpose(turn)
    except Image.DecompressionBombError:
        raise ValueError("a decompression bomb") from None
    except SyntaxError as error:  # what Pillow's parsers raise
        raise OSError(str(error)) from error


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF raises whatever its bytes lead to; the picture is whole
        return 1
