"""The service as the walk sees it: answers looked at with suspicion, and never asked for twice."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from witw.errors import UserError
from witw.flickr.api import PAST_END, Attempt, Client, RefusedError
from witw.flickr.journal import Journal, redact
from witw.flickr.pages import PER_PAGE, Entry, Page, Query
from witw.flickr.photos import Photo, UnusableError, integer, parse, real, rows_of, text
from witw.forgotten import ALIAS, NOTHING, Forgotten
from witw.store import PHOTO_ID

EXTRAS = "license,date_upload,date_taken,owner_name,geo,url_m"
# A service may cut off decimals of a box; what lies farther out was not asked for [degrees].
SLACK_DEG = 1e-4
# Fruitless second questions about one kind of flaw, until it is taken as the service's way.
PATIENCE = 3
# Counts beyond this are no counts; so much fits every table.
MOST = 2**31 - 1
# Flaw of a photo whose owner asked to remove it.
FORGOTTEN = "forgotten"
# Up to such a share of an answer's dates may be wrong without a doubt about all of them.
ODD_DATES = 0.1

log = logging.getLogger("witw")


class Listing:
    """The photos of one AOI as answers bring them in.

    Args:
        bbox_deg: the AOI, edges included, EPSG:4326 [degrees].
        snapshot: latest upload date that counts [s].
        license_ids: licences that count.
        host: where photos lie whose answer has no address.

    Attributes:
        photos: what may be listed, by id; of several answers, that of the smallest question.
        left_out: reason by id, or by place where a record has no proper id.
        hidden: upload date [s] and licence of forgotten photos, by alias.
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
        self.hidden: dict[str, tuple[int, int | None]] = {}
        self._bbox_deg = bbox_deg
        self._snapshot = snapshot
        self._license_ids = frozenset(license_ids)
        self._host = host
        self._from: dict[str, str] = {}
        self._lock = threading.Lock()

    def read(self, answer: Mapping[str, Any], query: Query) -> Page:
        """Take in one answer of flickr.photos.search.

        Raises:
            ValueError: it is none.
        """
        group, rows = rows_of(answer, "photos", "photo")
        total = integer(group.get("total"))
        # Of nothing, answers say "" or 0; what says neither has lost its photos on the way.
        if not rows and total is None and group.get("total") != "":
            raise ValueError("neither photos nor how many there are")
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

    def leave_out(self, page: Page, query: Query) -> None:
        """Remember what a page has that is not to be listed, and why."""
        with self._lock:
            for number, entry in enumerate(page.entries):
                if entry.flaw and entry.flaw != FORGOTTEN:
                    place = f"record {number} of {query.key}"
                    self.left_out[entry.id if PHOTO_ID.fullmatch(entry.id) else place] = entry.flaw

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
            return Entry(photo_id, upload, str(reason))
        # Answers may differ from each other; which one counts must not depend on their order.
        if photo_id not in self.photos or key < self._from[photo_id]:
            self.photos[photo_id], self._from[photo_id] = photo, key
        return Entry(photo_id, upload)

    def _check(self, photo: Photo) -> None:
        west, south, east, north = self._bbox_deg
        if not (west <= photo.lon <= east and south <= photo.lat <= north):
            raise UnusableError("outside the box")
        if photo.date_upload > self._snapshot:
            raise UnusableError("uploaded after the snapshot")
        if photo.license_id not in self._license_ids:
            raise UnusableError("another licence")


def _bounded(count: int | None) -> int:
    return min(max(count or 0, 0), MOST)


def _plausible(entries: list[Entry], query: Query) -> list[Entry]:
    """The entries; a few dates that were not asked for are taken for unknown.

    If there are many, the question's dates were not heeded, and the order is in doubt.
    """
    odd = [entry.upload > 0 and not query.low <= entry.upload <= query.high for entry in entries]
    if sum(odd) > ODD_DATES * len(entries):
        return entries
    pairs = zip(entries, odd, strict=True)
    return [entry._replace(upload=0) if is_odd else entry for entry, is_odd in pairs]


def _strays(
    raw: object, box_deg: tuple[float, float, float, float], licenses: Collection[int]
) -> bool:
    """Whether a photo is certainly not what was asked for."""
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


