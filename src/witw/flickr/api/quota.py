"""Hourly call quota of a key, shared by all processes of this user."""

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

CALLS_AN_HOUR = 3600  # a key, https://www.flickr.com/services/developer/api
# What a damaged file makes of its numbers, beside what SQLite notices.
DAMAGE = (sqlite3.DatabaseError, TypeError, ValueError, OverflowError)
ALONE = "The count of calls cannot be shared, so this process counts its calls alone"
NAP_S = 60.0  # the longest sleep before looking again: another process may open the gate

log = logging.getLogger("witw")


class Quota:
    """At most ``limit`` calls in any ``window_s`` seconds, and none while the gate is closed.

    Args:
        path: file that the processes of one key share; None: this object alone counts.
        limit: calls.
        window_s: in any so many seconds.
        clock: Unix time [s], the same for all who share the file.
        sleep: waits [s].
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
        """The quota of a key at a service, in the user's state folder (XDG Base Directory)."""
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        # A digest: the key itself is written nowhere.
        digest = hashlib.sha256(f"{url} {key}".encode()).hexdigest()[:20]
        limit = int(os.environ.get(CALLS) or CALLS_AN_HOUR)
        # The service counts calls when they arrive, which may be later than when they are sent.
        return cls(Path(state) / "witw" / f"quota-{digest}.sqlite", limit, window_s=3660.0)

    def take(self) -> None:
        """Wait until one more call is allowed, and count it."""
        while (wait_s := self._attempt()) > 0:
            if wait_s > 1:
                log.info("Flickr's hourly quota, or a pause it asked for: waiting %.0f s", wait_s)
            self._sleep(min(wait_s, NAP_S))

    def close(self, pause_s: float) -> None:
        """Let nobody call for so long [s]."""
        if pause_s > 0:
            now = self._clock()
            until = "UPDATE shut SET since = ?, until = max(until, ?)"
            self._do(lambda database: database.execute(until, (now, now + pause_s)))

    def _attempt(self) -> float:
        """Count a call if one is allowed (0), else how long to wait [s]."""
        return self._do(self._counted)

    def _do[T](self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Act on the shared count; where that breaks, on one of our own from then on.

        A damaged file is removed: the next process begins it anew.
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
            # A clock that was set back must not close the gate for longer than was asked for.
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
    """The shared count; a broken file is begun anew, and where there can be none, one for us."""
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
    # A power cut may lose the last calls of a count that it makes meaningless anyway.
    database.execute("PRAGMA synchronous = OFF")
    database.executescript(
        "CREATE TABLE IF NOT EXISTS call (at REAL);"
        "CREATE INDEX IF NOT EXISTS call_at ON call (at);"
        "CREATE TABLE IF NOT EXISTS shut"
        " (one INTEGER PRIMARY KEY CHECK (one = 1), since REAL, until REAL);"
        "INSERT OR IGNORE INTO shut VALUES (1, 0, 0);"
    )
    return database
