"""Tell what a refusal of Flickr's API means: wait and try again, correct the key, or stop."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flickrapi.exceptions import FlickrError

from witw.environment import KEY, SECRET
from witw.errors import UserError
from witw.flickr.api.session import Seen
from witw.flickr.headers import retry_after_s

# Codes of flickr.photos.search; 0 and 201 are undocumented and say "not currently available".
KEY_CODES = frozenset({96, 97, 98, 99, 100})
BUSY_CODES = frozenset({0, 10, 105, 201})
PAST_END = 20  # "Excessive photo offset in search"
# and 5xx; Flickr's gateway sends 403 for transient faults
BUSY_STATUSES = frozenset({403, 408, 425, 429})
LONGEST_WAIT_S = 86_400.0  # a longer Retry-After ends the run
IMPATIENT_S = 60.0  # the same limit at a terminal, where a person waits
ERROR_IN_XML = re.compile(rb'<err code="(\d+)" msg="([^"]*)"')
LONGEST_TEXT = 300  # characters of a service's error text that are shown
APPS = "https://www.flickr.com/services/apps/by/me"


class RefusedError(UserError):
    """The service understood the call and refused it; retrying would not help.

    Attributes:
        code: Flickr's error code.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class RefusedKeyError(UserError):
    """The service does not accept the API key."""


class LongPauseError(UserError):
    """The service asks for a longer pause than a run waits for.

    Attributes:
        wait_s: The pause [s].
    """

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class BusyError(Exception):
    """A try failed for a reason that may pass.

    Attributes:
        wait_s: Pause that the service asks for [s]; 0 if it names none.
        scale: Factor of the usual pause; above 1 for the hourly quota of a key.
        code: Flickr's error code; None if there was none.
    """

    def __init__(
        self, why: str, wait_s: float = 0.0, scale: int = 1, code: int | None = None
    ) -> None:
        super().__init__(why)
        self.wait_s = wait_s
        self.scale = scale
        self.code = code


@dataclass(frozen=True)
class Judge:
    """Turns refusals into errors, without the key in their texts.

    Attributes:
        url: REST endpoint.
        secrets: Texts that never appear in an error.
        is_patient: Whether pauses of up to a day are waited for.
    """

    url: str
    secrets: tuple[str, ...]
    is_patient: bool

    def clean(self, message: str) -> str:
        """Return a service's text in one short line, without secrets."""
        for secret in self.secrets:
            message = message.replace(secret, "***")
        return " ".join(message.split())[:LONGEST_TEXT]

    def error(self, method: str, error: FlickrError, seen: Seen) -> BusyError | UserError:
        """Judge an error code of Flickr, or the HTTP status if there is none."""
        if error.code is None:
            return self.status(seen)
        return self._code(method, int(error.code), str(error).removeprefix("Error: "))

    def xml(self, method: str, seen: Seen) -> BusyError | UserError:
        """Judge a response that is not JSON: some key refusals ignore the requested format."""
        found = ERROR_IN_XML.search(seen.body)
        if not found:
            return BusyError("the response is not JSON of the API")
        text = html.unescape(found[2].decode("utf-8", "replace"))
        return self._code(method, int(found[1]), f"{int(found[1])}: {text}")

    def _code(self, method: str, code: int, said: str) -> BusyError | UserError:
        said = self.clean(said)
        if code in BUSY_CODES:
            return BusyError(f"error {said}", code=code)
        if code in KEY_CODES:
            return RefusedKeyError(
                f"Flickr does not accept {KEY} (error {said}); check it, and {SECRET} if you set "
                f"it, at {APPS}."
            )
        return RefusedError(
            f"{self.url} refuses {method} (error {said}); check `flickr.api_url`.", code
        )

    def status(self, seen: Seen) -> BusyError | UserError:
        """Judge the HTTP status of a response without an error code."""
        status = seen.status
        # One recorded case: HTTP 400 with the message of error 201.
        is_away = b"not currently available" in seen.body
        if status in BUSY_STATUSES or status >= 500 or is_away or status == 200:
            wait_s = retry_after_s(seen.retry_after, seen.date) or 0.0
            if wait_s > (LONGEST_WAIT_S if self.is_patient else IMPATIENT_S):
                return LongPauseError(
                    f"{self.url} answers HTTP {status} and asks for a pause of {wait_s:,.0f} s, "
                    f"until {utc_in(wait_s)}; run again then.",
                    wait_s,
                )
            # HTTP 429 refers to an hourly quota, so its pauses start longer.
            return BusyError(f"HTTP {status}", wait_s, 32 if status == 429 else 1)
        if status == 401:
            wrong = f"{SECRET} (or {KEY})" if b"signature" in seen.body else KEY
            return RefusedKeyError(
                f"Flickr does not accept {wrong} (HTTP 401); check it at {APPS}."
            )
        return UserError(
            f"{self.url} answers HTTP {status}, unlike Flickr's API; check `flickr.api_url`."
        )


def pause_s(refusal: Exception) -> float:
    """Return the pause that a refusal asks for, a day at most [s]."""
    return min(float(getattr(refusal, "wait_s", 0.0)), LONGEST_WAIT_S)


def utc_in(seconds: float) -> str:
    """Return the UTC time ``seconds`` from now, for a log."""
    try:
        return f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:
        return "a time beyond the calendar"
