"""Hourly call quota of an API key, shared by all processes of this user."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from witw.environment import CALLS

CALLS_AN_HOUR = 3600  # per key, https://www.flickr.com/services/developer/api
# Raised for numbers in a damaged file, in addition to SQLite's own errors.
DAMAGE = (sqlite3.DatabaseError, TypeError, ValueError, OverflowError)
ALONE = "The call counter cannot be shared, so this process counts only its own calls"
NAP_S = 60.0  # longest sleep before checking again: another process may open the gate

log = logging.getLogger("witw")


class Quota:
    """Allows at most ``limit`` calls in any ``window_s`` seconds, and none while the gate is shut.

    Args:
        path: File shared by all processes of one key; None counts the calls of this object only.
        limit: Largest number of calls per window.
        window_s: Length of the window [s].
        clock: Returns Unix time [s]; the same clock for all processes that share the file.
        sleep: Waits for the given time [s].
    """

    def __init__(
        self,
        path: Path | None = None,
        limit: int = CALLS_AN_HOUR,
        window_s: float = 3600.0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limit, self._window_s = limit, window_s
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._path = path
        self._database = _opened(path)

    @classmethod
    def shared(cls, url: str, key: str) -> Self:
        """Return the quota of a key at a service, stored in the user's state folder (XDG)."""
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        # The name is a digest, so the key is not written anywhere.
        digest = hashlib.sha256(f"{url} {key}".encode()).hexdigest()[:20]
        limit = int(os.environ.get(CALLS) or CALLS_AN_HOUR)
        # The service counts a call on arrival, which may be later than its departure.
        return cls(Path(state) / "witw" / f"quota-{digest}.sqlite", limit, window_s=3660.0)

    def take(self) -> None:
        """Wait until one more call is allowed, and count it."""
        while (wait_s := self._attempt()) > 0:
            if wait_s > 1:
                log.info(
                    "Waiting %.0f s for Flickr's hourly quota or a pause that Flickr asked for",
                    wait_s,
                )
            self._sleep(min(wait_s, NAP_S))

    def close(self, pause_s: float) -> None:
        """Allow no call for ``pause_s`` seconds."""
        if pause_s > 0:
            now = self._clock()
            until = "UPDATE shut SET since = ?, until = max(until, ?)"
            self._do(lambda database: database.execute(until, (now, now + pause_s)))

    def _attempt(self) -> float:
        """Count a call and return 0 if it is allowed; otherwise return the time to wait [s]."""
        return self._do(self._counted)

    def _do[T](self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``act`` on the shared counter; after a failure, use a private counter from then on.

        A damaged file is removed, so the next process starts a new one.
        """
        with self._lock:
            try:
                return act(self._database)
            except (sqlite3.Error, *DAMAGE) as error:
                log.warning("%s (%s): %s", ALONE, self._path, error)
                if self._path is not None and not isinstance(error, sqlite3.OperationalError):
                    self._path.unlink(missing_ok=True)
                self._database = _prepared(":memory:")
                return act(self._database)

    def _counted(self, connection: sqlite3.Connection) -> float:
        with connection as database:
            database.execute("BEGIN IMMEDIATE")
            now = self._clock()
            # After the clock was set back, the gate must not stay shut longer than requested.
            database.execute("UPDATE call SET at = ? WHERE at > ?", (now, now))
            back = "UPDATE shut SET until = ? + until - since, since = ? WHERE since > ?"
            database.execute(back, (now, now, now))
            database.execute("DELETE FROM call WHERE at <= ?", (now - self._window_s,))
            ends = [until for (until,) in database.execute("SELECT until FROM shut")]
            last = "SELECT at FROM call ORDER BY at DESC LIMIT 1 OFFSET ?"
            ends += [at + self._window_s for (at,) in database.execute(last, (self._limit - 1,))]
            wait_s = max(ends) - now
            if wait_s <= 0:
                database.execute("INSERT INTO call VALUES (?)", (now,))
            return float(max(wait_s, 0.0))


def _opened(path: Path | None) -> sqlite3.Connection:
    """Open the shared counter: replace a damaged file, or count in memory if no file works."""
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _prepared(str(path))
        except DAMAGE as error:
            if not isinstance(error, sqlite3.OperationalError):
                path.unlink(missing_ok=True)
                return _prepared(str(path))
            log.warning("%s (%s): %s", ALONE, path, error)
        except OSError as error:
            log.warning("%s (%s): %s", ALONE, path, error)
    return _prepared(":memory:")


def _prepared(name: str) -> sqlite3.Connection:
    database = sqlite3.connect(name, timeout=60, isolation_level=None, check_same_thread=False)
    # A power cut may lose the latest calls, which no longer matter after it.
    database.execute("PRAGMA synchronous = OFF")
    database.executescript(
        "CREATE TABLE IF NOT EXISTS call (at REAL);"
        "CREATE INDEX IF NOT EXISTS call_at ON call (at);"
        "CREATE TABLE IF NOT EXISTS shut"
        " (one INTEGER PRIMARY KEY CHECK (one = 1), since REAL, until REAL);"
        "INSERT OR IGNORE INTO shut VALUES (1, 0, 0);"
    )
    return database
