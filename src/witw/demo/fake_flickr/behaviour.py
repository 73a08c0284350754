"""Behaviours of Flickr that the stand-in imitates, one switch each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PastCap = Literal["repeat", "error20"]


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """The switches of the stand-in; the defaults are a frozen, well-behaved service.

    All draws follow from ``seed`` and a photo's id or the number of the call, never from a clock.

    Attributes:
        seed: Seed of all draws.
        past_cap: Response past 4,000 results: the last page again, or error 20.
        bbox_edges: Whether a box includes its eastern and northern edge.
        bbox_decimals: Decimals to which a box's edges are truncated (towards zero), as elsewhere in
            the API to 6; None: no truncation.
        sort: ``ignored``: every requested order gives the same arbitrary order.
        license_lists: ``nothing``: a query for several licences finds nothing.
        accuracy_unset: Photos found without ``accuracy``: all, or those at street level (16) only.
        accuracy_given: Whether ``accuracy`` is the least or the only accuracy found.
        thinned: Share of the photos that no search finds or counts, although each exists by its id
            and at its address; 1: an empty index.
        unset_hides: Share of the photos found only by queries with an ``accuracy``.
        large_box_hides: Share of the photos that a large box neither shows nor counts.
        large_box_deg: A box is large if its longer side exceeds this [degrees].
        list_hides: Share of licence 11 found only by queries for one licence.
        licenses_up_to: Highest licence id the filter knows; a query for unknown ids only is not
            filtered by licence. None: it knows all.
        safe_search: ``safe``: unauthorised calls find safe photos only, whatever they request;
            ``asked``: as ``safe_search`` requests (1, 2 or 3; safe if unset).
        now: End of the 12 hours to which a box without a limiting date is restricted [s since
            1970]; None: the newest upload.
        jitter: Largest relative error of ``total``, drawn for every call.
        replicas: Number of servers; one is drawn for every call.
        lag: Share of the photos that each replica lacks, drawn for each.
        phantoms: Share of the photos that are counted but never shown.
        phantom_pages: Whether phantoms leave gaps in pages, or later photos fill the gaps (the last
            pages are then empty).
        vanishing: Share of the photos that disappear during the first ``churn_calls`` searches.
        appearing: Share of the photos, of any age, that appear during these searches.
        churn_calls: Number of searches during which photos appear or vanish.
        malformed: Share of the photos with a broken record, always broken in the same way.
        missing_url: Share of the photos without ``url_m``, in addition to those of the catalog.
        totals: Whether ``total`` and ``pages`` are numbers, text ("" and "0" for none), or a
            mixture.
        field_types: ``mixed``: numbers are numbers or text, as in recordings of different years;
            ``documented``: as in the reference of Openverse.
        api_latency_s: Delay of every response of the API [s].
        photo_latency_s: Delay of every response of the photo host [s].
        hourly: Calls of one key per 3,600 s that are answered; None: unlimited.
        over_quota: Response to further calls: 429 with or without ``Retry-After``, or error 201.
        key_dies_after: Number of calls after which a key expires; None: never.
        gate: Whether a host repeats a 429 with ``Retry-After`` until that time.
        gate_grace_s: Requests this soon after a 429 were already on their way and are not held
            against the client [s].
        oversize_bytes: Length of the body of an oversize photo.
        stall_s: Time for which a stalled connection is held before it is closed [s].
    """

    seed: int = 0
    past_cap: PastCap = "repeat"
    bbox_edges: Literal["inclusive", "half_open"] = "inclusive"
    bbox_decimals: int | None = None
    sort: Literal["honoured", "ignored"] = "honoured"
    license_lists: Literal["any", "nothing"] = "any"
    accuracy_unset: Literal["all", "street"] = "all"
    accuracy_given: Literal["least", "only"] = "least"
    thinned: float = 0.0
    unset_hides: float = 0.0
    large_box_hides: float = 0.0
    large_box_deg: float = 0.1
    list_hides: float = 0.0
    licenses_up_to: int | None = None
    safe_search: Literal["safe", "asked"] = "safe"
    now: int | None = None
    jitter: float = 0.0
    replicas: int = 1
    lag: float = 0.0
    phantoms: float = 0.0
    phantom_pages: Literal["gaps", "filled"] = "gaps"
    vanishing: float = 0.0
    appearing: float = 0.0
    churn_calls: int = 1000
    malformed: float = 0.0
    missing_url: float = 0.0
    totals: Literal["mixed", "number", "text"] = "mixed"
    field_types: Literal["mixed", "documented"] = "mixed"
    api_latency_s: float = 0.0
    photo_latency_s: float = 0.0
    hourly: int | None = None
    over_quota: Literal["429", "429_retry_after", "201"] = "429"
    key_dies_after: int | None = None
    gate: bool = False
    gate_grace_s: float = 0.25
    oversize_bytes: int = 32 * 2**20
    stall_s: float = 300.0
