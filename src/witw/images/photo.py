"""Open photos upright, completely, and with bounded size.

Three decisions:

* Colour profiles (ICC) are applied, so photos of other colour spaces look as intended.
* Bytes after a JPEG's end marker are ignored: phones append a video there.
* A JPEG with corrupt data by libjpeg's warnings is broken, even if it decodes.
"""

from __future__ import annotations

import functools
import hashlib
import io
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageCms, JpegImagePlugin, UnidentifiedImageError

from witw.images.libjpeg import decode_strictly
from witw.images.scans import MOST_SCANS, has_many_scans

# Maximum pixels to decode. A larger JPEG is decoded at a half, a quarter or an eighth of its size.
MAX_PIXELS = 50_000_000
# Pixels of a sequential JPEG, which libjpeg reads row by row; phones make up to 200 million.
MAX_JPEG_PIXELS = 250_000_000
# A JPEG spends at least one bit on each block of 8 x 8 px; one that claims more is a bomb.
MOST_PIXELS_PER_BYTE = 8 * 8 * 8
FORMATS = ("JPEG", "PNG", "WEBP")

_SOI = b"\xff\xd8\xff"
# Modes of Pillow -> colour spaces of simplejpeg.
_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}

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
# Exceptions other than OSError that Pillow's parsers raise for broken files.
_BROKEN = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, RuntimeError,
    SyntaxError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
_LYING = (5, 6, 7, 8)  # orientations whose width and height change places
_EXIF, _FOCAL_35MM = 0x8769, 0xA405  # EXIF 2.32, tables 3 and 8
# Width and height of the picture [px], each with the pixels there are on the sensor by this unit.
_FOCAL, _UNIT, _SENSOR = 0x920A, 0xA210, ((0xA002, 0xA20E), (0xA003, 0xA20F))
_FRAME_MM = 43.267  # diagonal of the 35 mm frame, to which such focal lengths refer (CIPA DCG-001)


class TooManyPixels(ValueError):  # noqa: N818
    """A picture has more pixels than the limit, which the message names."""


@dataclass(frozen=True)
class Traits:
    """Properties of a completely decoded file.

    Attributes:
        width: as displayed, EXIF orientation applied [px].
        height: as displayed [px].
        bands: 1 grey, 3 colour, 4 CMYK or with transparency.
        is_single: whether the file is one still picture, not animated and not several pictures.
    """

    width: int
    height: int
    bands: int
    is_single: bool


def whole(path: Path, sha256: str | None) -> bytes:
    """Read a file and verify its digest; an empty digest accepts any file.

    Raises:
        OSError: the file is unreadable, or has another digest.
    """
    body = path.read_bytes()
    if sha256 and hashlib.sha256(body).hexdigest() != sha256:
        raise OSError("it is not the file that its table tells of")
    return body


def open_photo(path: Path, sha256: str | None = None) -> Image.Image:
    """Read a photo as people see it.

    Files of the store are stored as served, so EXIF orientation is applied here and nowhere else.

    Args:
        path: JPEG, PNG or WebP file; of an animation, the first frame is read.
        sha256: expected digest, if known.

    Returns:
        Decoded upright RGB picture (sRGB), 8 bits per band. A JPEG of more than :data:`MAX_PIXELS`
        is decoded at a half, a quarter or an eighth of its size.

    Raises:
        OSError: the file cannot be read or decoded, is damaged, or has another digest.
        TooManyPixels: the picture has more pixels than the limit.
    """
    return to_srgb(decode(whole(path, sha256)))


def is_plain(path: Path) -> bool:
    """Tell whether a file is one upright JPEG of three bands, which every reader decodes alike.

    Only its head is read.

    Raises:
        OSError: the file cannot be read, or is not a picture.
    """
    try:
        with Image.open(path, "r", FORMATS) as picture:
            is_upright = "exif" not in picture.info or _orientation(picture) not in _UPRIGHT
            return picture.format == "JPEG" and picture.mode == "RGB" and is_upright
    except _BROKEN as error:
        raise OSError(str(error)) from error


