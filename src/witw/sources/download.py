"""Bring a shard's missing 500 px files into the photo store and verify each.

Addresses are fetched and local files are converted, according to the ids' ``url``.

A photo that the host reports as gone (404, 410, a placeholder) is not requested again in that run.
The next run requests it once, because a table is rebuilt only for a reason, mostly a newer list
that includes the photo. Removals do not depend on the host: a photo that Flickr no longer lists, or
whose owner asked for its removal, is never requested, and its file is removed.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from witw import forgotten, stage, tables
from witw.environment import SLOTS
from witw.errors import UserError
from witw.files import sync_folders
from witw.flickr.headers import user_agent
from witw.flickr.photo_host.fetch import FetchRules, HostDown, Job, fetch
from witw.flickr.photo_host.outcome import PLACEHOLDER, Outcome, is_plain, suspects
from witw.flickr.photo_host.progress import ProgressMeter
from witw.flickr.photo_host.resolver import PrivateAddress
from witw.flickr.photo_host.stored_files import is_there, remove, verify
from witw.flickr.photo_host.throttle import Limits
from witw.settings.download import Download
from witw.sources import local_files, mapillary
from witw.sources.base import is_local, pinned
from witw.sources.hosts import FEW, Hosts, check_hosts, check_share
from witw.store import FLICKR_ID, PHOTO_ID, photo_path

VERSION = 3
# `download.max_slots` is missing because another pace must not rerun anything, see slots_of.
# `photo_hosts` are those of the area's other sources.
READS = ("download.max_megabytes", "download.min_side_px", "flickr.photo_hosts", "photo_hosts")

READERS = 4
CHANGED = "its SHA-256 differs from the list"
UNLISTED = "no longer listed"
WITHDRAWN = "removed at its owner's request"

log = logging.getLogger(__name__)


def run(spec: dict[str, Any], ids: Path, table: Path, limits: Limits | None = None) -> pd.DataFrame:
    """Update the photo store for a shard and return the outcome of each photo.

    A photo already in the store, intact and of usable size, is not requested again.

    Args:
        spec: ``aoi``, the keys of section ``download`` in READS, and ``flickr.photo_hosts``.
        ids: Table ``ids`` of the shard.
        table: Table ``downloads`` to write, one row per id.
        limits: Retries, parallelism and timeouts; default: from the environment.

    Returns:
        The table.

    Raises:
        UserError: A photo host is invalid or down. No table is written then, but photos fetched
            before stay.
    """
    aoi: str = spec["aoi"]
    settings = Download.model_validate(spec["download"])
    limits = limits or Limits(most_slots=slots_of(aoi))
    listed = tables.read(ids, "ids")
    places = [pinned(url) for url in listed["url"].fillna("")]
    listed = listed.assign(url=pd.array([url for url, _ in places], dtype="string"))
    hosts = Hosts.of(spec, listed)
    outcomes = _withdrawn(listed, aoi)
    here = listed["url"].map(is_local).astype(bool) & ~listed["id"].isin(outcomes)
    outcomes |= local_files.bring(_local_jobs(listed[here], aoi), settings.min_side_px)
    _check_local(aoi, listed[here], outcomes)
    known, jobs = _triage(listed[~listed["id"].isin(outcomes)], aoi, settings.min_side_px, hosts)
    outcomes |= known
    kept = sum(outcome.stored for outcome in outcomes.values())
    log.info("%d photos listed, %d in the store, %d to fetch", len(listed), kept, len(jobs))
    rules = FetchRules(
        hosts.all,
        user_agent(),
        settings.min_side_px,
        int(settings.max_megabytes * 1e6),
        limits,
        local_files.prepared,
    )
    fetched = _fetch(jobs, aoi, rules)
    check_hosts(aoi, jobs, fetched)
    outcomes |= fetched
    check_share(aoi, listed, outcomes)
    outcomes = _without_placeholders(listed, aoi, outcomes)
    pins = {i: pin for i, (_, pin) in zip(listed["id"], places, strict=True) if pin}
    outcomes = _as_pinned(aoi, pins, outcomes)
    sync_folders({photo_path(aoi, i).parent for i in listed["id"] if outcomes[i].stored})
    data = tables.write(table, "downloads", _rows(listed, aoi, outcomes))
    log.info("%s", ", ".join(f"{n} {s}" for s, n in sorted(data["status"].value_counts().items())))
    return data


def _local_jobs(listed: pd.DataFrame, aoi: str) -> Iterator[tuple[str, Path, Path]]:
    for photo_id, url in zip(listed["id"], listed["url"], strict=True):
        if PHOTO_ID.fullmatch(photo_id):
            yield photo_id, Path(url), photo_path(aoi, photo_id)


def _check_local(aoi: str, listed: pd.DataFrame, outcomes: Mapping[str, Outcome]) -> None:
    """Stop if none of the local files exists, since their folder must then be wrong.

    Raises:
        UserError: No file exists; the message names one.
    """
    if len(listed) >= FEW and all(outcomes[i].status == "gone" for i in listed["id"]):
        raise UserError(
            f"Area {aoi!r}: none of {len(listed)} local photos exists, for example "
            f"{listed['url'].iloc[0]} (relative to {Path.cwd()}); set `root` of the source to the "
            "folder of their paths, or put them there."
        )


def _as_pinned(
    aoi: str, pins: Mapping[str, str], outcomes: dict[str, Outcome]
) -> dict[str, Outcome]:
    """Reject and remove files that do not match the list's digests."""
    found = dict(outcomes)
    for photo_id, sha256 in pins.items():
        if found[photo_id].stored and found[photo_id].sha256 != sha256:
            remove(photo_path(aoi, photo_id))
            found[photo_id] = Outcome("changed", CHANGED)
    return found


