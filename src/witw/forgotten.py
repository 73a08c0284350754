"""Registry of photos and owners that must never be listed or fetched again.

The registry is ``photos/forgotten.json`` beside the photos, which no rebuild deletes. ``snakemake``
sees only its :func:`digest`, a part of the spec of stage ``search``. The next run therefore lists
exactly the affected AOIs again, and rebuilds everything downstream.

This module imports only the standard library, because every spec needs it.
:mod:`witw.commands.forget` writes the registry.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from witw.errors import UserError
from witw.files import write_json
from witw.store import ROOT

PATH = ROOT / "forgotten.json"
ALIAS = "forgotten-"

# {"ids": {"528": {"since": "2026-11-22T10:00:00Z", "aois": {"oslo": 1}}}, "owners": {...}}; the
# numbers count the removals from an AOI.
_Entries = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Forgotten:
    """Photos that must never be listed or fetched.

    Attributes:
        ids: ids of photos.
        owners: NSIDs of owners, for all their photos, including future ones.
    """

    ids: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()

    def covers(self, photo_id: str, owner: str) -> bool:
        """Whether a photo must be left out."""
        return photo_id in self.ids or owner in self.owners


NOTHING = Forgotten()


def alias(photo_id: str) -> str:
    """Return a stand-in for a forgotten photo's id that preserves counts; it is not a valid id."""
    return ALIAS + hashlib.sha256(photo_id.encode()).hexdigest()[:12]


def load() -> Forgotten:
    """Read the registry of the run folder; without a file it is empty.

    Raises:
        UserError: the file is not readable, so no photo may be listed.
    """
    data = _read()
    return Forgotten(frozenset(data["ids"]), frozenset(data["owners"]))


def digest(aoi: str) -> str:
    """Return twelve hex digits that change with each removal from an AOI; '' without removals.

    Raises:
        UserError: as :func:`load`.
    """
    data = _read()
    parts = [
        [kind, key, entry["aois"][aoi]]
        for kind in sorted(data)
        for key, entry in sorted(data[kind].items())
        if aoi in entry["aois"]
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12] if parts else ""


def add(ids: Collection[str], owners: Collection[str], aois: Collection[str]) -> None:
    """Add photos and owners to the registry.

    Args:
        ids: ids of photos.
        owners: NSIDs of owners.
        aois: AOIs that contained any of them. The :func:`digest` of each changes, even if the same
            photo was removed from it before: the photo came back, so derived files contain it.

    Raises:
        UserError: as :func:`load`.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    PATH.parent.mkdir(parents=True, exist_ok=True)
    with _locked():
        data = _read()
        for kind, keys in (("ids", ids), ("owners", owners)):
            for key in keys:
                entry = data[kind].setdefault(key, {"since": now, "aois": {}})
                for aoi in aois:
                    entry["aois"][aoi] = entry["aois"].get(aoi, 0) + 1
        write_json(PATH, data)


def _read() -> dict[str, _Entries]:
    try:
        data = json.loads(PATH.read_text(encoding="utf-8"))
        return {
            kind: {
                str(key): {
                    "since": str(entry["since"]),
                    "aois": {str(aoi): int(count) for aoi, count in entry["aois"].items()},
                }
                for key, entry in data[kind].items()
            }
            for kind in ("ids", "owners")
        }
    except FileNotFoundError:
        return {"ids": {}, "owners": {}}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise UserError(
            f"{PATH} is not a registry as `witw forget` writes it; correct the file or restore a "
            "copy, because its photos must not be fetched again."
        ) from None


@contextmanager
def _locked() -> Iterator[None]:
    """Lock out other writers; the lock ends with the process, even after a crash."""
    with PATH.with_name(f".{PATH.name}.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
