"""Decode JPEG with libjpeg-turbo, and believe its warnings.

libjpeg fills what it misses with grey and goes on, so a photo with a hole still decodes. Its
warnings are the only sign, and Pillow does not pass them on.
"""

from __future__ import annotations

import re

import numpy as np
import simplejpeg
from numpy.typing import NDArray

# Warnings (jerror.h) that mean wrong pixels; the others are about unusual headers.
_DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG")
# Encoders of some cameras fill up the data before the end marker with a few bytes of zeros.
_PADDING = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_MOST_PADDING = 16


def decode_strictly(
    body: bytes, space: str, least: tuple[int, int] = (0, 0)
) -> NDArray[np.uint8] | None:
    """Decode a JPEG of which libjpeg does not say that its data are corrupt.

    A photo's damage shows at an eighth of its size as well: all coefficients are decoded.

    Args:
        body: the file; whatever follows its end marker is ignored.
        space: ``GRAY``, ``RGB`` or ``CMYK``.
        least: width and height [px] that are enough: then the picture is decoded at the smallest
            of its sizes, down to an eighth, that has them; zeros: its own size.

    Returns:
        ``(height, width, bands)`` uint8; None: it has a subsampling that only Pillow decodes
        (such as CMYK with halved colours), so nothing is known of its data.

    Raises:
        OSError: its data are corrupt.
    """
    try:
        return simplejpeg.decode_jpeg(  # type: ignore[no-any-return]
            body, space, min_width=least[0], min_height=least[1]
        )
    except ValueError as error:
        if str(error).startswith(_DAMAGE) and not _is_padded(str(error), body):
            raise OSError(str(error)) from None
        return None


def _is_padded(warning: str, body: bytes) -> bool:
    """Whether all that libjpeg complains of is a few bytes of zeros before an end marker."""
    found = _PADDING.search(warning)
    count = int(found[1]) if found else _MOST_PADDING + 1
    return count <= _MOST_PADDING and bytes(count) + b"\xff\xd9" in body
