"""Fetch the 500 px files that are missing of a shard's photos, each verified."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from witw import stage, tables
from witw.errors import UserError
from witw.flickr.agent import user_agent
from witw.flickr.fetch import HostDown, Job, fetch, host_of
from witw.flickr.files import Outcome, sync_folders, verify
from witw.flickr.hosts import Origin, allowed, refusal
from witw.flickr.throttle import Limits
from witw.settings import Download
from witw.store import PHOTO_ID, photo_path

VERSION = 1
READS = ("download", "flickr.photo_hosts")

READERS = 4
# Refusals of fewer photos than this may be the photos' own; of all of more, they are the host's.
FEW = 3

log = logging.getLogger(__name__)


def run(spec: dict[str, Any], ids: Path, table: Path, limits: Limits | None = None) -> pd.DataFrame:
    """Bring the photo store up to date with a shard and say what became of each photo.

    A photo that lies in the store, whole and of usable size, is not asked for again.

    Args:
        spec: ``aoi``, section ``download`` and ``flickr.photo_hosts``.
        ids: table ``ids`` of the shard.
        table: table ``downloads`` to write, one row an id.
        limits: patience and eagerness towards the photo host.

    Returns:
        The table.

    Raises:
        UserError: a photo host is not one, or is down; then no table is written, but the photos
            fetched until then stay.
    """
    aoi: str = spec["aoi"]
    settings = Download.model_validate(spec["download"])
    entries: list[str] = spec["flickr"]["photo_hosts"]
    try:
        origins = allowed(entries)
    except ValueError as error:
        raise UserError(f"`flickr.photo_hosts`: {error.args[0]!r} is not a host.") from None
    listed = tables.read(ids, "ids")
    outcomes, jobs = _triage(listed, aoi, settings.min_side_px, origins)
    kept = sum(outcome.stored for outcome in outcomes.values())
    log.info("%d photos listed, %d in the store, %d to fetch", len(listed), kept, len(jobs))
    fetched = _fetch(jobs, aoi, settings, limits or Limits())
    _check_hosts(aoi, jobs, fetched)
    outcomes |= fetched
    sync_folders({job.path.parent for job in jobs if fetched[job.id].stored})
    data = tables.write(table, "downloads", _rows(listed, aoi, outcomes))
    log.info("%s", ", ".join(f"{n} {s}" for s, n in sorted(data["status"].value_counts().items())))
    return data


def _triage(
    listed: pd.DataFrame, aoi: str, min_side_px: int, origins: frozenset[Origin]
) -> tuple[dict[str, Outcome], list[Job]]:
    """What is known without asking a host, and what has to be fetched."""
    outcomes: dict[str, Outcome] = {}
    jobs = []
    for photo_id, url in zip(listed["id"], listed["url"].fillna(""), strict=True):
        if PHOTO_ID.fullmatch(photo_id):
            jobs.append(Job(photo_id, url, photo_path(aoi, photo_id)))
        else:
            outcomes[photo_id] = Outcome("failed", "its id is not a number")
    with ThreadPoolExecutor(READERS) as pool:
        looked = pool.map(lambda job: verify(job.path, min_side_px), jobs)
        found = list(stage.progress(looked, "verify", total=len(jobs)))
    missing = []
    for job, outcome in zip(jobs, found, strict=True):
        if outcome is not None:
            outcomes[job.id] = outcome
        elif reason := refusal(job.url, origins):
            outcomes[job.id] = Outcome("failed", reason)
        else:
            missing.append(job)
    return outcomes, missing


def _fetch(jobs: list[Job], aoi: str, settings: Download, limits: Limits) -> dict[str, Outcome]:
    if not jobs:
        return {}
    try:
        with stage.bar("download", len(jobs), unit="photo") as bar:
            return fetch(
                jobs,
                user_agent=user_agent(),
                min_side_px=settings.min_side_px,
                max_bytes=int(settings.max_megabytes * 1e6),
                limits=limits,
                done=bar.update,
            )
    except HostDown as down:
        raise UserError(
            f"AOI {aoi!r}: the photo host {down.host} has stopped answering ({down.reason}); "
            "what was fetched is kept, so run again when it is back."
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
                f"AOI {aoi!r}: the photo host {host} delivered none of {len(outcomes)} photos "
                f"({outcomes[0].reason}); check the network and `flickr.photo_hosts`, "
                "then run again."
            )


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
