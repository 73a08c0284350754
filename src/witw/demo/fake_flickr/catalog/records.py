"""Photos of the stand-in, and Flickr's licences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

from witw.errors import UserError
from witw.files import atomic

# Response of flickr.photos.licenses.getInfo in June 2025, in its order.
LICENSES = {
    0: (
        "All Rights Reserved",
        "https://www.flickrhelp.com/hc/en-us/articles/"
        "10710266545556-Using-Flickr-images-shared-by-other-members",
    ),
    4: ("CC BY 2.0", "https://creativecommons.org/licenses/by/2.0/"),
    6: ("CC BY-ND 2.0", "https://creativecommons.org/licenses/by-nd/2.0/"),
    3: ("CC BY-NC-ND 2.0", "https://creativecommons.org/licenses/by-nc-nd/2.0/"),
    2: ("CC BY-NC 2.0", "https://creativecommons.org/licenses/by-nc/2.0/"),
    1: ("CC BY-NC-SA 2.0", "https://creativecommons.org/licenses/by-nc-sa/2.0/"),
    5: ("CC BY-SA 2.0", "https://creativecommons.org/licenses/by-sa/2.0/"),
    7: ("No known copyright restrictions", "https://www.flickr.com/commons/usage/"),
    8: ("United States Government Work", "https://www.usa.gov/government-copyright"),
    9: (
        "Public Domain Dedication (CC0)",
        "https://creativecommons.org/publicdomain/zero/1.0/",
    ),
    10: ("Public Domain Mark", "https://creativecommons.org/publicdomain/mark/1.0/"),
    11: ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"),
    12: ("CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
    13: ("CC BY-ND 4.0", "https://creativecommons.org/licenses/by-nd/4.0/"),
    14: ("CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/"),
    15: ("CC BY-NC-SA 4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/"),
    16: ("CC BY-NC-ND 4.0", "https://creativecommons.org/licenses/by-nc-nd/4.0/"),
}


@dataclass(frozen=True)
class CatalogPhoto:
    """One photo of the synthetic city.

    Attributes:
        id: Digits, like Flickr's.
        owner: NSID, like ``00000001@N00``.
        owner_name: Screen name.
        title: Any text.
        lat: Geotag, EPSG:4326 [degrees].
        lon: Geotag, EPSG:4326 [degrees].
        accuracy: 1 (world) to 16 (street).
        license_id: 0 to 16.
        date_upload: Seconds since 1970-01-01 UTC.
        date_taken: ``YYYY-MM-DD HH:MM:SS``, local time.
        secret: Middle part of the file's address.
        server: Folder in the file's address.
        removed: Response of the photo host instead of the picture, one of
            :data:`witw.demo.fake_flickr.faults.FATES`, like ``404``, ``410`` or ``placeholder`` (a
            redirect to a notice); empty: the picture exists.
        has_url: Whether responses contain ``url_m``.
        width: Width of the 500 px file [px].
        height: Height of the 500 px file [px].
        context: 0 not defined, 1 indoors, 2 outdoors.
        media: ``photo`` or ``video``.
        content_type: 0 photo, 1 screenshot, 2 other, 3 virtual photography.
        safety: 0 safe, 1 moderate, 2 restricted.
        has_geo: Whether the photo has a geotag; otherwise ``lat``, ``lon`` and ``accuracy`` are
            ignored.
    """

    id: str
    owner: str
    owner_name: str
    title: str
    lat: float
    lon: float
    accuracy: int
    license_id: int
    date_upload: int
    date_taken: str
    secret: str
    server: str
    removed: str = ""
    has_url: bool = True
    width: int = 500
    height: int = 375
    context: int = 0
    media: str = "photo"
    content_type: int = 0
    safety: int = 0
    has_geo: bool = True


def save_catalog(path: Path, photos: Sequence[CatalogPhoto]) -> None:
    """Write photos as parquet, one column per field, sorted by id."""
    rows = sorted((asdict(photo) for photo in photos), key=lambda row: str(row["id"]))
    with atomic(path) as part:
        pd.DataFrame(rows, columns=[f.name for f in fields(CatalogPhoto)]).to_parquet(
            part, index=False
        )


def load_catalog(path: Path) -> list[CatalogPhoto]:
    """Read a file written by :func:`save_catalog`.

    Raises:
        UserError: The file is missing or is not a catalog.
    """
    try:
        rows = pd.read_parquet(path).to_dict("records")
        return [CatalogPhoto(**{str(key): value for key, value in row.items()}) for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a catalog of photos: {error}.") from None
