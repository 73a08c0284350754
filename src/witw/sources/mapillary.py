"""Photos from Mapillary's API, version 4, with the token `MAPILLARY_TOKEN` of the environment.

Facts about the API (https://www.mapillary.com/developer/api-documentation): `/images` accepts a box
below 0.01 square degrees and returns at most 2,000 images without further pages. Users report that
larger boxes are thinned out. This module therefore cuts the area into boxes of 0.01 degrees, and a
full box into quarters. File addresses expire, so a row stores the image's own address, and
`download` requests the file's address when needed. All images are CC BY-SA 4.0.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import requests

from witw import environment, stage
from witw.errors import UserError
from witw.flickr.headers import retry_after_s, user_agent
from witw.sources.base import Listed, Place, Source, complete, flawed
from witw.sources.columns import moment

# Prefix of an image's address in table `photos`, which is not yet its file's address.
SCHEME = "mapillary+"
LICENSE = "CC BY-SA 4.0"
LIMIT = 2000
BOX_DEG, LEAST_DEG = 0.01, 0.0001
FIELDS = "id,geometry,computed_geometry,captured_at,compass_angle,computed_compass_angle"
FIELDS += ",creator,is_pano"
FILE = "thumb_1024_url"
WORKERS = 4
TRIES, PAUSE_S, LONGEST_S = 6, 1.0, 60.0
TIMEOUT_S = (10, 60)
_PANORAMA = "a 360 degree panorama"
_UNREADABLE = "a record without an id or position"

Box = tuple[float, float, float, float]


class Client:
    """Client of the API with retries."""

    def __init__(self, address: str, aoi: str) -> None:
        self.address, self.aoi = address, aoi
        self.calls = 0
        self._session = requests.Session()
        # The token goes into a header: addresses appear in logs and errors.
        self._session.headers["Authorization"] = f"OAuth {environment.token()}"
        self._session.headers["User-Agent"] = user_agent()

    def get(self, path: str, **params: str) -> dict[str, Any] | None:
        """Return the response; None if there is no such image.

        Raises:
            UserError: The API refuses, or does not answer after several tries.
        """
        reason, pause_s = "", PAUSE_S
        for attempt in range(TRIES):
            if attempt:
                time.sleep(min(pause_s, LONGEST_S))
            self.calls += 1
            try:
                answer = self._session.get(
                    f"{self.address}/{path}", params=params, timeout=TIMEOUT_S
                )
            except requests.RequestException as error:
                reason, pause_s = type(error).__name__, pause_s * 2
                continue
            told = retry_after_s(answer.headers.get("Retry-After"), answer.headers.get("Date"))
            reason, pause_s = f"HTTP {answer.status_code}", told or pause_s * 2
            if answer.status_code in (401, 403):
                raise UserError(
                    f"Area {self.aoi!r}: Mapillary refuses the token in {environment.MAPILLARY} "
                    f"(HTTP {answer.status_code}); use the client token of an application."
                )
            if answer.status_code in (400, 404) and path != "images":
                return None
            if answer.status_code == 200:
                try:
                    found = answer.json()
                except ValueError:
                    reason = "a response that is not JSON"
                    continue
                if isinstance(found, dict):
                    return found
        raise UserError(
            f"Area {self.aoi!r}: Mapillary ({self.address}) gave no usable response in {TRIES} "
            f"tries ({reason}); run again later."
        )


def listed(source: Source, place: Place) -> Listed:
    """List the images in the area.

    Args:
        source: ``path`` (the API's address), ``name`` and ``owner``.
        place: The area.

    Raises:
        UserError: The token is missing, or the API refuses or does not answer.
    """
    client = Client(source["path"], place.aoi)
    found = Listed(pd.DataFrame())
    boxes = list(cut(place.bbox_deg))
    rows: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = pool.map(lambda box: _box(client, box, found), boxes)
        for images in stage.progress(answers, f"{place.aoi}: Mapillary", total=len(boxes)):
            for image in images:
                made = _row(image, source, client.address)
                if isinstance(made, str):
                    found.left_out[made] = found.left_out.get(made, 0) + 1
                else:
                    rows[made["id"]] = made
    found.read, found.calls = len(rows), client.calls
    table = pd.DataFrame(list(rows.values()), columns=COLUMNS)
    lon, lat = table["lon"].to_numpy(float), table["lat"].to_numpy(float)
    inside = place.holds(lon, lat) & ~flawed(lon, lat)
    found.outside = int((~inside).sum())
    good = complete(table[inside].reset_index(drop=True), dict(source) | {"license": LICENSE})
    found.rows = good.sort_values("id", ignore_index=True)
    return found


COLUMNS = ["id", "lat", "lon", "owner", "date_taken", "heading_deg", "url", "photo_page"]


def cut(box: Box) -> Iterator[Box]:
    """Yield boxes of at most :data:`BOX_DEG`, row by row."""
    west, south, east, north = box
    columns = max(1, math.ceil((east - west) / BOX_DEG - 1e-9))
    rows = max(1, math.ceil((north - south) / BOX_DEG - 1e-9))
    xs, ys = np.linspace(west, east, columns + 1), np.linspace(south, north, rows + 1)
    for y, above in itertools.pairwise(ys):
        for x, right in itertools.pairwise(xs):
            yield float(x), float(y), float(right), float(above)


def _box(client: Client, box: Box, found: Listed) -> list[dict[str, Any]]:
    """Return the images of a box; a full box is queried by quarters."""
    bbox = ",".join(f"{edge:.7f}" for edge in box)
    answer = client.get("images", bbox=bbox, fields=FIELDS, limit=str(LIMIT)) or {}
    images = [image for image in answer.get("data") or [] if isinstance(image, dict)]
    if len(images) < LIMIT:
        return images
    west, south, east, north = box
    if east - west < LEAST_DEG:
        found.notes.append(f"The box {bbox} has more images than Mapillary shows for one place.")
        return images
    x, y = (west + east) / 2, (south + north) / 2
    quarters = ((west, south, x, y), (x, south, east, y), (west, y, x, north), (x, y, east, north))
    return [image for quarter in quarters for image in _box(client, quarter, found)]


def _row(image: Mapping[str, Any], source: Source, api: str) -> dict[str, Any] | str:
    """Return columns of table ``photos``, or the reason why the image is left out."""
    number = str(image.get("id", ""))
    place = image.get("computed_geometry") or image.get("geometry")
    try:
        lon, lat = (float(value) for value in place["coordinates"][:2])  # type: ignore[index]
    except (TypeError, ValueError, KeyError):
        return _UNREADABLE
    if not number.isascii() or not number.isdigit() or len(number) > 20:
        return _UNREADABLE
    if image.get("is_pano"):
        return _PANORAMA
    creator = image.get("creator")
    heading = image.get("computed_compass_angle", image.get("compass_angle"))
    angle = float(heading) if isinstance(heading, int | float) else math.nan
    return {
        "id": f"{source['name']}-{number}",
        "lat": lat,
        "lon": lon,
        "owner": str(creator.get("username", "")) if isinstance(creator, dict) else "",
        "date_taken": moment(str(image.get("captured_at", ""))),
        "heading_deg": angle % 360 if math.isfinite(angle) else None,
        "url": f"{SCHEME}{api}/{number}",
        "photo_page": f"https://www.mapillary.com/app/?pKey={number}",
    }


def addresses(urls: Sequence[str], aoi: str) -> dict[str, str]:
    """Return the current file addresses of images; '' for an image that no longer exists.

    Args:
        urls: Addresses as in table ``photos``.
        aoi: The area, for error messages.

    Raises:
        UserError: The token is missing, or the API refuses or does not answer.
    """
    if not urls:
        return {}
    clients = {
        api: Client(api, aoi)
        for api in {url.removeprefix(SCHEME).rpartition("/")[0] for url in urls}
    }

    def fresh(url: str) -> str:
        api, _, number = url.removeprefix(SCHEME).rpartition("/")
        answer = clients[api].get(number, fields=f"id,{FILE}")
        return str((answer or {}).get(FILE) or "")

    with ThreadPoolExecutor(WORKERS) as pool:
        told = stage.progress(pool.map(fresh, urls), "Mapillary", total=len(urls))
        return dict(zip(urls, told, strict=True))
