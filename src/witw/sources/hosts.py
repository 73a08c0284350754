"""Which hosts an area's photos may come from, and when a host is to blame rather than photos."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from witw.errors import UserError
from witw.flickr.hosts import PORTS, Origin, allowed, host_of, origin, refusal
from witw.flickr.photo_host.fetch import Job
from witw.flickr.photo_host.outcome import Outcome
from witw.store import FLICKR_ID

# In `photo_hosts` of a spec: every host, by https.
ANY = "*"
# Refusals of fewer photos than this may be the photos' own; of all of more, they are the host's.
FEW = 3
# More of the photos than this on a host that is not listed: it is the list that is wrong.
MOST_STRANGE = 0.1
# Of so many failures or more, if they are more than half of the photos, the host is to blame.
MANY = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hosts:
    """Origins that photos may be fetched from.

    Attributes:
        flickr: of Flickr's photos, by `flickr.photo_hosts`.
        others: of those of other sources, by `hosts` of these.
    """

    flickr: frozenset[Origin]
    others: frozenset[Origin]

    @property
    def all(self) -> frozenset[Origin]:
        """Both."""
        return self.flickr | self.others

    @classmethod
    def of(cls, spec: Mapping[str, Any], listed: pd.DataFrame) -> Hosts:
        """Read them from the spec of `download`.

        Args:
            spec: ``flickr.photo_hosts`` and, if there are other sources, ``photo_hosts``.
            listed: ``id`` and ``url`` of the photos, whose hosts are taken where any will do.

        Raises:
            UserError: an entry is no host; names the key.
        """
        told = spec.get("photo_hosts") or []
        flickr = _origins(spec["flickr"]["photo_hosts"], "flickr.photo_hosts")
        others = _origins([entry for entry in told if entry != ANY], "photos.hosts")
        if ANY in told:
            own = (
                origin(url)
                for photo_id, url in zip(listed["id"], listed["url"], strict=True)
                if not FLICKR_ID.fullmatch(photo_id)
            )
            others |= {o for o in own if o and _is_open(o)}
        return cls(flickr, others)

    def refusal(self, job: Job) -> str:
        """Why a photo must not be fetched; '' if it may."""
        if not job.converts:
            return refusal(job.url, self.flickr)
        return refusal(job.url, self.others).replace(
            "`flickr.photo_hosts`", "`hosts` of its source"
        )


def _origins(entries: list[str], key: str) -> frozenset[Origin]:
    try:
        return allowed(entries)
    except ValueError as error:
        raise UserError(f"`{key}`: {error.args[0]!r} is not a host.") from None


def _is_open(found: Origin) -> bool:
    """Whether it may be on the open internet: a name, not an address, by https."""
    scheme, host, port = found
    is_address = ":" in host or host.rpartition(".")[2].isdigit()
    return scheme == "https" and port == PORTS[scheme] and host != "localhost" and not is_address


def check_hosts(aoi: str, jobs: list[Job], fetched: dict[str, Outcome]) -> None:
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


def check_share(aoi: str, listed: pd.DataFrame, outcomes: dict[str, Outcome]) -> None:
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
