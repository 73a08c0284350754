"""Judging and storing what a photo host sent. No network."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from witw.errors import UserError
from witw.photos import decode

SOI, EOI = b"\xff\xd8\xff", b"\xff\xd9"
# Bytes that some writers leave behind the end marker.
TAIL = 4096
OTHERS = {
    b"\x89PNG": "a PNG picture",
    b"GIF8": "a GIF picture",
    b"RIFF": "a WebP picture",
    b"BM": "a BMP picture",
    b"II*\x00": "a TIFF picture",
    b"MM\x00*": "a TIFF picture",
}


@dataclass(frozen=True)
class Outcome:
    """What became of one photo; the columns of table ``downloads`` of these names.

    Attributes:
        status: ``ok``, ``gone``, ``failed``, ``corrupt`` or ``grey``.
        reason: why, where the status is not ``ok``.
        width: as displayed, EXIF orientation applied [px].
        height: as displayed [px].
        bytes: size of the file.
        sha256: of the file.
        again: whether another try may bring something better.
        unreachable: whether the host never answered, not even with a refusal.
    """

    status: str
    reason: str = ""
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    sha256: str = ""
    again: bool = False
    unreachable: bool = False

    @property
    def stored(self) -> bool:
        """Whether the photo lies in the store."""
        return self.status in ("ok", "grey")


def inspect(body: bytes, min_side_px: int) -> Outcome:
    """Judge the bytes of a photo: whole, decodable, a still JPEG of usable size.

    A host that breaks off a chunked answer, or sends its error page in HTTP 200, is only found
    out by looking at the bytes.
    """
    if body.lstrip()[:1] == b"<":
        return Outcome("failed", "a page instead of a picture", again=True)
    if not body.startswith(SOI):
        kind = next((kind for magic, kind in OTHERS.items() if body.startswith(magic)), "")
        return Outcome("corrupt", kind or "not a JPEG file", again=not kind)
    if EOI not in body[-TAIL:]:
        return Outcome("corrupt", "breaks off before its end", again=True)
    try:
        picture = decode(body, formats=("JPEG",))
    except ValueError as error:
        return Outcome("corrupt", f"too many pixels: {error}")
    except OSError:
        return Outcome("corrupt", "cannot be decoded", again=True)
    if min(picture.size) < min_side_px:
        size = f"{picture.width} x {picture.height} px"
        return Outcome("corrupt", f"{size}, a side is below {min_side_px} px")
    grey = len(picture.getbands()) == 1
    return Outcome(
        "grey" if grey else "ok",
        "a single band" if grey else "",
        picture.width,
        picture.height,
        len(body),
        hashlib.sha256(body).hexdigest(),
    )


def store(body: bytes, path: Path) -> None:
    """Write a photo under a temporary name beside ``path``, fsync it, rename it.

    As :func:`witw.stage.atomic`, but for many threads at a time, and with a temporary name that
    the next try overwrites, so that no kill leaves litter. The folder is synced by
    :func:`sync_folders`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def verify(path: Path, min_side_px: int) -> Outcome | None:
    """Judge a file of the store; a bad one is removed.

    Returns:
        None: there is no good file.

    Raises:
        UserError: there is something that cannot be read.
    """
    try:
        outcome = inspect(path.read_bytes(), min_side_px)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; put that right.") from None
    if outcome.stored:
        return outcome
    path.unlink(missing_ok=True)
    return None


def sync_folders(folders: set[Path]) -> None:
    """Make the renames in these folders durable."""
    for folder in sorted(folders):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
