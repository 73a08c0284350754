"""Download a shard's missing 500 px files and verify each.

A photo that the host says is gone (404, 410, a placeholder) is not asked for again in that run, and
once in the next: its table is made anew only for a reason, mostly a newer list, which says that the
photo is there. What must not come back does not depend on the host: a photo that Flickr no longer
lists, or whose owner asked for its removal, is never asked for, and its file is removed.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from witw import forgotten, stage, tables
from witw.environment import SLOTS
from witw.errors import UserError
from witw.files import sync_folders
from witw.flickr.headers import user_agent
from witw.flickr.hosts import Origin, allowed, host_of, refusal
from witw.flickr.photo_host.fetch import FetchRules, HostDown, Job, fetch
from witw.flickr.photo_host.outcome import PLACEHOLDER, Outcome, is_plain, suspects
from witw.flickr.photo_host.progress import ProgressMeter
from witw.flickr.photo_host.resolver import PrivateAddress
from witw.flickr.photo_host.stored_files import is_there, remove, verify
from witw.flickr.photo_host.throttle import Limits
from witw.settings.download import Download
from witw.store import PHOTO_ID, photo_path

VERSION = 3
# Not `download.max_slots`: another pace must not rerun anything, see slots_of.
READS = ("download.max_megabytes", "download.min_side_px", "flickr.photo_hosts")

READERS = 4
# Refusals of fewer photos than this may be the photos' own; of all of more, they are the host's.
FEW = 3
# More of the photos than this on a host that is not listed: it is the list that is wrong.
MOST_STRANGE = 0.1
# Of so many failures or more, if they are more than half of the photos, the host is to blame.
MANY = 20
UNLISTED = "no longer listed"
WITHDRAWN = "removed at its owner's request"

log = logging.getLogger(__name__)


def run(spec: dict[str, Any], ids: Path, table: Path, limits: Limits | None = None) -> pd.DataFrame:
    """Bring the photo store up to date with a shard and say what became of each photo.

    A photo that lies in the store, whole and of usable size, is not asked for again.

    Args:
        spec: ``aoi``, of section ``download`` what is in READS, and ``flickr.photo_hosts``.
        ids: table ``ids`` of the shard.
        table: table ``downloads`` to write, one row an id.
        limits: patience and eagerness towards the photo host; default: those of the environment.

    Returns:
        The table.

    Raises:
        UserError: a photo host is not one, or is down; then no table is written, but the photos
            fetched until then stay.
    """
    aoi: str = spec["aoi"]
    settings = Download.model_validate(spec["download"])
    limits = limits or Limits(most_slots=slots_of(aoi))
    try:
        origins = allowed(spec["flickr"]["photo_hosts"])
    except ValueError as error:
        raise UserError(f"`flickr.photo_hosts`: {error.args[0]!r} is not a host.") from None
    listed = tables.read(ids, "ids")
    outcomes, jobs = _triage(listed, aoi, settings.min_side_px, origins)
    kept = sum(outcome.stored for outcome in outcomes.values())
    log.info("%d photos listed, %d in the store, %d to fetch", len(listed), kept, len(jobs))
    rules = FetchRules(
        origins, user_agent(), settings.min_side_px, int(settings.max_megabytes * 1e6), limits
    )
    fetched = _fetch(jobs, aoi, rules)
    _check_hosts(aoi, jobs, fetched)
    outcomes |= fetched
    _check_share(aoi, listed, outcomes)
    outcomes = _without_placeholders(listed, aoi, outcomes)
    sync_folders(job.path.parent for job in jobs if fetched[job.id].stored)
    data = tables.write(table, "downloads", _rows(listed, aoi, outcomes))
    log.info("%s", ", ".join(f"{n} {s}" for s, n in sorted(data["status"].value_counts().items())))
    return data


def slots_of(aoi: str) -> int:
    """Requests under way at most, from the environment: a number, or JSON of one for each AOI.

    Raises:
        UserError: it is neither.
    """
    text = os.environ.get(SLOTS, "")
    if not text:
        return Download().max_slots
    try:
        value = json.loads(text)
        return Download(max_slots=value[aoi] if isinstance(value, dict) else value).max_slots
    except (ValueError, KeyError):
        raise UserError(f"{SLOTS} is {text!r}, which gives no number for {aoi!r}.") from None


def _triage(
    listed: pd.DataFrame, aoi: str, min_side_px: int, origins: frozenset[Origin]
) -> tuple[dict[str, Outcome], list[Job]]:
    """What is known without asking a host, and what has to be fetched."""
    outcomes = _withdrawn(listed, aoi)
    jobs = []
    for photo_id, url in zip(listed["id"], listed["url"].fillna(""), strict=True):
        if photo_id in outcomes:
            continue
        if PHOTO_ID.fullmatch(photo_id):
            jobs.append(Job(photo_id, url, photo_path(aoi, photo_id)))
        else:
            outcomes[photo_id] = Outcome("failed", "its id is not a number")
    kept = [job for job in jobs if is_there(job.path)]
    with ThreadPoolExecutor(READERS) as pool:
        looked = pool.map(lambda job: verify(job.path, min_side_px), kept)
        found = list(stage.progress(looked, "verify", total=len(kept)))
    good = {job.id: outcome for job, outcome in zip(kept, found, strict=True) if outcome}
    missing = []
    for job in jobs:
        if job.id in good:
            outcomes[job.id] = good[job.id]
        elif reason := refusal(job.url, origins):
            outcomes[job.id] = Outcome("failed", reason, refused=True)
        else:
            missing.append(job)
    return outcomes, missing


def _withdrawn(listed: pd.DataFrame, aoi: str) -> dict[str, Outcome]:
    """Photos that must not be in the store; their files are removed."""
    asked_for = forgotten.load().ids
    outcomes: dict[str, Outcome] = {}
    removed = []
    for photo_id, is_gone in zip(listed["id"], listed["is_gone"].fillna(False), strict=True):
        if not is_gone and photo_id not in asked_for:
            continue
        reason = WITHDRAWN if photo_id in asked_for else UNLISTED
        outcomes[photo_id] = Outcome("gone", reason)
        if PHOTO_ID.fullmatch(photo_id) and remove(path := photo_path(aoi, photo_id)):
            removed.append(path.parent)
    sync_folders(removed)
    return outcomes


def _fetch(jobs: list[Job], aoi: str, rules: FetchRules) -> dict[str, Outcome]:
    if not jobs:
        return {}
    try:
        with stage.bar("download", len(jobs), unit="photo") as bar:
            return fetch(jobs, rules, ProgressMeter(bar))
    except HostDown as down:
        raise UserError(
            f"Area {aoi!r}: the photo host {down.host} has stopped answering ({down.reason}); "
            "what was fetched is kept, so run again when it is back."
        ) from None
    except PrivateAddress as found:
        raise UserError(
            f"Area {aoi!r}: the photo host {found.host} leads to {found.address}, which is not an "
            "address of the open internet; if it is meant, list it in `flickr.photo_hosts` too."
        ) from None


def _check_hosts(aoi: str, jobs: list[Job], fetched: dict[str, Outcome]) -> None:
    """Record nothing where it is the host or the network that failed, not the photos.

    Raises:
        UserError: not one of the photos asked of a host brought an answer.
    """
    by_host: dict[str, list[Outcome]] = {}
    for job in jobs:
        by_host.setdefault(host_of(job.url), []).append(fetched[job.id])
    for host, outcomes in sorted(by_host.items()):
        nothing = all(outcome.status == "failed" for outcome in outcomes)
        if nothing and (len(outcomes) >= FEW or all(o.unreachable for o in outcomes)):
            raise UserError(
                f"Area {aoi!r}: the photo host {host} delivered none of {len(outcomes)} photos "
                f"({outcomes[0].reason}); check the network and `flickr.photo_hosts`, "
                "then run again."
            )


def _check_share(aoi: str, listed: pd.DataFrame, outcomes: dict[str, Outcome]) -> None:
    """Say how many photos failed, and why; stop where the photos are not the reason.

    Raises:
        UserError: a host that is not listed has more than a tenth of the photos, or more than half
            of them failed.
    """
    urls = dict(zip(listed["id"], listed["url"].fillna(""), strict=True))
    failed = {i: outcome for i, outcome in outcomes.items() if outcome.status == "failed"}
    if not failed:
        return
    for host, count in Counter(host_of(urls[i]) for i in failed if failed[i].refused).most_common():
        if host and count >= max(FEW, MOST_STRANGE * len(listed)):
            raise UserError(
                f"Area {aoi!r}: {count} of {len(listed)} photos are on {host}, which is not one of "
                "`flickr.photo_hosts`; add it there (as `*.domain` for all hosts of a service), "
                "then run again."
            )
    reasons = Counter(outcome.reason for outcome in failed.values()).most_common(3)
    told = f"{len(failed)} of {len(listed)} photos failed: " + "; ".join(
        f"{count} x {reason}" for reason, count in reasons
    )
    if len(failed) >= MANY and 2 * len(failed) > len(listed):
        raise UserError(f"Area {aoi!r}: {told}. Photos that came are kept; run again later.")
    log.warning("Area %r: %s", aoi, told)


def _without_placeholders(
    listed: pd.DataFrame, aoi: str, outcomes: dict[str, Outcome]
) -> dict[str, Outcome]:
    """Tell a picture that says "no longer available" from photos; its copies are removed."""
    places = zip(listed["lat"], listed["lon"], strict=True)
    rows = zip(listed["id"], places, strict=True)
    found = dict(outcomes)
    removed = set()
    for ids in suspects((i, outcomes[i], place) for i, place in rows):
        paths = [photo_path(aoi, photo_id) for photo_id in ids]
        if not is_plain(paths[0].read_bytes()):
            continue
        for path in paths:
            remove(path)
            removed.add(path.parent)
        found |= dict.fromkeys(ids, Outcome("gone", PLACEHOLDER))
    sync_folders(removed)
    return found


def _rows(listed: pd.DataFrame, aoi: str, outcomes: dict[str, Outcome]) -> list[dict[str, Any]]:
    rows = []
    for photo_id, url in zip(listed["id"], listed["url"].fillna(""), strict=True):
        outcome = outcomes[photo_id]
        rows.append(
            {
                "id": photo_id,
                "status": outcome.status,
                "reason": outcome.reason,
                "url": url,
                "path": str(photo_path(aoi, photo_id)) if outcome.stored else "",
                "width": outcome.width,
                "height": outcome.height,
                "bytes": outcome.bytes,
                "sha256": outcome.sha256,
            }
        )
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = stage.arguments("download", __doc__, inputs=["ids"], outputs=["table"], argv=argv)
    run(args.spec, args.ids, args.table)


if __name__ == "__main__":
    stage.execute(main)