def slots_of(aoi: str) -> int:
    """Return the limit of parallel requests from the environment: a number, or JSON by area.

    Raises:
        UserError: The value is neither.
    """
    text = os.environ.get(SLOTS, "")
    if not text:
        return Download().max_slots
    try:
        value = json.loads(text)
        return Download(max_slots=value[aoi] if isinstance(value, dict) else value).max_slots
    except (ValueError, KeyError):
        raise UserError(
            f"{SLOTS} is {text!r}, which gives no number for {aoi!r}; correct or unset it."
        ) from None


def _triage(
    listed: pd.DataFrame, aoi: str, min_side_px: int, hosts: Hosts
) -> tuple[dict[str, Outcome], list[Job]]:
    """Return the outcomes known without a request, and the photos to fetch."""
    outcomes: dict[str, Outcome] = {}
    jobs = []
    for photo_id, url in zip(listed["id"], listed["url"], strict=True):
        if PHOTO_ID.fullmatch(photo_id):
            converts = not FLICKR_ID.fullmatch(photo_id)
            jobs.append(Job(photo_id, url, photo_path(aoi, photo_id), converts))
        else:
            outcomes[photo_id] = Outcome("failed", "its id is not a valid photo id")
    kept = [job for job in jobs if is_there(job.path)]
    with ThreadPoolExecutor(READERS) as pool:
        looked = pool.map(lambda job: verify(job.path, min_side_px), kept)
        found = list(stage.progress(looked, "verify", total=len(kept)))
    good = {job.id: outcome for job, outcome in zip(kept, found, strict=True) if outcome}
    fresh = mapillary.addresses(
        [j.url for j in jobs if j.id not in good and j.url.startswith(mapillary.SCHEME)], aoi
    )
    missing = []
    for listed_job in jobs:
        job = replace(listed_job, url=fresh.get(listed_job.url, listed_job.url))
        if job.id in good:
            outcomes[job.id] = good[job.id]
        elif listed_job.url in fresh and not job.url:
            outcomes[job.id] = Outcome("gone", "no longer on Mapillary")
        elif reason := hosts.refusal(job):
            outcomes[job.id] = Outcome("failed", reason, refused=True)
        else:
            missing.append(job)
    return outcomes, missing


def _withdrawn(listed: pd.DataFrame, aoi: str) -> dict[str, Outcome]:
    """Return the photos that must not be in the store, and remove their files."""
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
            "fetched photos are kept, so run again when the host is back."
        ) from None
    except PrivateAddress as found:
        raise UserError(
            f"Area {aoi!r}: the photo host {found.host} leads to {found.address}, a private "
            "address; if that is intended, list the address in `flickr.photo_hosts` too."
        ) from None


def _without_placeholders(
    listed: pd.DataFrame, aoi: str, outcomes: dict[str, Outcome]
) -> dict[str, Outcome]:
    """Detect pictures that say "no longer available", and remove their copies."""
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
