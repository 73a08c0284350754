"""Query flickr.photos.search through the journal: check each response, send no query twice."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from witw.errors import UserError
from witw.flickr.api import licenses
from witw.flickr.api.client import Attempt
from witw.flickr.api.on_demand import Caller
from witw.flickr.api.records import Photo, text
from witw.flickr.api.refusals import PAST_END, RefusedError
from witw.flickr.crawl.journal import Journal
from witw.flickr.crawl.listing import Listing
from witw.flickr.crawl.pages import PER_PAGE, Page, Query
from witw.flickr.crawl.removal import redact
from witw.forgotten import NOTHING, Forgotten

INFO = "flickr.photos.getInfo"
# Error codes for a photo that does not exist or is not public.
NOT_THERE = (1, 2)
EXTRAS = "license,date_upload,date_taken,owner_name,geo,url_m"
# After this many fruitless repetitions, a kind of flaw is accepted as normal for the service.
PATIENCE = 3

log = logging.getLogger("witw")


class Service:
    """Queries flickr.photos.search through a journal; thread-safe.

    Args:
        aoi: Area, for error messages.
        client: Client of the API.
        journal: Journal of the crawl.
        listing: Receives the photos.
        shown: Called with every page.
        removed: Photos that are neither listed nor stored.

    Attributes:
        strayed: Keys of queries whose responses contained photos that do not match them.
    """

    def __init__(
        self,
        aoi: str,
        client: Caller,
        journal: Journal,
        listing: Listing,
        shown: Callable[[Page], None],
        removed: Forgotten = NOTHING,
    ) -> None:
        self._aoi, self._client, self._journal = aoi, client, journal
        self._listing, self._shown, self._removed = listing, shown, removed
        self._fruitless = journal.fruitless()
        self.strayed: set[str] = set()

    def ask(self, query: Query) -> Page:
        """Return the page of a query; a flawed page is queried again, and the better one is used.

        Raises:
            UserError: The service refuses, does not answer, or returns unrelated photos.
        """
        before = [self._read(body, query) for body in self._journal.answers(query.key)]
        # A response that ignores the query must not stop the next run as well.
        pages = [page for page in before if not _is_worthless(page)] or [self._call(query)]
        flaw = _flaw(pages[0], query)
        patient = self._fruitless[flaw] < PATIENCE or _is_worthless(pages[0])
        if flaw and patient and len(before) < 2 and len(pages) == 1:
            pages.append(self._call(query))
            self._fruitless[flaw] += _flaw(pages[1], query) == flaw
        page = min(pages, key=lambda page: _flaws(page, query))
        if _is_worthless(page):
            raise UserError(
                f"Area {self._aoi!r}: most photos of a response do not match the requested box or "
                "licences, so the list would be worthless; check `flickr.api_url`."
            )
        if page.strayed:
            self.strayed.add(query.key)
        self._listing.leave_out(page, query)
        self._shown(page)
        return page

    def probe(self, query: Query) -> Page:
        """Return the page of a query that the service may ignore: strays are no error here."""
        bodies = self._journal.answers(query.key)
        return self._read(bodies[0], query) if bodies else self._call(query)

    def by_id(self, photo_id: str) -> Photo | None:
        """Look up a photo by its id; return None if it does not exist or cannot be listed.

        Raises:
            UserError: The service refuses or does not answer.
        """

        def read(answer: Mapping[str, Any]) -> Mapping[str, Any]:
            said = answer.get("photo")
            if not isinstance(said, Mapping) or text(said.get("id")) != photo_id:
                raise ValueError("a different photo, or none")
            return answer

        try:
            answer = self._answer(INFO, f"{INFO} {photo_id}", read, NOT_THERE, photo_id=photo_id)
        except RefusedError as refusal:
            if refusal.code not in NOT_THERE:
                raise
            return None
        return None if answer is None else self._listing.by_id(answer)

    def licenses(self, wanted: Sequence[int]) -> dict[int, licenses.License]:
        """Return the service's licences by id, including those wanted.

        Raises:
            UserError: The service refuses, does not answer, or does not know a licence.
        """
        known = self._answer(licenses.METHOD, licenses.METHOD, licenses.parse)
        if known is None or set(wanted) - set(known):
            # The journal's table may be older than a licence.
            known = self._asked(licenses.METHOD, licenses.METHOD, licenses.parse)
        licenses.check(wanted, known, self._aoi)
        return known

    def _answer[T](
        self,
        method: str,
        key: str,
        read: Callable[[Mapping[str, Any]], T],
        refusals: Sequence[int] = (),
        **asked: object,
    ) -> T | None:
        """Return the journal's latest answer, else the service's; None if it was refused before."""
        bodies = self._journal.answers(key, refusals)
        if not bodies:
            return self._asked(method, key, read, **asked)
        return read(json.loads(bodies[-1])) if bodies[-1] else None

    def _asked[T](
        self, method: str, key: str, read: Callable[[Mapping[str, Any]], T], **asked: object
    ) -> T:
        def watch(attempt: Attempt) -> None:
            self._journal.record(key, attempt, None)

        return self._client.call(method, read, watch, **asked)

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
    """Return the flaw that repeating the query might fix; '' if there is none."""
    is_empty, broken, strayed, is_disordered = _flaws(page, query)
    if is_disordered:
        return "order"
    return "stray" if strayed else "record" if broken else "empty" if is_empty else ""


def _flaws(page: Page, query: Query) -> tuple[bool, int, int, bool]:
    """Return the flaws: all photos missing, unreadable records, strays, broken order."""
    is_empty = query.page == 1 and page.total > 0 and not page.entries
    broken = sum(1 for entry in page.entries if not entry.id or not entry.upload)
    is_disordered = query.page == 1 and not page.is_in_order(query.high)
    return is_empty, broken, page.strayed, is_disordered


def _is_worthless(page: Page) -> bool:
    """Return whether the service ignored the query."""
    return page.strayed * 2 > len(page.entries)


def params(query: Query) -> dict[str, object]:
    """Return a query as parameters of flickr.photos.search."""
    asked: dict[str, object] = {
        "bbox": query.box.text,
        "license": ",".join(map(str, query.licenses)),
        # Without a limiting date, the service searches a box for the last 12 hours only.
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
