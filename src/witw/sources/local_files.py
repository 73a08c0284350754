"""Convert local photos, and files of any format behind a table's addresses, for the photo store.

The result resembles Flickr's 500 px files: JPEG, longest side 500 px, upright, sRGB. Of the EXIF
data only the focal length is kept, which gives the field of view. The position of a photo is
therefore in the tables only.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from witw import stage
from witw.flickr.photo_host.outcome import Outcome, inspect
from witw.flickr.photo_host.stored_files import store
from witw.images.photo import decode, focal_35mm, to_srgb
from witw.images.query import eight_bit, formats

SIDE_PX = 500
QUALITY = 90
ENOUGH_PX = 2 * SIDE_PX  # target size for the reduced decoding of a large JPEG
WORKERS = 4
_EXIF, _FOCAL_35MM = 0x8769, 0xA405  # EXIF 2.32, tables 3 and 8


def bring(jobs: Iterable[tuple[str, Path, Path]], min_side_px: int) -> dict[str, Outcome]:
    """Convert local photos into the store; keep existing ones made from equal bytes.

    Args:
        jobs: Id, file and destination in the store of each photo.
        min_side_px: See :func:`witw.flickr.photo_host.outcome.inspect`.

    Returns:
        Outcome by photo id.
    """
    todo = list(jobs)
    formats()  # once, before the threads
    with ThreadPoolExecutor(WORKERS) as pool:
        found = pool.map(lambda job: _brought(job[1], job[2], min_side_px), todo)
        shown = stage.progress(found, "convert", total=len(todo))
        return {job[0]: outcome for job, outcome in zip(todo, shown, strict=True)}


def _brought(source: Path, place: Path, min_side_px: int) -> Outcome:
    try:
        body = source.read_bytes()
    except FileNotFoundError:
        return Outcome("gone", "its file does not exist")
    except OSError as error:
        return Outcome("failed", f"its file cannot be read ({error.strerror})")
    mark = hashlib.sha256(body).hexdigest()
    if place.is_file():
        there = place.read_bytes()
        outcome = inspect(there, min_side_px)
        if outcome.stored and _mark(there) == mark:
            return outcome
    photo = prepared(body, mark)
    outcome = inspect(photo, min_side_px)
    if outcome.stored:
        store(photo, place)
    else:
        place.unlink(missing_ok=True)
    return outcome


def prepared(body: bytes, mark: str = "") -> bytes:
    """Convert a picture for the store; return the bytes unchanged if they are not a picture.

    Args:
        body: Bytes of a file.
        mark: Stored as a comment, to recognise the file again.
    """
    try:
        picture = eight_bit(decode(body, formats(), ENOUGH_PX))
    except (OSError, ValueError):
        return body
    picture = picture.convert("L") if picture.mode in ("1", "L", "LA") else to_srgb(picture)
    scale = SIDE_PX / max(picture.size)
    if scale < 1:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    exif = Image.Exif()
    focal = focal_35mm(body)
    if math.isfinite(focal) and 1 <= focal < 65_536:
        exif.get_ifd(_EXIF)[_FOCAL_35MM] = round(focal)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=QUALITY, exif=exif, comment=mark.encode())
    return out.getvalue()


def _mark(body: bytes) -> str:
    with Image.open(io.BytesIO(body)) as picture:
        comment: bytes = picture.info.get("comment", b"")
    return comment.decode("ascii", "replace")
