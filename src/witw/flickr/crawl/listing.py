"""List the photos of one area, read from the responses of flickr.photos.search."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from witw.flickr.api.records import Photo, UnusableError, integer, parse, real, rows_of, text
from witw.flickr.crawl.pages import PER_PAGE, Entry, Page, Query
from witw.forgotten import ALIAS
from witw.ground.shapes import Ground
from witw.store import FLICKR_ID

# A service may truncate decimals of a box; photos beyond this margin were not requested [degrees].
SLACK_DEG = 1e-4
# Larger counts are invalid; counts up to this fit every table.
MOST = 2**31 - 1
# Flaw of a photo whose owner asked for its removal.
FORGOTTEN = "forgotten"
OUTSIDE = "outside the area"
# Up to this share of a page's dates may be wrong before all of them are doubted.
ODD_DATES = 0.1


class Listing:
    """The photos of one area, collected from responses.

    Args:
        ground: Extent of the area.
        snapshot: Latest upload date that counts [s].
        license_ids: Accepted licences.
        host: Photo host for records without an address.

    Attributes:
        photos: Listable photos by id; of several records, the one from the smallest query.
        left_out: Reason by id, or by position if a record has no valid id.
        hidden: Upload date [s] and licence of forgotten photos, by alias.
    """

    def __init__(
        self,
        ground: Ground,
        snapshot: int,
        license_ids: Sequence[int],
        host: str,
    ) -> None:
        self.photos: dict[str, Photo] = {}
        self.left_out: dict[str, str] = {}
        self.hidden: dict[str, tuple[int, int | None]] = {}
        self._ground = ground
        self._snapshot = snapshot
        self._license_ids = frozenset(license_ids)
        self._host = host
        self._from: dict[str, str] = {}
        self._lock = threading.Lock()

    def read(self, answer: Mapping[str, Any], query: Query) -> Page:
        """Add one response of flickr.photos.search.

        Raises:
            ValueError: The response is not one of this method.
        """
        group, rows = rows_of(answer, "photos", "photo")
        total = integer(group.get("total"))
        # An empty result has total "" or 0; a response with neither has lost its photos.
        if not rows and total is None and group.get("total") != "":
            raise ValueError("neither photos nor a total")
        key, box = query.key, query.box.degrees
        strayed = sum(_strays(row, box, query.licenses) for row in rows)
        with self._lock:
            entries = [self._entry(row, key) for row in rows]
        return Page(
            total=_bounded(total),
            pages=_bounded(integer(group.get("pages"))),
            per_page=min(_bounded(integer(group.get("perpage"))) or PER_PAGE, PER_PAGE),
            entries=_plausible(entries, query),
            strayed=strayed,
        )

    def by_id(self, answer: Mapping[str, Any]) -> Photo | None:
        """Add a response of flickr.photos.getInfo; return None if the photo cannot be listed."""
        said = answer["photo"]
        owner, dates, place = (
            part if isinstance(part := said.get(name), Mapping) else {}
            for name in ("owner", "dates", "location")
        )
        raw = {
            **{name: said.get(name) for name in ("id", "secret", "server", "license", "title")},
            **{name: place.get(name) for name in ("latitude", "longitude", "accuracy")},
            "owner": owner.get("nsid"),
            "ownername": owner.get("username"),
            "dateupload": dates.get("posted") or said.get("dateuploaded"),
            "datetaken": dates.get("taken"),
        }
        try:
            photo = parse(raw, self._host)
            self._check(photo)
        except UnusableError:
            return None
        return self.photos.setdefault(photo.id, photo)

    def leave_out(self, page: Page, query: Query) -> None:
        """Record the photos of a page that cannot be listed, with the reason."""
        with self._lock:
            for number, entry in enumerate(page.entries):
                if entry.flaw == OUTSIDE and self._ground.geometry is not None:
                    continue  # a queried box is larger than the area
                if entry.flaw and entry.flaw != FORGOTTEN:
                    place = f"record {number} of {query.key}"
                    self.left_out[entry.id if FLICKR_ID.fullmatch(entry.id) else place] = entry.flaw

    def _entry(self, raw: object, key: str) -> Entry:
        fields: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        photo_id, upload = text(fields.get("id")), max(integer(fields.get("dateupload")) or 0, 0)
        if photo_id.startswith(ALIAS):
            self.hidden[photo_id] = upload, integer(fields.get("license"))
            return Entry(photo_id, upload, FORGOTTEN)
        try:
            photo = parse(raw, self._host)
            self._check(photo)
        except UnusableError as reason:
            lon, lat = real(fields.get("longitude")), real(fields.get("latitude"))
            place = () if lon is None or lat is None else (lon, lat)
            return Entry(photo_id, upload, str(reason), *place)
        # Records of one photo may differ; the choice must not depend on their order.
        if photo_id not in self.photos or key < self._from[photo_id]:
            self.photos[photo_id], self._from[photo_id] = photo, key
        return Entry(photo_id, upload, "", photo.lon, photo.lat)

    def _check(self, photo: Photo) -> None:
        if not self._ground.holds(photo.lon, photo.lat):
            raise UnusableError(OUTSIDE)
        if photo.date_upload > self._snapshot:
            raise UnusableError("uploaded after the snapshot")
        if photo.license_id not in self._license_ids:
            raise UnusableError("another licence")


def _bounded(count: int | None) -> int:
    return min(max(count or 0, 0), MOST)


def _plausible(entries: list[Entry], query: Query) -> list[Entry]:
    """Return the entries, with a few dates outside the query replaced by unknown.

    If many are outside, the service ignored the query's dates, and the order is in doubt.
    """
    odd = [entry.upload > 0 and not query.low <= entry.upload <= query.high for entry in entries]
    if sum(odd) > ODD_DATES * len(entries):
        return entries
    pairs = zip(entries, odd, strict=True)
    return [entry._replace(upload=0) if is_odd else entry for entry, is_odd in pairs]


def _strays(
    raw: object, box_deg: tuple[float, float, float, float], licenses: Collection[int]
) -> bool:
    """Return whether a photo certainly does not match the query."""
    if not isinstance(raw, Mapping):
        return False
    lat, lon, number = real(raw.get("latitude")), real(raw.get("longitude")), raw.get("license")
    west, south, east, north = box_deg
    if lat is not None and not south - SLACK_DEG <= lat <= north + SLACK_DEG:
        return True
    if lon is not None and not west - SLACK_DEG <= lon <= east + SLACK_DEG:
        return True
    license_id = integer(number)
    return license_id is not None and license_id not in licenses