def decode(
    body: bytes, formats: tuple[str, ...] = FORMATS, enough_px: int | None = None
) -> Image.Image:
    """Decode a picture completely and upright, in its own bands.

    Args:
        body: content of the file.
        formats: Pillow's names of the accepted formats.
        enough_px: long side at which a JPEG may be decoded; default: full size [px].

    Raises:
        OSError: the format is unknown, or the file is damaged.
        TooManyPixels: the picture has too many pixels; raised before decoding.
    """
    with _opened(body, formats) as picture:
        profile = picture.info.get("icc_profile")
        # Pillow turns TIFF files itself.
        turn = None if picture.format == "TIFF" else _UPRIGHT.get(_orientation(picture))
        decoded = _decoded(picture, body, enough_px)
        upright = decoded.copy() if turn is None else decoded.transpose(turn)
        upright.info["icc_profile"] = profile
        return upright


def examine(body: bytes, formats: tuple[str, ...] = FORMATS) -> Traits:
    """Decode a picture completely and return its properties; raises as :func:`decode` does."""
    with _opened(body, formats) as picture:
        bands, (width, height) = len(picture.getbands()), picture.size
        # At an eighth of the size, grey, every coefficient of a JPEG is still decoded, so whatever
        # is broken shows; the transforms that are left out cannot fail.
        space = "CMYK" if picture.mode == "CMYK" else "GRAY"
        if not _is_jpeg(picture) or decode_strictly(body, space, (1, 1)) is None:
            picture.draft("L", (1, 1))
            _load(picture, len(body))
        if _orientation(picture) in _LYING:
            width, height = height, width
        # Pillow calls a JPEG file with several pictures (CIPA DC-007) an MPO.
        is_single = picture.format != "MPO" and not getattr(picture, "is_animated", False)
        return Traits(width, height, bands, is_single)