class Service:
    """Asks flickr.photos.search through a journal; for any number of threads.

    Args:
        aoi: for error texts.
        client: of the API.
        journal: of the crawl.
        listing: where photos go.
        shown: called with every page.
        removed: photos that are neither listed nor kept.
    """

    def __init__(
        self,
        aoi: str,
        client: Client,
        journal: Journal,
        listing: Listing,
        shown: Callable[[Page], None],
        removed: Forgotten = NOTHING,
    ) -> None:
        self._aoi, self._client, self._journal = aoi, client, journal
        self._listing, self._shown, self._removed = listing, shown, removed
        self._fruitless = journal.fruitless()

    def ask(self, query: Query) -> Page:
        """Answer a question; a page with flaws is asked for a second time, and the better taken.

        Raises:
            UserError: the service refuses, does not answer, or answers something else altogether.
        """
        before = [self._read(body, query) for body in self._journal.answers(query.key)]
        # What a service said when it did not listen must not stop the next run as well.
        pages = [page for page in before if not _is_worthless(page)] or [self._call(query)]
        flaw = _flaw(pages[0], query)
        patient = self._fruitless[flaw] < PATIENCE or _is_worthless(pages[0])
        if flaw and patient and len(before) < 2 and len(pages) == 1:
            pages.append(self._call(query))
            self._fruitless[flaw] += _flaw(pages[1], query) == flaw
        page = min(pages, key=lambda page: _flaws(page, query))
        if _is_worthless(page):
            raise UserError(
                f"AOI {self._aoi!r}: most photos of an answer are not in the box or of the "
                "licences asked for, so the list would be worthless; check `flickr.api_url`."
            )
        self._listing.leave_out(page, query)
        self._shown(page)
        return page

    def _read(self, body: bytes, query: Query) -> Page:
        if not body:
            return _past_the_end()
        answer = json.loads(body)
        redact(answer, self._removed)
        return self._listing.read(answer, query)

    def _call(self, query: Query) -> Page:
        page: list[Page] = []
        body: list[bytes] = []

        def read(answer: Mapping[str, Any]) -> Page:
            body[:] = [json.dumps(answer).encode()] if redact(answer, self._removed) else []
            page[:] = [self._listing.read(answer, query)]
            return page[0]

        def watch(attempt: Attempt) -> None:
            if attempt.ok:
                attempt = replace(attempt, body=body[0]) if body else attempt
                self._journal.record(query.key, attempt, page[0], _flaw(page[0], query))
            else:
                self._journal.record(query.key, attempt, None)

        try:
            return self._client.call("flickr.photos.search", read, watch, **params(query))
        except RefusedError as refusal:
            if refusal.code != PAST_END or query.page == 1:
                raise
            return _past_the_end()


def _past_the_end() -> Page:
    return Page(0, 0, PER_PAGE, [])


def _flaw(page: Page, query: Query) -> str:
    """What a second question might mend; '': nothing."""
    is_empty, broken, strayed, is_disordered = _flaws(page, query)
    if is_disordered:
        return "order"
    return "stray" if strayed else "record" if broken else "empty" if is_empty else ""


def _flaws(page: Page, query: Query) -> tuple[bool, int, int, bool]:
    """Are all photos missing? Records not readable, photos not asked for; is the order broken?"""
    is_empty = query.page == 1 and page.total > 0 and not page.entries
    broken = sum(1 for entry in page.entries if not entry.id or not entry.upload)
    is_disordered = query.page == 1 and not page.is_in_order(query.high)
    return is_empty, broken, page.strayed, is_disordered


def _is_worthless(page: Page) -> bool:
    """Whether the service did not listen to the question."""
    return page.strayed * 2 > len(page.entries)


def params(query: Query) -> dict[str, object]:
    """A question as parameters of flickr.photos.search."""
    asked: dict[str, object] = {
        "bbox": query.box.text,
        "license": ",".join(map(str, query.licenses)),
        # Without a limiting date a box is searched for the last 12 hours only.
        "min_upload_date": query.low,
        "max_upload_date": query.high,
        "sort": "date-posted-desc",
        "has_geo": 1,
        "media": "photos",
        "content_types": "0",
        "extras": EXTRAS,
        "per_page": PER_PAGE,
        "page": query.page,
    }
    return asked | ({"accuracy": query.accuracy} if query.accuracy else {})
