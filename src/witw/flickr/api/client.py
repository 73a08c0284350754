"""Call Flickr's API through flickrapi, with retries, a quota and a key check.

flickrapi has no timeout and no retries, hides the HTTP status and ``Retry-After``, and logs the key
when a signature is refused. This module adds or corrects all of these without patching the library.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import requests
from flickrapi import FlickrAPI
from flickrapi.exceptions import FlickrError

from witw.environment import KEY, NO_KEY, SECRET
from witw.errors import UserError
from witw.flickr.api.quota import Quota
from witw.flickr.api.refusals import (
    BusyError,
    Judge,
    RefusedError,
    RefusedKeyError,
    pause_s,
    utc_in,
)
from witw.flickr.api.session import Session
from witw.flickr.hosts import is_loopback, origin

TRIES = 16  # tries per call in an unattended run
QUOTA_S = 3660.0  # a refused key may call again within an hour
MORE_TRIES = 8  # while waiting for that hour, up to this many times the usual tries

log = logging.getLogger("witw")


@dataclass(frozen=True)
class Attempt:
    """One HTTP request, as passed to a watcher.

    Attributes:
        ok: Whether the response was accepted.
        why: Reason for rejecting the response; '' if accepted.
        status: HTTP status; 0 if no response arrived.
        code: Flickr's error code; None if there was none.
        number: Number of the try within its call, from 1.
        started: Unix time of the request [s].
        seconds: Time until the response arrived [s].
        body: Body of the response; empty unless ``ok``.
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
    """Ignore the attempt."""


class Client:
    """Client that retries each API call until it succeeds or cannot succeed; thread-safe.

    Args:
        url: REST endpoint.
        key: API key. It never appears in errors or logs.
        secret: Secret of the key. Without one, calls are not signed.
        tries: Largest number of requests per call.
        pause_s: The n-th pause is drawn from 0 to ``pause_s * 2**n`` ("full jitter") [s].
        max_pause_s: Upper bound of that range [s].
        timeout_s: Timeout for connecting, and between two chunks of a response [s].
        answer_s: A try fails if its response is incomplete after this time [s].
        is_patient: Whether to wait for as long as the service asks, up to a day, and for a key's
            hourly quota to renew. Otherwise a call ends within minutes.
        quota: Call quota, shared by all clients of one key.

    Attributes:
        requests: Number of requests so far, including failed ones.
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
        # Both loggers write the key into their records.
        for name in ("flickrapi", "oauthlib", "requests_oauthlib"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self.requests = 0
        self._counting = threading.Lock()
        self._url = url
        self._judge = Judge(url, tuple(text for text in (key, secret) if text), is_patient)
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
        # A proxy from the environment cannot reach a server on this machine.
        self._session.trust_env = not (found and is_loopback(found[1]))
        # Replaces the session that all instances of the class share.
        self._api.flickr_oauth.session = self._session

    @classmethod
    def from_environment(cls, url: str, tries: int = TRIES) -> Client:
        """Make a client with the key and secret from the environment, and their shared quota.

        A client with fewer tries than usual is not patient.

        Raises:
            UserError: The environment has no key.
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
            method: Name of the method, such as ``flickr.photos.search``.
            read: Converts the JSON response; its ValueError marks the response as broken.
            watch: Receives every request before its result is returned.
            **params: Parameters of the method.

        Raises:
            RefusedError: The service refuses the call.
            UserError: The key or the address is wrong, or the service is down for too long.
        """
        number, over_quota_s = 1, 0.0
        while True:
            try:
                return self._watched(method, read, params, watch, number)
            except BusyError as busy:
                why = self._judge.clean(str(busy))
                is_waiting = self._is_patient and busy.scale > 1 and over_quota_s < QUOTA_S
                if number >= self._tries * (MORE_TRIES if is_waiting else 1):
                    break
                waited_s = self._pause(number, busy, why)
                over_quota_s += waited_s if busy.scale > 1 else 0.0
                number += 1
        raise UserError(
            f"{self._url} did not answer {method} in {number} tries (last error: {why}); run again "
            "when the service is back, or check `flickr.api_url`."
        )

    def check_key(self) -> None:
        """Check with one call that the service accepts the key; an outage does not fail the check.

        Raises:
            UserError: The key is refused, or the address is not the API's.
        """
        with suppress(BusyError, RefusedError):
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
        except (BusyError, UserError) as error:
            tell(False, self._judge.clean(str(error)), getattr(error, "code", None))
            raise
        tell(True)
        return result

    def _signed_or_not[T](
        self, method: str, read: Callable[[Mapping[str, Any]], T], params: Mapping[str, object]
    ) -> T:
        """Send one request, or two if a server expects the key in flickrapi's own header."""
        try:
            return self._once(method, read, params)
        except RefusedKeyError as refused:
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
        # Exceptions are not chained: the library's texts may contain the key.
        try:
            answer = self._api.do_flickr_call(method, timeout=self._timeout_s, **params)
        except FlickrError as error:
            refusal = self._judge.error(method, error, self._session.seen)
            # It answers one request but applies to every thread and process with this key.
            self._quota.close(pause_s(refusal))
            raise refusal from None
        except (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            requests.exceptions.MissingSchema,
        ):
            raise UserError(f"`flickr.api_url` {self._url} is not an http(s) address.") from None
        except requests.Timeout as error:
            raise BusyError(self._judge.clean(str(error)) or "no answer in time") from None
        except requests.RequestException as error:
            raise BusyError(f"the connection failed or broke, {type(error).__name__}") from None
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ):
            raise self._judge.xml(method, self._session.seen) from None
        try:
            if answer.get("stat") != "ok":
                raise ValueError("no stat")
            return read(answer)
        except ValueError:
            raise BusyError("the response lacks the requested data") from None

    def _pause(self, number: int, busy: BusyError, why: str) -> float:
        # A Retry-After replaces the guessed duration of a quota and is always respected.
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
            utc_in(wait_s),
        )
        self._sleep(wait_s)
        return wait_s
