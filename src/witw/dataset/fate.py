"""What becomes of a photo: the rules that more than one stage must agree on. Needs pandas alone."""

from __future__ import annotations

import pandas as pd

from witw.tables import Status


def wants_chip(
    downloads: pd.DataFrame, scenes: pd.DataFrame, min_outdoor_vote: float
) -> pd.Series[str]:
    """Ids of the photos that are fetched, in colour and outdoor, sorted.

    Args:
        downloads: table ``downloads``; only ``status == "ok"`` counts.
        scenes: table ``scenes``; a photo without a vote is not outdoor.
        min_outdoor_vote: least ``io_vote`` of an outdoor photo; equal is outdoor.
    """
    fetched = downloads.loc[downloads["status"] == "ok", "id"]
    outdoor = scenes.loc[(scenes["io_vote"] >= min_outdoor_vote).fillna(False), "id"]
    return fetched[fetched.isin(outdoor)].sort_values(ignore_index=True)


def has_file(downloads: pd.DataFrame) -> pd.Series[bool]:
    """Whether each photo of table ``downloads`` lies in the store, so that it is scored."""
    return downloads["status"].isin(("ok", "grey")) & downloads["path"].notna()


def final_status(
    joined: pd.DataFrame, min_outdoor_vote: float, max_blank_fraction: float
) -> pd.Series[str]:
    """What became of each photo: a value of :class:`witw.tables.Status`, the first that applies.

    Args:
        joined: a row a photo with ``status`` of table ``downloads``, ``io_vote`` of ``scenes`` and
            ``blank_fraction`` of ``chips``; the last two null where that stage has no value.
        min_outdoor_vote: least ``io_vote`` of an outdoor photo; equal is outdoor.
        max_blank_fraction: largest ``blank_fraction`` of a pair; equal is a pair.
    """
    vote, blank = joined["io_vote"], joined["blank_fraction"]
    status = pd.Series(Status.PAIRED.value, index=joined.index, dtype="string")
    # From the last rule to the first, so that the first that applies has the last word.
    status[(blank > max_blank_fraction).fillna(False)] = Status.BLANK
    status[(blank >= 1).fillna(False)] = Status.OFF_IMAGERY
    status[(vote < min_outdoor_vote).fillna(False)] = Status.INDOOR
    # Its header was whole when it was fetched, but its pixels could not be decoded.
    status[vote.isna()] = Status.CORRUPT
    fetched = joined["status"] == "ok"
    status[~fetched] = joined.loc[~fetched, "status"]
    return status
