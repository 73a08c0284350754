"""Client of Flickr's API on top of flickrapi: retries, quota, key check.

It brings no timeout, no retries and no word of HTTP status or ``Retry-After``, and its log holds
the key when a signature is refused. All of it is put right from outside, the library unmodified.
"""

from __future__ import annotations

import html
import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import requests
from flickrapi import FlickrAPI
from flickrapi.exceptions import FlickrError

from witw.environment import KEY, NO_KEY, SECRET
from witw.errors import UserError
from witw.flickr.api.quota import Quota
from witw.flickr.api.session import Session
from witw.flickr.headers import retry_after_s
from witw.flickr.hosts import is_loopback, origin

# Codes of flickr.photos.search; 0 and 201 are undocumented and say "not currently available".
KEY_CODES = frozenset({96, 97, 98, 99, 100})
BUSY_CODES = frozenset({0, 10, 105, 201})
PAST_END = 20  # "Excessive photo offset in search"
BUSY_STATUSES = frozenset({403, 408, 425, 429})  # and 5xx; the gateway's 403 passes too
TRIES = 16  # of a call, where nobody waits at a terminal
QUOTA_S = 3660.0  # a refused key is granted calls again within its hour
MORE_TRIES = 8  # so many times the tries, at most, until that hour is over
LONGEST_WAIT_S = 86_400.0  # a longer Retry-After ends the run instead
IMPATIENT_S = 60.0  # the same, where a person waits
ERROR_IN_XML = re.compile(rb'<err code="(\d+)" msg="([^"]*)"')
LONGEST_TEXT = 300  # of what the service says, in an error

log = logging.getLogger("witw")


