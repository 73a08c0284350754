"""Types and helpers shared by all sources of photos."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from witw import tables
from witw.ground.shapes import Ground
from witw.sources.terms import terms
from witw.status import Status
from witw.store import PHOTO_ID

PIN = "#sha256="  # separates the address or path of a file from its required digest
LONGEST = 40  # characters in a part of an id
_PLAIN = re.compile(r"[a-z0-9_]{1,40}(-[a-z0-9_]{1,40})?")

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Source = Mapping[str, Any]  # an entry of `photos` in the spec of `search`


@dataclass(frozen=True)
class Place:
    """The area whose photos are listed.

    Attributes:
        aoi: Name of the area.
        bbox_deg: West, south, east, north, EPSG:4326 [degrees].
        spec: Spec of the stage, for sources that read other keys.
        ground: Extent of the area; None: its box.
    """

    aoi: str
    bbox_deg: tuple[float, float, float, float]
    spec: Mapping[str, Any] = field(default_factory=dict)
    ground: Ground | None = None

    def holds(self, lon: Floats, lat: Floats) -> Bools:
        """Return which positions lie in the area; its edge belongs to it, NaN does not."""
        return (self.ground or Ground(self.bbox_deg)).holds(lon, lat)


@dataclass
class Listed:
    """Photos that a source lists for an area.

    Attributes:
        rows: Columns of table ``photos``; missing columns are empty.
        read: Number of records read.
        outside: Number of records outside the area.
        left_out: Number of records that cannot be listed, by reason.
        calls: Number of requests made.
        notes: Sentences for the report.
    """

    rows: pd.DataFrame
    read: int = 0
    outside: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    notes: list[str] = field(default_factory=list)


def flawed(lon: Floats, lat: Floats) -> Bools:
    """Return which positions are invalid: missing, 0/0, beyond the poles or over one full turn."""
    with np.errstate(invalid="ignore"):
        good = (np.abs(lat) <= 90) & (np.abs(lon) <= 180) & ~((lat == 0) & (lon == 0))
    return np.asarray(~good)


def chosen(place: Place, lon: Floats, lat: Floats) -> tuple[Bools, Bools]:
    """Return which records to list, and which of them lack a position."""
    bad = flawed(lon, lat)
    return place.holds(lon, lat) & ~bad | bad, bad


def complete(rows: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Return rows with all columns of table ``photos``, filling in the source's licence and owner.

    Unknown text is empty, as in Flickr's rows.

    Args:
        rows: Some of the columns.
        source: The source's entry in the spec.
    """
    out = rows.assign(source=source["name"], cell=source["name"], is_gone=False)
    for key, column in tables.PHOTOS.items():
        if key not in out:
            empty = "" if column.dtype == "string" else pd.NA
            out[key] = pd.Series(empty, index=out.index, dtype=column.dtype)
    owner = out["owner"].fillna("").where(lambda o: o != "", source["owner"])
    shown = out["owner_name"].fillna("").where(lambda o: o != "", owner)
    license_name = out["license"].fillna("").where(lambda o: o != "", source["license"])
    found = [terms(*pair) for pair in zip(license_name, out["license_url"].fillna(""), strict=True)]
    no_place = flawed(*(out[key].to_numpy(float, na_value=np.nan) for key in ("lon", "lat")))
    unusable = out["unusable"].fillna("")
    out = out.assign(
        owner=owner,
        owner_name=shown,
        license=[one.name for one in found],
        license_url=[one.url for one in found],
        license_id=pd.array([one.id for one in found], dtype="Int16"),
        unusable=unusable.where((unusable != "") | ~no_place, Status.NO_POSITION.value),
    )
    # A latitude of 213 must not reach a map or a projection.
    out.loc[no_place, ["lat", "lon"]] = pd.NA
    return tables.frame("photos", out)


def ids(name: str, given: Sequence[str]) -> list[str]:
    """Return the ids of a source's photos: its name plus the given id or, if unsafe, a hash.

    Upper case is hashed too, because some file systems treat `A.jpg` and `a.jpg` as one file.
    """
    return [
        f"{name}-{text}" if _PLAIN.fullmatch(text) else f"{name}-{digest(text)}" for text in given
    ]


def digest(text: str, digits: int = 16) -> str:
    """Return the first digits of a text's SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:digits]


def pinned(url: str) -> tuple[str, str]:
    """Split an address or path from the required digest of its file; '' if any file is accepted."""
    place, pin, sha256 = url.rpartition(PIN)
    return (place, sha256) if pin else (url, "")


def is_local(url: str) -> bool:
    """Return whether a location is a path rather than an address."""
    return bool(url) and "://" not in url


def check_ids(rows: pd.DataFrame) -> None:
    """Check that a source's ids are valid in the photo store.

    Raises:
        ValueError: An id is invalid; the message names it.
    """
    odd = [photo_id for photo_id in rows["id"] if not PHOTO_ID.fullmatch(photo_id)]
    if odd:
        raise ValueError(f"{odd[0]!r} is not a valid photo id")
