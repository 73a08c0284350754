"""Registry of photos and owners that must never be listed or fetched again.

They stand in ``photos/forgotten.json`` beside the photos, the one file that has to name them: it
outlives every rebuild, and ``snakemake`` knows nothing of it but :func:`digest`, which is part of
the spec of stage ``search``. So the next run lists anew exactly the AOIs that are concerned, and
all that is made from their lists follows.

Standard library only, as every spec is built with it. :mod:`witw.commands.forget` writes it.
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
# numbers count how often it was found in an AOI.
_Entries = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Forgotten:
    """What is never to be listed or fetched.

    Attributes:
        ids: of photos.
        owners: NSIDs; all their photos, those that are still to come included.
    """

    ids: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()

    def covers(self, photo_id: str, owner: str) -> bool:
        """Whether a photo must be left out."""
        return photo_id in self.ids or owner in self.owners


NOTHING = Forgotten()


def alias(photo_id: str) -> str:
    """What stands for a forgotten photo where its place among others counts; it is no id."""
    return ALIAS + hashlib.sha256(photo_id.encode()).hexdigest()[:12]


def load() -> Forgotten:
    """Read what the run folder remembers; nothing where there is no file.

    Raises:
        UserError: the file is not readable; nothing may be listed then.
    """
    data = _read()
    return Forgotten(frozenset(data["ids"]), frozenset(data["owners"]))


def digest(aoi: str) -> str:
    """Twelve hex digits that change when something is forgotten that an AOI had; '' if never.

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
    """Remember photos and owners; what is remembered already stays.

    Args:
        ids: of photos.
        owners: NSIDs.
        aois: those that had any of them; each gets another :func:`digest`, also where the same
            was found in it before: it came back, so that what is made from it is not right.

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
            f"{PATH} cannot be read as `witw forget` writes it; put it right or restore it from a "
            "copy, as the photos it names must not be fetched again."
        ) from None


@contextmanager
def _locked() -> Iterator[None]:
    """One writer at a time; the lock ends with the process, however that ends."""
    with PATH.with_name(f".{PATH.name}.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
