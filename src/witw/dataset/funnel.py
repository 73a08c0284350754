"""Count photos by status and by licence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from witw.dataset.credit import license_class, spdx
from witw.errors import UserError
from witw.status import Status

TOTAL = "total"
COLUMNS = ["aoi", "city", "split", "listed", *(status.value for status in Status)]


# Statuses that are always shown; other statuses are shown only if a photo has them.
ALWAYS = frozenset(
    {"gone", "failed", "corrupt", "grey", "indoor", "off_imagery", "blank", "paired"}
)


def shown(table: pd.DataFrame) -> list[str]:
    """Return the columns of a funnel without unused statuses.

    Args:
        table: table from :func:`funnel`.
    """
    total = table.iloc[-1]
    fates = [s.value for s in Status if s.value in ALWAYS or total[s.value]]
    return [*COLUMNS[:4], *fates]


def funnel(pairs: pd.DataFrame, areas: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Count the listed photos and each status: one row per AOI, and a last row with the totals.

    Args:
        pairs: table ``pairs`` of all AOIs.
        areas: ``city`` and ``split`` of every AOI, by name, including AOIs without photos.

    Returns:
        :data:`COLUMNS`; in every row ``listed`` is the sum of the statuses.

    Raises:
        UserError: a photo has no known status, or belongs to no AOI of ``areas``.
    """
    _check(pairs, areas)
    counts = pd.crosstab(pairs["aoi"].astype(str), pairs["status"].astype(str))
    rows = []
    for name in sorted(areas):
        row: dict[str, Any] = {"aoi": name, "city": areas[name]["city"]}
        row |= {"split": areas[name]["split"], "listed": int((pairs["aoi"] == name).sum())}
        for status in Status:
            known = name in counts.index and status.value in counts.columns
            row[status.value] = int(counts.loc[name, status.value]) if known else 0  # type: ignore[arg-type]
        rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS)
    sums = table[COLUMNS[3:]].sum()
    table.loc[len(table)] = [TOTAL, "", "", *sums]
    return table


def _check(pairs: pd.DataFrame, areas: Mapping[str, Any]) -> None:
    known = {status.value for status in Status}
    odd = pairs[~pairs["status"].isin(known)]
    if len(odd):
        first = odd.iloc[0]
        raise UserError(
            f"Area {first['aoi']!r}: photo {first['id']} has the status {first['status']!r}, which "
            f"is none of {', '.join(sorted(known))}; delete the area's pairs.parquet and run again."
        )
    strange = sorted(set(pairs["aoi"]) - set(areas))
    if strange:
        raise UserError(f"Area {strange[0]!r} has pairs but is not in the config; name it there.")


def licenses(pairs: pd.DataFrame) -> pd.DataFrame:
    """Count the photos listed and paired under each licence.

    Returns:
        ``license_id``, ``license``, ``license_url``, ``spdx``, ``class`` (forbidden uses),
        ``listed``, ``paired``, sorted by id.
    """
    keys = ["license_id", "license", "license_url"]
    marked = pairs[keys].assign(listed=1, paired=(pairs["status"] == Status.PAIRED).astype(int))
    table = marked.groupby(keys, dropna=False, sort=True)[["listed", "paired"]].sum().reset_index()
    told = list(zip(*(table[key].fillna("").astype(str) for key in keys[1:]), strict=True))
    table.insert(3, "spdx", [spdx(*names) for names in told])
    table.insert(4, "class", [license_class(*names) for names in told])
    return table
