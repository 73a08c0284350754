"""Decode JPEG with libjpeg-turbo, and treat its warnings as errors.

libjpeg fills missing data with grey, so a damaged photo still decodes. Its warnings are a sign of
the damage, and Pillow hides them. Zeros that it takes without a warning are found in the file.
"""

from __future__ import annotations

import re

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from witw.images.scans import has_gap

# Warnings (jerror.h) that mean wrong pixels; the others are about unusual headers.
_DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG")
# Encoders of some cameras pad the data before the end marker with a few zero bytes.
_PADDING = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_MOST_PADDING = 16


def decode_strictly(
    body: bytes, space: str, least: tuple[int, int] = (0, 0)
) -> NDArray[np.uint8] | None:
    """Decode a JPEG, and raise an error if its data are corrupt.

    Damage also shows at an eighth of the size, because libjpeg decodes all coefficients.

    Args:
        body: content of the file; bytes after the end marker are ignored.
        space: ``GRAY``, ``RGB`` or ``CMYK``.
        least: minimum width and height [px]; the picture is decoded at its smallest scale, down to
            an
            eighth, that reaches them; zeros: full size.

    Returns:
        ``(height, width, bands)`` uint8; None for a subsampling that only Pillow decodes (such as
        CMYK with halved colours), whose data are not checked.

    Raises:
        OSError: the data are corrupt.
    """
    if has_gap(body):
        raise OSError("Corrupt JPEG data: a gap filled with zeros")
    try:
        return simplejpeg.decode_jpeg(  # type: ignore[no-any-return]
            body, space, min_width=least[0], min_height=least[1]
        )
    except ValueError as error:
        if str(error).startswith(_DAMAGE) and not _is_padded(str(error), body):
            raise OSError(str(error)) from None
        return None


def _is_padded(warning: str, body: bytes) -> bool:
    """Return whether libjpeg complains only of a few zero bytes before an end marker."""
    found = _PADDING.search(warning)
    count = int(found[1]) if found else _MOST_PADDING + 1
    return count <= _MOST_PADDING and bytes(count) + b"\xff\xd9" in body
