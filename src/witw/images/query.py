"""Open a photo to be located: any format that Pillow reads, and HEIC.

Only orientation and focal length are read from EXIF data, never positions.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

from witw.errors import UserError
from witw.images.photo import TooManyPixels, decode, fov_deg, to_srgb

MAX_BYTES = 500_000_000
LEAST_PX = 32  # minimum long side of a photo
# A large JPEG is decoded at the smallest size whose long side is at least this [px].
ENOUGH_PX = 1600
# Its reader starts Ghostscript, and these hold drawings, not photos.
_NOT_READ = frozenset({"EPS", "WMF"})


@dataclass(frozen=True)
class Photo:
    """A photo to be located.

    Attributes:
        name: file name, for people.
        picture: upright picture in sRGB, reduced for a large JPEG.
        fov_deg: field of view along the long side, NaN if unknown [degrees].
        fov_source: ``given``, ``exif`` or ``unknown``.
    """

    name: str
    picture: Image.Image
    fov_deg: float = math.nan
    fov_source: str = "unknown"


def formats() -> tuple[str, ...]:
    """Return Pillow's names of the supported formats."""
    Image.init()
    pillow_heif.register_heif_opener()
    return tuple(sorted(set(Image.OPEN) - _NOT_READ))


def suffixes() -> frozenset[str]:
    """Return the file suffixes of the supported formats, in lower case, with the dot."""
    known = formats()
    return frozenset(s for s, name in Image.registered_extensions().items() if name in known)


def open_query(source: Path | bytes, name: str = "", fov: float = math.nan) -> Photo:
    """Open a photo.

    Args:
        source: the file or its bytes; of an animation, the first frame is read.
        name: file name for people; default: the path.
        fov: field of view along the long side, which overrides EXIF [degrees].

    Raises:
        UserError: the file is unreadable, not a photo, or exceeds a limit.
    """
    name = name or (str(source) if isinstance(source, Path) else "The photo")
    body = _read(source, name)
    try:
        picture = decode(body, formats(), ENOUGH_PX)
    except TooManyPixels as error:
        raise UserError(f"{name} is too large: {error}; make it smaller.") from None
    except (OSError, ValueError) as error:
        told = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{name} is not a readable photo: {told}.") from None
    photo = to_srgb(eight_bit(picture))
    if max(photo.size) < LEAST_PX:
        raise UserError(
            f"{name} is too small: {photo.width} x {photo.height} px; its long side must have at "
            f"least {LEAST_PX} px."
        )
    if math.isfinite(fov):
        return Photo(name, photo, fov, "given")
    found = fov_deg(io.BytesIO(body), *photo.size)
    return Photo(name, photo, found, "unknown" if math.isnan(found) else "exif")


def _read(source: Path | bytes, name: str) -> bytes:
    if isinstance(source, bytes):
        size, body = len(source), source
    else:
        try:
            size = source.stat().st_size
            body = source.read_bytes() if size <= MAX_BYTES else b""
        except OSError as error:
            raise UserError(f"{name} cannot be read: {error.strerror}.") from None
    if size > MAX_BYTES:
        raise UserError(
            f"{name} is too large: {size / 1e6:,.0f} MB, of which at most {MAX_BYTES / 1e6:,.0f} "
            "are read; make it smaller."
        )
    return body


def eight_bit(picture: Image.Image) -> Image.Image:
    """Scale 16 or 32 bits to 8, and put transparent parts on black."""
    if picture.mode.startswith(("I", "F")):
        values = np.nan_to_num(np.asarray(picture, np.float64))
        top = values.max(initial=0.0)
        scaled = values if top <= 255 and picture.mode != "F" else values * (255 / (top or 1))
        return Image.fromarray(scaled.clip(0, 255).round().astype(np.uint8))
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        out = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), clear)
        out = out.convert("RGB")
        out.info["icc_profile"] = picture.info.get("icc_profile")
        return out
    return picture
