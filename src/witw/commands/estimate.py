"""Constants of the estimates of ``witw plan``, with their origin."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from witw.errors import UserError
from witw.flickr.completeness.audit import LEAST
from witw.flickr.crawl.pages import PER_PAGE
from witw.flickr.search import PROBES
from witw.settings.chips import Chips
from witw.settings.search import Search

# Calls of a search relative to the minimum, ceil(N / 250): 1.01 to 1.04 in simulations with 10,000
# to 500,000 photos of an area.
OVERHEAD = 1.04
# Mean size of Flickr's 500 px files, from Flickr30k: 31,783 photos of this size in 4.38 GB.
PHOTO_BYTES = 138_000
# JPEG of a 750 px square of imagery by chroma subsampling: two qualities with the measured bytes.
# Other qualities use a power law of the quantisation. On other imagery this was correct to 12 %
# from quality 50 to 95, and 25 % too high at 98.
CHIP_BYTES = {
    "4:4:4": ((90, 139 * 1024), (95, 209 * 1024)),
    "4:2:0": ((75, 66 * 1024), (90, 108 * 1024)),
}
CHIP_PX = 750
# Photos a second of a download: the limits that users report for Flickr's host (one in 10 s, one in
# 3 s), and rates without limits.
PACES_PER_S = (0.1, 1 / 3, 10.0, 100.0)


def calls(photos: int, search: Search) -> int:
    """Return the API calls of a complete search for a number of photos: sweeps, probes, audit.

    Each licence without photos may cost one more call.
    """
    sweeps = search.sweeps * math.ceil(OVERHEAD * max(1, math.ceil(photos / PER_PAGE)))
    licenses = 1
    if search.audit == 0:
        return sweeps + licenses
    audit = min(max(LEAST, math.ceil(search.audit * sweeps)), sweeps) if photos else 0
    return sweeps + licenses + len(PROBES) + audit


def download_hours(photos: int) -> dict[str, float]:
    """Return the hours of a download at each of :data:`PACES_PER_S`, by the rate in words."""
    return {_pace(per_s): photos / per_s / 3600 for per_s in PACES_PER_S}


def _pace(per_s: float) -> str:
    return f"{per_s:g}/s" if per_s >= 1 else f"1 in {1 / per_s:g} s"


def chip_bytes(chips: Chips) -> int:
    """Estimate the size of a chip's file [bytes]."""
    (low, small), (high, large) = CHIP_BYTES[chips.subsampling]
    power = math.log(large / small) / math.log(_coarseness(low) / _coarseness(high))
    there: float = small * (_coarseness(low) / _coarseness(chips.jpeg_quality)) ** power
    return round(there * (chips.size_px / CHIP_PX) ** 2)


def _coarseness(quality: int) -> float:
    """Return the scale of the quantisation tables as libjpeg's jpeg_quality_scaling computes it.

    Quality 100 counts as 99: its steps are 1, not 0.
    """
    return 50 / quality if quality < 50 else (100 - min(quality, 99)) / 50


def mean_photo(folders: Iterable[Path]) -> tuple[int, int]:
    """Return the mean size of photos and their number; without photos, the default size and 0.

    Args:
        folders: folders of tables ``downloads``, which need not exist.
    """
    sizes = [pd.Series(dtype="Int64")]
    for folder in folders:
        for path in sorted(folder.glob("*.parquet")):
            sizes.append(column(path, "bytes"))
    known = pd.concat(sizes).dropna()
    return (round(float(known.mean())), len(known)) if len(known) else (PHOTO_BYTES, 0)


def listed(aoi: str) -> int | None:
    """Return the number of photos of the AOI's finished search, without deleted photos."""
    path = Path("results") / aoi / "photos.parquet"
    if not path.is_file():
        return None
    if "is_gone" in pq.read_schema(path).names:
        return int((~column(path, "is_gone").fillna(False)).sum())
    return len(column(path, "id"))


def column(path: Path, name: str) -> pd.Series[Any]:
    """Read one column of a table.

    Raises:
        UserError: the file is damaged or lacks the column.
    """
    try:
        return pd.read_parquet(path, columns=[name])[name]
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is not a readable table; delete the file and repeat the command."
        ) from error
