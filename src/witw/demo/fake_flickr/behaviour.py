"""Behaviours of Flickr that the stand-in imitates, one switch each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PastCap = Literal["repeat", "error20"]


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """The switches of the stand-in; the defaults are a frozen, well-behaved service.

    Everything drawn follows from ``seed``, a photo's id or the number of the call, never from a
    clock.

    Attributes:
        seed: of every draw below.
        past_cap: what is answered past 4,000 results: the last page again, or error 20.
        bbox_edges: whether a box includes its eastern and northern edge.
        bbox_decimals: decimals a box's edges are cut to (towards zero), as elsewhere in the API to
            6; None: all count.
        sort: ``ignored``: any order asked for gives one and the same, which is no order.
        license_lists: ``nothing``: a query for several licences finds nothing.
        accuracy_unset: what a query without ``accuracy`` finds: all, or street level (16) only.
        accuracy_given: whether ``accuracy`` is the least or the only accuracy found.
        thinned: share of the photos that no search finds or counts although each is there by its id
            and at its address; 1: an empty index.
        unset_hides: share of the photos found only by queries with an ``accuracy``.
        large_box_hides: share of the photos that a large box neither shows nor counts.
        large_box_deg: a box is large if its longer side exceeds this [degrees].
        list_hides: share of licence 11 found only by queries for one licence.
        licenses_up_to: highest licence id the filter knows; a query for unknown ids alone is not
            filtered by licence. None: it knows all.
        safe_search: ``safe``: unauthorised calls find safe photos only, whatever they ask for;
            ``asked``: as ``safe_search`` says (1, 2 or 3; safe if unset).
        now: the moment whose last 12 hours a box is searched for when no limiting date is given
            [s since 1970]; None: the newest upload.
        jitter: largest relative error of ``total``, new in every call.
        replicas: servers that answer in turn, drawn for every call.
        lag: share of the photos that each replica lacks, each its own.
        phantoms: share of the photos that are counted and never shown.
        phantom_pages: whether phantoms leave gaps in pages, or pages are filled up with what
            follows (the last pages are then empty).
        vanishing: share of the photos that disappear during the first ``churn_calls`` searches.
        appearing: share of the photos, of any age, that are not there until some search of those.
        churn_calls: how many searches all that takes.
        malformed: share of the photos whose record is broken, always in the same way.
        missing_url: share of the photos without ``url_m``, besides those of the catalog.
        totals: whether ``total`` and ``pages`` are numbers, text (of nothing: "" and "0"), or now
            this, now that.
        field_types: ``mixed``: numbers are numbers or text, as in recordings of different years;
            ``documented``: as the reference of Openverse has them.
        api_latency_s: added to every answer of the API [s].
        photo_latency_s: added to every answer of the photo host [s].
        hourly: calls of one key within any 3,600 s that are answered; None: any number.
        over_quota: what the others get: 429 with or without ``Retry-After``, or error 201.
        key_dies_after: calls after which a key has expired; None: never.
        gate: whether a host that said 429 with ``Retry-After`` goes on saying so until then.
        gate_grace_s: requests of a closed host that come this soon after the 429 were on their way
            and are not held against the client [s].
        oversize_bytes: length of what is sent for an oversize photo.
        stall_s: how long a request that stalls is held before its connection is closed [s].
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