@contextmanager
def _opened(body: bytes, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """Open a picture and check its header and size."""
    try:
        is_jpeg = "JPEG" in formats and body.startswith(_SOI)
        # Pillow's own limit on pixels knows nothing of JPEGs that are decoded at a smaller size.
        file = io.BytesIO(body)
        opened = JpegImagePlugin.jpeg_factory(file) if is_jpeg else Image.open(file, "r", formats)
        with opened as picture:
            _check_size(picture, len(body))
            if _is_jpeg(picture) and has_many_scans(body):
                what = f"{picture.width} x {picture.height} px"
                raise TooManyPixels(f"{what} in more than {MOST_SCANS} scans, unlike any camera's")
            yield picture
    except Image.DecompressionBombError:
        raise TooManyPixels(_too_many("a picture", MAX_PIXELS)) from None
    except UnidentifiedImageError:
        known = f"a {' or '.join(formats)} picture" if len(formats) < 9 else "in a known format"
        raise OSError(f"it is not {known}") from None
    except TooManyPixels:
        raise
    except _BROKEN as error:
        raise OSError(str(error)) from error


def _check_size(picture: Image.Image, size: int) -> None:
    pixels, what = picture.width * picture.height, f"{picture.width} x {picture.height} px"
    is_sequential = _is_jpeg(picture) and not picture.info.get("progressive")
    most = max(MAX_JPEG_PIXELS, MAX_PIXELS) if is_sequential else MAX_PIXELS
    if pixels > most:
        raise TooManyPixels(_too_many(what, most))
    if _is_jpeg(picture) and pixels > MOST_PIXELS_PER_BYTE * size:
        raise TooManyPixels(f"{what} in {size:,} bytes, which no JPEG can hold")


def _too_many(what: str, most: int) -> str:
    return f"{what}, of which at most {most:,} are decoded"


def _is_jpeg(picture: Image.Image) -> bool:
    return picture.format in ("JPEG", "MPO")


def _decoded(picture: Image.Image, body: bytes, enough_px: int | None) -> Image.Image:
    """Decode a picture; a large JPEG at a fraction of its size."""
    if _is_jpeg(picture):
        # Pillow knows how CMYK is stored, so such a file is only checked here.
        is_plain = picture.mode in ("L", "RGB")
        small = _size(picture, enough_px)
        least = (0, 0) if small == picture.size else small
        space = _SPACES.get(picture.mode, "GRAY")
        found = decode_strictly(body, space, least if is_plain else (1, 1))
        if found is not None and is_plain:
            return Image.fromarray(found[..., 0] if picture.mode == "L" else found)
        if small != picture.size:
            picture.draft(None, small)
    _load(picture, len(body))
    return picture


def _size(picture: Image.Image, enough_px: int | None) -> tuple[int, int]:
    """Return the size at which to decode a JPEG: full, a half, a quarter or an eighth."""
    width, height = picture.size
    factor = next((f for f in (1, 2, 4) if width * height <= MAX_PIXELS * f * f), 8)
    if enough_px is not None:
        factor = next((f for f in (8, 4, 2) if f > factor and max(width, height) >= enough_px * f),
                      factor)  # fmt: skip
    return math.ceil(width / factor), math.ceil(height / factor)


def _load(picture: Image.Image, size: int) -> None:
    # All bytes at once: between reads, a decoding thread would wait for the interpreter.
    picture.decodermaxblock = max(getattr(picture, "decodermaxblock", 0), size)  # type: ignore[attr-defined]
    picture.load()


def to_srgb(picture: Image.Image) -> Image.Image:
    """Apply a picture's colour profile, unless it is broken or for other bands."""
    profile = picture.info.get("icc_profile")
    transform = _to_srgb(profile, picture.mode) if profile else None
    if transform is None:
        return picture.convert("RGB")
    return ImageCms.applyTransform(picture, transform) or picture.convert("RGB")


@functools.lru_cache(maxsize=64)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform of a profile to sRGB; None if it is sRGB or unknown."""
    if mode not in _SPACES:
        return None
    try:
        opened = ImageCms.getOpenProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(opened):
            return None
        return ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF raises whatever its bytes lead to; the picture is whole
        return 1


def focal_35mm(body: bytes) -> float:
    """Return the focal length for the 35 mm frame [mm], from EXIF data or the sensor size in them.

    Returns:
        NaN if unknown.
    """
    try:
        with Image.open(io.BytesIO(body)) as picture:
            exif = picture.getexif().get_ifd(_EXIF)
        if told := float(exif.get(_FOCAL_35MM, 0)):
            return told
        unit_mm = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}[int(exif[_UNIT])]
        sides = [float(exif[side]) / float(exif[per]) * unit_mm for side, per in _SENSOR]
        return float(exif[_FOCAL]) * _FRAME_MM / math.hypot(*sides)
    except Exception:  # broken EXIF raises whatever its bytes lead to; the picture is whole
        return float("nan")


def fov_deg(path: Path | IO[bytes], width: int, height: int) -> float:
    """Return the field of view along a photo's long side, from the focal length in its EXIF data.

    Args:
        path: the photo, or its open file.
        width: width of the photo [px].
        height: height of the photo [px].

    Returns:
        Degrees; NaN if unknown or impossible for a lens.
    """
    try:
        with Image.open(path) as picture:
            focal_mm = float(picture.getexif().get_ifd(_EXIF)[_FOCAL_35MM])
        half = _FRAME_MM * max(width, height) / float(np.hypot(width, height)) / 2
        found = float(np.degrees(2 * np.arctan(half / focal_mm)))
    except Exception:  # broken EXIF raises whatever its bytes lead to; the picture is whole
        return float("nan")
    return round(found, 3) if 1 < found < 140 else float("nan")
