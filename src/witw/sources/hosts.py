"""Check the hosts of an area's photos, and whether failures are the host's or the photos'."""

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
# Fewer refusals than this may be due to the photos; more, for every photo, are due to the host.
FEW = 3
# If an unlisted host has more than this share of the photos, the list is wrong.
MOST_STRANGE = 0.1
# The host is blamed for at least this many failures if they are over half of the photos.
MANY = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hosts:
    """Origins from which photos may be fetched.

    Attributes:
        flickr: Origins of Flickr's photos, from `flickr.photo_hosts`.
        others: Origins of other sources' photos, from their `hosts`.
    """

    flickr: frozenset[Origin]
    others: frozenset[Origin]

    @property
    def all(self) -> frozenset[Origin]:
        """The union of both sets."""
        return self.flickr | self.others

    @classmethod
    def of(cls, spec: Mapping[str, Any], listed: pd.DataFrame) -> Hosts:
        """Read the origins from the spec of `download`.

        Args:
            spec: ``flickr.photo_hosts`` and, if there are other sources, ``photo_hosts``.
            listed: ``id`` and ``url`` of the photos; their hosts are used if any host is allowed.

        Raises:
            UserError: An entry is not a host; the message names the key.
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
        """Return why a photo must not be fetched; '' if it may be."""
        if not job.converts:
            return refusal(job.url, self.flickr)
        return refusal(job.url, self.others).replace(
            "`flickr.photo_hosts`", "`hosts` of its source"
        )


def _origins(entries: list[str], key: str) -> frozenset[Origin]:
    try:
        return allowed(entries)
    except ValueError as error:
        raise UserError(
            f"`{key}`: {error.args[0]!r} is not a host; give `host`, `host:port`, "
            "`http://host:port` or `*.domain`."
        ) from None


def _is_open(found: Origin) -> bool:
    """Return whether an origin may be public: a name, not an address, by https."""
    scheme, host, port = found
    is_address = ":" in host or host.rpartition(".")[2].isdigit()
    return scheme == "https" and port == PORTS[scheme] and host != "localhost" and not is_address


def check_hosts(aoi: str, jobs: list[Job], fetched: dict[str, Outcome]) -> None:
    """Stop before results are recorded if a host or the network failed, rather than the photos.

    Raises:
        UserError: None of the photos requested from a host was delivered.
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
    """Report how many photos failed and why; stop if the photos are not the cause.

    Raises:
        UserError: An unlisted host has more than a tenth of the photos, or more than half of them
            failed.
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
        raise UserError(f"Area {aoi!r}: {told}. Fetched photos are kept; run again later.")
    log.warning("Area %r: %s", aoi, told)