class RefusedError(UserError):
    """The service understood and said no; another try would not help.

    Attributes:
        code: Flickr's error code.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class _RefusedKeyError(UserError):
    """The service does not accept the key."""


class _BusyError(Exception):
    """One try failed in a way that passes."""

    def __init__(
        self, why: str, wait_s: float = 0.0, scale: int = 1, code: int | None = None
    ) -> None:
        super().__init__(why)
        self.wait_s = wait_s
        self.scale = scale
        self.code = code


@dataclass(frozen=True)
class Attempt:
    """One request, for whoever keeps a record.

    Attributes:
        ok: whether its answer was taken.
        why: what was wrong with it otherwise, in words.
        status: HTTP status; 0: there was no answer.
        code: Flickr's error code; None: none.
        number: counts the tries of one call, from 1.
        started: Unix time [s].
        seconds: until the answer was there.
        body: of the answer; empty unless ``ok``.
    """

    ok: bool
    why: str
    status: int
    code: int | None
    number: int
    started: float
    seconds: float
    body: bytes


def unwatched(_attempt: Attempt) -> None:
    """Keep no record."""


class Client:
    """Calls methods of the API until they succeed or cannot; for any number of threads.

    Args:
        url: REST endpoint.
        key: API key; in no error text and no log.
        secret: its secret; without one, calls are not signed.
        tries: of one call.
        pause_s: the n-th pause is drawn from 0 to ``pause_s * 2**n`` ("full jitter") [s].
        max_pause_s: longest such range [s].
        timeout_s: to connect, and between two pieces of an answer [s].
        answer_s: An answer not complete by then is a failed try [s].
        is_patient: Whether to wait for as long as the service asks, up to a day, and for a key's
            hour to be over. Otherwise a call ends within minutes.
        quota: shared by the clients of one key.

    Attributes:
        requests: made so far, failed ones included.
    """

    def __init__(
        self,
        url: str,
        key: str,
        secret: str = "",
        *,
        tries: int = TRIES,
        pause_s: float = 1.0,
        max_pause_s: float = 300.0,
        timeout_s: tuple[float, float] = (10.0, 60.0),
        answer_s: float = 120.0,
        is_patient: bool = True,
        quota: Quota | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        # These log requests and refusals, with the key in them.
        for name in ("flickrapi", "oauthlib", "requests_oauthlib"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self.requests = 0
        self._counting = threading.Lock()
        self._url = url
        self._secrets = [text for text in (key, secret) if text]
        self._tries, self._pause_s, self._max_pause_s = tries, pause_s, max_pause_s
        self._timeout_s = timeout_s
        self._quota = quota or Quota()
        self._sleep = sleep
        self._random = random.Random()  # noqa: S311 (pauses only; must differ between processes)
        self._api = FlickrAPI(key, secret, format="parsed-json", store_token=False, cache=False)
        self._api.REST_URL = url
        self._is_patient = is_patient
        self._session = Session("" if secret else key, answer_s)
        found = origin(url)
        # A proxy of the environment cannot reach a server on this machine.
        self._session.trust_env = not (found and is_loopback(found[1]))
        # In place of the class's session, which all instances share.
        self._api.flickr_oauth.session = self._session

    @classmethod
    def from_environment(cls, url: str, tries: int = TRIES) -> Client:
        """Make a client with the key and secret of the environment, and their shared quota.

        With fewer tries than usual it is not patient.

        Raises:
            UserError: there is no key.
        """
        key = os.environ.get(KEY, "").strip()
        if not key:
            raise UserError(NO_KEY)
        secret = os.environ.get(SECRET, "").strip()
        quota = Quota.shared(url, key)
        return cls(url, key, secret, tries=tries, is_patient=tries >= TRIES, quota=quota)

    def call[T](
        self,
        method: str,
        read: Callable[[Mapping[str, Any]], T],
        watch: Callable[[Attempt], None] = unwatched,
        **params: object,
    ) -> T:
        """Call an API method.

        Args:
            method: like ``flickr.photos.search``.
            read: makes the result of the JSON answer; a ValueError counts as a broken answer.
            watch: told of every request, before its result is returned.
            **params: of the method.

        Raises:
            RefusedError: the service says no.
            UserError: key or address are wrong, or the service is out of order for long.
        """
        number, over_quota_s = 1, 0.0
        while True:
            try:
                return self._watched(method, read, params, watch, number)
            except _BusyError as busy:
                why = self._clean(str(busy))
                is_waiting = self._is_patient and busy.scale > 1 and over_quota_s < QUOTA_S
                if number >= self._tries * (MORE_TRIES if is_waiting else 1):
                    break
                waited_s = self._pause(number, busy, why)
                over_quota_s += waited_s if busy.scale > 1 else 0.0
                number += 1
        raise UserError(
            f"{self._url} did not answer {method} in {number} tries (the last time: {why}); "
            "run again when the service is back, or check `flickr.api_url`."
        )

    def check_key(self) -> None:
        """Find out by one call whether the key is accepted; an outage says nothing about that.

        Raises:
            UserError: it is not, or the address is not the API's.
        """
        with suppress(_BusyError, RefusedError):
            self._watched("flickr.test.echo", dict, {}, unwatched, 1)

    def _watched[T](
        self,
        method: str,
        read: Callable[[Mapping[str, Any]], T],
        params: Mapping[str, object],
        watch: Callable[[Attempt], None],
        number: int,
    ) -> T:
        started, seen = time.time(), self._session.seen

        def tell(ok: bool, why: str = "", code: int | None = None) -> None:
            body = seen.body if ok else b""
            watch(Attempt(ok, why, seen.status, code, number, started, time.time() - started, body))

        try:
            result = self._signed_or_not(method, read, params)
        except (_BusyError, UserError) as error:
            tell(False, self._clean(str(error)), getattr(error, "code", None))
            raise
        tell(True)
        return result

    def _signed_or_not[T](
        self, method: str, read: Callable[[Mapping[str, Any]], T], params: Mapping[str, object]
    ) -> T:
        """One request; where a server looks for the key in flickrapi's own header only, two."""
        try:
            return self._once(method, read, params)
        except _RefusedKeyError as refused:
            unsigned, self._session.unsigned_key = self._session.unsigned_key, ""
            if not unsigned:
                raise
            try:
                return self._once(method, read, params)
            except UserError:
                self._session.unsigned_key = unsigned
                raise refused from None

    def _once[T](
        self, method: str, read: Callable[[Mapping[str, Any]], T], params: Mapping[str, object]
    ) -> T:
        self._quota.take()
        with self._counting:
            self.requests += 1
        # Nothing is chained: the library's errors may hold what must not be shown.
        try:
            answer = self._api.do_flickr_call(method, timeout=self._timeout_s, **params)
        except FlickrError as error:
            self._judge(method, error)
        except (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            requests.exceptions.MissingSchema,
        ):
            raise UserError(f"`flickr.api_url` {self._url} is not an http(s) address.") from None
        except requests.Timeout as error:
            raise _BusyError(self._clean(str(error)) or "no answer in time") from None
        except requests.RequestException as error:
            raise _BusyError(f"no connection or a broken one, {type(error).__name__}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._judge_xml(method)
            raise _BusyError("an answer that is not JSON of the API") from None
        try:
            if answer.get("stat") != "ok":
                raise ValueError("no stat")
            return read(answer)
        except ValueError:
            raise _BusyError("an answer that lacks what was asked for") from None

    def _judge(self, method: str, error: FlickrError) -> NoReturn:
        """Tell what passes from what stays wrong."""
        code, said = error.code, self._clean(str(error)).removeprefix("Error: ")
        if code is None:
            self._judge_status()
        if code in BUSY_CODES:
            raise _BusyError(f"error {said}", code=int(code)) from None
        if code in KEY_CODES:
            raise _RefusedKeyError(
                f"Flickr does not accept {KEY} (error {said}); check it, and {SECRET} if you set "
                "it, at https://www.flickr.com/services/apps/by/me."
            ) from None
        raise RefusedError(
            f"{self._url} refuses {method} (error {said}); check `flickr.api_url`.", int(code)
        ) from None

    def _judge_xml(self, method: str) -> None:
        """Believe an error in XML, as some refusals of a key come whatever format was asked for."""
        found = ERROR_IN_XML.search(self._session.seen.body)
        if found:
            code, said = int(found[1]), html.unescape(found[2].decode("utf-8", "replace"))
            self._judge(method, FlickrError(f"Error: {code}: {said}", code=code))

    def _judge_status(self) -> NoReturn:
        seen = self._session.seen
        status = seen.status
        # Seen: HTTP 400 with the sentence of error 201.
        is_away = b"not currently available" in seen.body
        if status in BUSY_STATUSES or status >= 500 or is_away or status == 200:
            # 429 speaks of an hour's quota, so its pauses start longer.
            wait_s = retry_after_s(seen.retry_after, seen.date) or 0.0
            # It answers one request, but means every thread and process of the key.
            self._quota.close(min(wait_s, LONGEST_WAIT_S))
            if wait_s > (LONGEST_WAIT_S if self._is_patient else IMPATIENT_S):
                raise UserError(
                    f"{self._url} answers HTTP {status} and asks to be left alone for "
                    f"{wait_s:,.0f} s, until {_utc(wait_s)}; run again then."
                ) from None
            raise _BusyError(f"HTTP {status}", wait_s, 32 if status == 429 else 1) from None
        if status == 401:
            wrong = f"{SECRET} (or {KEY})" if b"signature" in seen.body else KEY
            raise _RefusedKeyError(
                f"Flickr does not accept {wrong} (HTTP 401); check it at "
                "https://www.flickr.com/services/apps/by/me."
            ) from None
        raise UserError(
            f"{self._url} answers HTTP {status}, as Flickr's API does not; check `flickr.api_url`."
        ) from None

    def _pause(self, number: int, busy: _BusyError, why: str) -> float:
        # A Retry-After replaces the guess at how long a quota lasts, and is never undercut.
        scale = 1 if busy.wait_s else busy.scale
        top_s = min(self._pause_s * scale * 2 ** (number - 1), self._max_pause_s)
        wait_s = busy.wait_s + self._random.uniform(0, top_s)
        if busy.scale > 1:
            self._quota.close(wait_s)
        log.warning(
            "Flickr: %s; try %d%s in %.1f s, at %s",
            why,
            number + 1,
            f" of {self._tries}" if number < self._tries else "",
            wait_s,
            _utc(wait_s),
        )
        self._sleep(wait_s)
        return wait_s

    def _clean(self, message: str) -> str:
        for secret in self._secrets:
            message = message.replace(secret, "***")
        return " ".join(message.split())[:LONGEST_TEXT]


def _utc(seconds: float) -> str:
    """The moment in so many seconds, for a log."""
    try:
        return f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:
        return "a time of no calendar"
