"""Classify the bytes sent by a photo host. No network, no files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from witw.images.photo import TooManyPixels, decode, examine

SOI, EOI = b"\xff\xd8\xff", b"\xff\xd9"
# Equal photos at this many places are a placeholder; an owner's duplicate upload is at one or two.
PLACES = 3
# A picture is a notice if this share of its pixels has one colour, to within this many of 256
# levels: the decoded JPEG of a plain background has no noise, a photographed wall or sky has.
PLAIN_SHARE = 0.6
PLAIN_LEVELS = 2
PLACEHOLDER = "a placeholder picture"
# The shortest side of a legible notice [px]; a smaller picture carries no text.
NOTICE_PX = 32
EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")

# First bytes -> Pillow's name, the name in messages, and the name of an animated one.
OTHERS = {
    b"\x89PNG": ("PNG", "a PNG picture", "an animated PNG picture (APNG)"),
    b"GIF8": ("GIF", "a GIF picture", "an animated GIF picture"),
    b"RIFF": ("WEBP", "a WebP picture", "an animated WebP picture"),
    b"BM": ("BMP", "a BMP picture", ""),
    b"II*\x00": ("TIFF", "a TIFF picture", "a TIFF file of several pictures"),
    b"MM\x00*": ("TIFF", "a TIFF picture", "a TIFF file of several pictures"),
}
# ISO base media files carry their brand after the first box header.
BRANDS = {b"avif": "an AVIF picture", b"heic": "a HEIC picture", b"mif1": "a HEIC picture"}
MEDIA = "a video or another media file"


@dataclass(frozen=True)
class Outcome:
    """Outcome of one photo; the fields are columns of table ``downloads``.

    Attributes:
        status: ``ok``, ``gone``, ``failed``, ``corrupt`` or ``grey``.
        reason: Explanation of a status other than ``ok``.
        width: Width as displayed, after EXIF orientation [px].
        height: Height as displayed [px].
        bytes: Size of the file.
        sha256: SHA-256 of the file.
        digest: SHA-256 of the response, stored or not.
        again: Whether another try may give a better outcome.
        unreachable: Whether the host never responded, not even with a refusal.
        refused: Whether the address must not be contacted.
    """

    status: str
    reason: str = ""
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    sha256: str = ""
    digest: str = ""
    again: bool = False
    unreachable: bool = False
    refused: bool = False

    @property
    def stored(self) -> bool:
        """Whether the photo belongs in the store."""
        return self.status in ("ok", "grey")


def inspect(body: bytes, min_side_px: int) -> Outcome:
    """Judge the bytes of a photo: complete, decodable, one still JPEG of usable size.

    Only the bytes reveal a chunked response that was cut off, or an error page sent with HTTP 200.
    """
    found = _judge(body, min_side_px)
    digest = hashlib.sha256(body).hexdigest()
    return replace(found, digest=digest, sha256=digest if found.stored else "")


def _judge(body: bytes, min_side_px: int) -> Outcome:
    if not body:
        return Outcome("failed", "an empty answer", again=True)
    if body.lstrip()[:1] == b"<":
        return Outcome("failed", "a page instead of a picture", again=True)
    if not body.startswith(SOI):
        return _other(body)
    if EOI not in body:
        return Outcome("corrupt", "breaks off before its end", again=True)
    try:
        traits = examine(body, ("JPEG",))
    except TooManyPixels as error:
        return Outcome("corrupt", f"too many pixels: {error}")
    except OSError:
        return Outcome("corrupt", "cannot be decoded whole", again=True)
    if not traits.is_single:
        return Outcome("corrupt", "several pictures in one file (MPO)")
    if min(traits.width, traits.height) < min_side_px:
        size = f"{traits.width} x {traits.height} px"
        return Outcome("corrupt", f"{size}, a side is below {min_side_px} px")
    status, reason = ("grey", "a single band") if traits.bands == 1 else ("ok", "")
    return Outcome(status, reason, traits.width, traits.height, len(body))


def _other(body: bytes) -> Outcome:
    """Judge bytes that are not JPEG: a placeholder, or another picture format by its name."""
    if body[4:8] == b"ftyp":
        return Outcome("corrupt", BRANDS.get(body[8:12], MEDIA))
    if body.startswith(b"RIFF") and body[8:12] != b"WEBP":
        return Outcome("corrupt", MEDIA)
    kind = next((kind for magic, kind in OTHERS.items() if body.startswith(magic)), None)
    if kind is None:
        return Outcome("corrupt", "not a JPEG file", again=True)
    form, still, moving = kind
    try:
        traits = examine(body, (form,))
        if not traits.is_single:
            return Outcome("corrupt", moving)
        if min(traits.width, traits.height) >= NOTICE_PX and is_plain(body, form):
            return Outcome("gone", f"{PLACEHOLDER}, {still}")
    except (OSError, TooManyPixels):
        pass
    return Outcome("corrupt", still)


def is_plain(body: bytes, form: str = "JPEG") -> bool:
    """Return whether most of a picture has one colour, like drawn notices.

    The result is False for pictures with more than 8 bits per band, which hosts do not use for
    notices.

    Raises:
        OSError: The picture cannot be decoded.
        TooManyPixels: The picture is too large to decode.
    """
    picture = decode(body, (form,))
    if picture.mode not in EIGHT_BITS:
        return False
    pixels = np.asarray(picture.convert("RGB"), np.int16).reshape(-1, 3)
    ground = np.array([np.bincount(band, minlength=256).argmax() for band in pixels.T])
    alike = (np.abs(pixels - ground) <= PLAIN_LEVELS).all(axis=1)
    return bool(alike.mean() >= PLAIN_SHARE)


def suspects(outcomes: Iterable[tuple[str, Outcome, tuple[float, float]]]) -> list[list[str]]:
    """Return groups of ids with byte-identical responses although they show :data:`PLACES` places.

    A host may send its "no longer available" picture with HTTP 200. Equal bytes alone do not prove
    this, because an owner may upload a photo twice. The places must therefore differ, and the
    caller still has to inspect the picture (:func:`is_plain`). A picture that was not stored cannot
    be inspected, so it is only reported as unusable.

    Args:
        outcomes: Id, outcome and place (latitude, longitude) of each photo.
    """
    alike: dict[str, list[tuple[str, tuple[float, float]]]] = {}
    for photo_id, outcome, place in outcomes:
        if outcome.digest and outcome.stored:
            alike.setdefault(outcome.digest, []).append((photo_id, place))
    return [
        [photo_id for photo_id, _ in group]
        for group in alike.values()
        if len({place for _, place in group}) >= PLACES
    ]
