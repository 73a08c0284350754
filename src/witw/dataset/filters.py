"""Exclude pairs by licence, date, place, owner, list or number.

Each filter has its own status and sees only the pairs that earlier filters kept, so the statuses
add up. If a filter keeps some of several photos, the SHA-1 of their ids decides, independent of the
order of rows and of dates.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from witw.settings.pairs import Pairs
from witw.sources.terms import Terms, terms
from witw.status import Status

Bools = NDArray[np.bool_]
Keys = NDArray[np.str_]
Filter = Callable[[NDArray[np.intp]], Bools]
Floats = NDArray[np.float64]


def status_of(
    rows: pd.DataFrame, settings: Pairs, excluded: Collection[str], edge_m: Floats | None
) -> pd.Series[str]:
    """Return the status of each photo after the filters of section ``pairs``.

    Args:
        rows: current ``status``, and ``id``, ``owner``, ``license``, ``license_url``,
            ``date_taken``, ``accuracy``, ``easting`` and ``northing``.
        settings: section ``pairs``.
        excluded: ids to exclude.
        edge_m: distance of each photo to ground without imagery [m]; None if not needed.
    """
    status = rows["status"].copy()
    for fate, left_out in _filters(rows, settings, excluded, edge_m):
        # Each filter sees the rows that the previous filters kept.
        alive = (status == Status.PAIRED).to_numpy(bool)
        which = np.flatnonzero(alive)
        status.iloc[which[left_out(which)]] = fate.value
    return status


def _filters(
    rows: pd.DataFrame, settings: Pairs, excluded: Collection[str], edge_m: Floats | None
) -> Iterator[tuple[Status, Filter]]:
    """Yield each active filter: its status, and a function that marks the rows to exclude."""
    if excluded:
        listed = rows["id"].isin(set(excluded)).to_numpy(bool)
        yield Status.EXCLUDED, lambda which: listed[which]
    if settings.commercial_use or settings.derivatives or not settings.share_alike:
        fit = _licensed(rows, settings)
        yield Status.LICENSE, lambda which: ~fit[which]
    if settings.taken_from or settings.taken_until:
        dated = _dated(rows["date_taken"], settings)
        yield Status.DATE, lambda which: ~dated[which]
    if settings.min_accuracy > 1:
        rough = (rows["accuracy"] < settings.min_accuracy).fillna(False).to_numpy(bool)
        yield Status.INACCURATE, lambda which: rough[which]
    if edge_m is not None:
        near = ~(edge_m >= settings.min_edge_m)
        yield Status.EDGE, lambda which: near[which]
    keys = np.array([order(photo_id) for photo_id in rows["id"]])
    if settings.min_distance_m:
        at = rows[["easting", "northing"]].to_numpy(float, na_value=np.nan)
        yield Status.CLOSE, lambda which: crowded(at[which], keys[which], settings.min_distance_m)
    if settings.max_per_owner is not None:
        owners, most = rows["owner"].fillna("").to_numpy(object), settings.max_per_owner
        yield Status.OWNER, lambda which: beyond(owners[which], keys[which], most)
    if settings.limit is not None:
        same, limit = np.full(len(rows), "all", object), settings.limit
        yield Status.LIMIT, lambda which: beyond(same[which], keys[which], limit)


def order(photo_id: str) -> str:
    """Return sort keys that give photos an arbitrary but fixed order."""
    return hashlib.sha1(photo_id.encode(), usedforsecurity=False).hexdigest()


def crowded(at: Floats, keys: Keys, least_m: float) -> Bools:
    """Mark places that are nearer than a distance to a kept place.

    In the order of the keys, a place is kept if no kept place is nearer. A grid of cells of this
    distance limits the comparisons, so sorting dominates the time.

    Args:
        at: easting and northing, (n, 2) [m].
        keys: sort key of each place.
        least_m: minimum distance [m].
    """
    left_out = np.zeros(len(at), bool)
    kept: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for index in np.argsort(keys, kind="stable"):
        east, north = at[index]
        column, row = math.floor(east / least_m), math.floor(north / least_m)
        around = (
            place
            for x in (column - 1, column, column + 1)
            for y in (row - 1, row, row + 1)
            for place in kept.get((x, y), ())
        )
        if any(math.hypot(east - x, north - y) < least_m for x, y in around):
            left_out[index] = True
        else:
            kept.setdefault((column, row), []).append((east, north))
    return left_out


def beyond(groups: NDArray[np.object_], keys: Keys, most: int) -> Bools:
    """Mark the rows beyond the first ``most`` of their group, in the order of the keys.

    Args:
        groups: group of each row; '' is no group and has no limit.
        keys: sort key of each row.
        most: number of rows to keep per group.
    """
    table = pd.DataFrame({"group": groups, "key": list(keys)})
    rank = table.sort_values("key").groupby("group").cumcount()
    return np.asarray((rank.sort_index() >= most).to_numpy(bool) & (table["group"] != ""))


def _licensed(rows: pd.DataFrame, settings: Pairs) -> Bools:
    """Mark the licences that allow the required uses; licences with unknown terms do not."""
    pairs = zip(rows["license"].fillna(""), rows["license_url"].fillna(""), strict=True)
    known: dict[tuple[str, str], bool] = {}
    for pair in pairs:
        known.setdefault(pair, _fits(terms(*pair), settings))
    pairs = zip(rows["license"].fillna(""), rows["license_url"].fillna(""), strict=True)
    return np.array([known[pair] for pair in pairs], bool)


def _fits(found: Terms, settings: Pairs) -> bool:
    return (
        (not settings.commercial_use or found.commercial is True)
        and (not settings.derivatives or found.derivatives is True)
        and (settings.share_alike or found.share_alike is False)
    )


def _dated(taken: pd.Series[str], settings: Pairs) -> Bools:
    """Mark the photos taken between two days, inclusive, by their cameras' clocks."""
    day = taken.fillna("").str[:10]
    known = day.str.fullmatch(r"[12]\d{3}-\d\d-\d\d")
    first, last = settings.taken_from or "0", settings.taken_until or "9"
    return (known & (day >= str(first)) & (day <= str(last))).to_numpy(bool)
