"""List every openly licensed, geotagged photo of an AOI once."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from witw import stage, tables
from witw.flickr import licenses
from witw.flickr.api import PAST_END, Client, RefusedError
from witw.flickr.photos import Photo, UnusableError, address, integer, parse, rows_of, text
from witw.flickr.quadtree import Ask, Box, Cell, Entry, Page, Walk
from witw.preflight import environment
from witw.settings import Search

VERSION = 1
READS = ("bbox_deg", "search", "flickr.api_url", "flickr.photo_hosts")

PER_PAGE = 250  # "geo (or bounding box) queries will only return 250 results per page"
EXTRAS = "license,date_upload,date_taken,owner_name,geo,url_m"

log = logging.getLogger("witw")

Rows = list[dict[str, Any]]


class Listing:
    """The photos of one AOI as they come in.

    Args:
        bbox_deg: the AOI, edges included, EPSG:4326 [degrees].
        snapshot: latest upload date that counts [s].
        license_ids: licences that count.
        host: where photos lie whose answer has no address.
    """

    def __init__(
        self,
        bbox_deg: tuple[float, float, float, float],
        snapshot: int,
        license_ids: Sequence[int],
        host: str,
    ) -> None:
        self.photos: dict[str, Photo] = {}
        self.left_out: dict[str, str] = {}
        self._bbox_deg = bbox_deg
        self._snapshot = snapshot
        self._license_ids = frozenset(license_ids)
        self._host = host

    def read(self, answer: Mapping[str, Any]) -> Page:
        """Take in one answer of flickr.photos.search.

        Raises:
            ValueError: it is none.
        """
        group, rows = rows_of(answer, "photos", "photo")
        return Page(
            total=integer(group.get("total")) or 0,
            pages=integer(group.get("pages")) or 0,
            per_page=min(max(integer(group.get("perpage")) or PER_PAGE, 1), PER_PAGE),
            entries=[self._entry(row) for row in rows],
        )

    def _entry(self, raw: object) -> Entry:
        fields: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        photo_id, upload = text(fields.get("id")), integer(fields.get("dateupload")) or 0
        try:
            photo = parse(raw, self._host)
            self._check(photo)
        except UnusableError as reason:
            self.left_out[photo_id] = str(reason)
            return Entry(photo_id, upload, wanted=False)
        self.photos.setdefault(photo.id, photo)
        return Entry(photo.id, upload, wanted=True)

    def _check(self, photo: Photo) -> None:
        west, south, east, north = self._bbox_deg
        if not (west <= photo.lon <= east and south <= photo.lat <= north):
            raise UnusableError("outside the box")
        if photo.date_upload > self._snapshot:
            raise UnusableError("uploaded after the snapshot")
        if photo.license_id not in self._license_ids:
            raise UnusableError("another licence")


def asker(
    client: Client, listing: Listing, license_ids: Sequence[int], shown: Callable[[Page], None]
) -> Ask:
    """The service as the walk sees it; ``shown`` is called with every page."""

    def ask(box: Box, max_upload: int, number: int) -> Page:
        try:
            page = client.call(
                "flickr.photos.search",
                listing.read,
                bbox=box.text,
                license=",".join(map(str, license_ids)),
                # Without a limiting date a box is searched for the last 12 hours only.
                min_upload_date=1,
                max_upload_date=max_upload,
                sort="date-posted-desc",
                has_geo=1,
                media="photos",
                content_types="0",
                extras=EXTRAS,
                per_page=PER_PAGE,
                page=number,
            )
        except RefusedError as refusal:
            if refusal.code != PAST_END or number == 1:
                raise
            page = Page(0, 0, PER_PAGE, [])
        shown(page)
        return page

    return ask


def run(spec: Mapping[str, Any], client: Client) -> tuple[Rows, Rows]:
    """Search one AOI.

    Args:
        spec: the stage's spec.
        client: of the service.

    Returns:
        Rows of the tables ``photos`` and ``cells``.

    Raises:
        UserError: the service does not know a licence, refuses or does not answer.
    """
    aoi, settings = spec["aoi"], Search.model_validate(spec["search"])
    known = licenses.table(client)
    licenses.check(settings.licenses, known, aoi)
    snapshot = _seconds(settings.snapshot)
    bbox_deg = tuple(spec["bbox_deg"])
    host = address(spec["flickr"]["photo_hosts"])
    listing = Listing(bbox_deg, snapshot, settings.licenses, host)
    with stage.bar(f"{aoi}: search", unit=" photos") as bar:

        def show(page: Page) -> None:
            bar.total = max(bar.total or 0, page.total)
            bar.update(len(listing.photos) - bar.n)

        walk = Walk(asker(client, listing, settings.licenses, show), snapshot, settings.box_total)
        walk.run(Box.around(bbox_deg))
        if not walk.listed and len(settings.licenses) > 1:
            # Seen: a list of licences that yields nothing where each of them alone yields photos.
            for number in settings.licenses:
                walk.ask = asker(client, listing, [number], show)
                walk.run(Box.around(bbox_deg), f"{number}:r")
    _report(aoi, walk, listing, client.calls)
    photos = [_row(listing.photos[i], known, cell) for i, cell in walk.listed.items()]
    return photos, [_cell_row(cell) for cell in walk.cells.values()]


def _seconds(moment: datetime) -> int:
    return math.floor(moment.timestamp())


def _row(photo: Photo, known: Mapping[int, licenses.License], cell: str) -> dict[str, Any]:
    found = known[photo.license_id]
    return asdict(photo) | {
        "license": found.name,
        "license_url": found.url,
        "photo_page": photo.page,
        "cell": cell,
    }


def _cell_row(cell: Cell) -> dict[str, Any]:
    sides = dict(zip(("west", "south", "east", "north"), cell.box.degrees, strict=True))
    return asdict(cell) | sides


def _report(aoi: str, walk: Walk, listing: Listing, requests: int) -> None:
    photos, calls = len(walk.listed), sum(cell.calls for cell in walk.cells.values())
    missing = sum(cell.unreachable for cell in walk.cells.values())
    reasons = Counter(
        reason for photo_id, reason in listing.left_out.items() if photo_id not in walk.listed
    )
    for reason, count in sorted(reasons.items()):
        log.info("%s: %d answered but not listed: %s", aoi, count, reason)
    if missing:
        log.warning("%s: Flickr counts %d more photos than it lists", aoi, missing)
    least = max(1, math.ceil(photos / PER_PAGE))
    log.info(
        "%s: %d photos in %d calls, %.3f times the least possible; %d requests in all",
        aoi,
        photos,
        calls,
        calls / least,
        requests,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = stage.arguments("search", __doc__, outputs=["photos", "cells"], argv=argv)
    environment()
    client = Client.from_environment(args.spec["flickr"]["api_url"])
    photos, cells = run(args.spec, client)
    tables.write(args.photos, "photos", photos)
    tables.write(args.cells, "cells", cells)


if __name__ == "__main__":
    stage.execute(main)
