"""Flickr's API through flickrapi, with what that library leaves out.

It brings no timeout, no retries and no word of HTTP status or ``Retry-After``, and its log holds
the key when a signature is refused. All of it is put right from outside, the library unmodified.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import requests
from flickrapi import FlickrAPI
from flickrapi.exceptions import FlickrError

from witw.errors import UserError
from witw.flickr.agent import user_agent
from witw.flickr.hosts import is_loopback, origin
from witw.flickr.quota import Quota
from witw.preflight import KEY, NO_KEY, SECRET

# Codes of flickr.photos.search; 0 and 201 are undocumented and say "not currently available".
KEY_CODES = frozenset({96, 97, 98, 99, 100})
BUSY_CODES = frozenset({0, 10, 105, 201})
PAST_END = 20  # "Excessive photo offset in search"
BUSY_STATUSES = frozenset({403, 408, 425, 429})  # and 5xx; the gateway's 403 passes too
LONGEST_WAIT_S = 3600.0
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

    def __init__(self, why: str, wait_s: float = 0.0, scale: int = 1) -> None:
        super().__init__(why)
        self.wait_s = wait_s
        self.scale = scale


class _Session(requests.Session):
    """Remembers of the latest answer what flickrapi drops."""

    def __init__(self, unsigned_key: str) -> None:
        super().__init__()
        self.headers["User-Agent"] = user_agent()
        self.status = 0
        self.retry_after = ""
        self.body = ""
        self.unsigned_key = unsigned_key

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        # Public methods need no signature, and one made without the secret would be refused.
        if self.unsigned_key:
            kwargs |= {"auth": None, "data": {**kwargs["data"], "api_key": self.unsigned_key}}
        self.status, self.retry_after, self.body = 0, "", ""
        response = super().request(*args, **kwargs | {"allow_redirects": False})
        self.status = response.status_code
        self.retry_after = response.headers.get("Retry-After", "")
        self.body = response.text if response.status_code == 401 else ""
        return response


def retry_after_s(header: str) -> float:
    """Seconds that a ``Retry-After`` header asks for: a number or a date (RFC 9110, 10.2.3)."""
    try:
        wait_s = float(header)
    except ValueError:
        try:
            wait_s = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return 0.0
    return min(max(wait_s, 0.0), LONGEST_WAIT_S) if wait_s == wait_s else 0.0


class Client:
    """Calls methods of the API until they succeed or cannot.

    Args:
        url: REST endpoint.
        key: API key; in no error text and no log.
        secret: its secret; without one, calls are not signed.
        tries: of one call.
        pause_s: the n-th pause is drawn from 0 to ``pause_s * 2**n`` ("full jitter") [s].
        max_pause_s: longest such range [s].
        timeout_s: to connect, and between two pieces of an answer [s].
        quota: shared by the clients of one key.

    Attributes:
        calls: requests made so far, failed ones included.
    """

    def __init__(
        self,
        url: str,
        key: str,
        secret: str = "",
        *,
        tries: int = 10,
        pause_s: float = 1.0,
        max_pause_s: float = 300.0,
        timeout_s: tuple[float, float] = (10.0, 60.0),
        quota: Quota | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        # These log requests and refusals, with the key in them.
        for name in ("flickrapi", "oauthlib", "requests_oauthlib"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self.calls = 0
        self._url = url
        self._secrets = [text for text in (key, secret) if text]
        self._tries, self._pause_s, self._max_pause_s = tries, pause_s, max_pause_s
        self._timeout_s = timeout_s
        self._quota = quota or Quota()
        self._sleep = sleep
        self._random = random.Random()  # noqa: S311 (pauses only; must differ between processes)
        self._api = FlickrAPI(key, secret, format="parsed-json", store_token=False, cache=False)
        self._api.REST_URL = url
        self._session = _Session("" if secret else key)
        found = origin(url)
        # A proxy of the environment cannot reach a server on this machine.
        self._session.trust_env = not (found and is_loopback(found[1]))
        # In place of the class's session, which all instances share.
        self._api.flickr_oauth.session = self._session

    @classmethod
    def from_environment(cls, url: str) -> Client:
        """Make a client with the key and secret of the environment.

        Raises:
            UserError: there is no key.
        """
        key = os.environ.get(KEY, "").strip()
        if not key:
            raise UserError(NO_KEY)
        return cls(url, key, os.environ.get(SECRET, "").strip())

    def call[T](self, method: str, read: Callable[[Mapping[str, Any]], T], **params: object) -> T:
        """Call an API method.

        Args:
            method: like ``flickr.photos.search``.
            read: makes the result of the JSON answer; a ValueError counts as a broken answer.
            **params: of the method.

        Raises:
            RefusedError: the service says no.
            UserError: key or address are wrong, or the service is out of order for long.
        """
        why = ""
        for number in range(1, self._tries + 1):
            self._quota.take()
            self.calls += 1
            try:
                return self._signed_or_not(method, read, params)
            except _BusyError as busy:
                why = self._clean(str(busy))
                if number < self._tries:
                    self._pause(number, busy, why)
        raise UserError(
            f"{self._url} did not answer {method} in {self._tries} tries (the last time: {why}); "
            "run again when the service is back, or check `flickr.api_url`."
        )

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
                self._quota.take()
                self.calls += 1
                return self._once(method, read, params)
            except UserError:
                self._session.unsigned_key = unsigned
                raise refused from None

    def _once[T](
        self, method: str, read: Callable[[Mapping[str, Any]], T], params: Mapping[str, object]
    ) -> T:
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
        except requests.RequestException as error:
            raise _BusyError(f"no connection or a broken one, {type(error).__name__}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
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
            raise _BusyError(f"error {said}") from None
        if code in KEY_CODES:
            raise _RefusedKeyError(
                f"Flickr does not accept {KEY} (error {said}); check it, and {SECRET} if you set "
                "it, at https://www.flickr.com/services/apps/by/me."
            ) from None
        raise RefusedError(
            f"{self._url} refuses {method} (error {said}); check `flickr.api_url`.", int(code)
        ) from None

    def _judge_status(self) -> NoReturn:
        status = self._session.status
        if status in BUSY_STATUSES or status >= 500:
            # 429 speaks of an hour's quota, so its pauses start longer.
            wait_s = retry_after_s(self._session.retry_after)
            raise _BusyError(f"HTTP {status}", wait_s, 32 if status == 429 else 1) from None
        if status == 401:
            wrong = f"{SECRET} (or {KEY})" if "signature" in self._session.body else KEY
            raise _RefusedKeyError(
                f"Flickr does not accept {wrong} (HTTP 401); check it at "
                "https://www.flickr.com/services/apps/by/me."
            ) from None
        raise UserError(
            f"{self._url} answers HTTP {status}, as Flickr's API does not; check `flickr.api_url`."
        ) from None

    def _pause(self, number: int, busy: _BusyError, why: str) -> None:
        # A Retry-After replaces the guess at how long a quota lasts, and is never undercut.
        scale = 1 if busy.wait_s else busy.scale
        top_s = min(self._pause_s * scale * 2 ** (number - 1), self._max_pause_s)
        wait_s = busy.wait_s + self._random.uniform(0, top_s)
        log.warning("Flickr: %s; try %d of %d in %.1f s", why, number + 1, self._tries, wait_s)
        self._sleep(wait_s)

    def _clean(self, message: str) -> str:
        for secret in self._secrets:
            message = message.replace(secret, "***")
        return " ".join(message.split())[:LONGEST_TEXT]
