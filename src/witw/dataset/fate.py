"""What becomes of a photo: the rules that more than one stage must agree on. Needs pandas alone."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from witw.tables import Status


@dataclass(frozen=True)
class Outdoor:
    """From which scores on a photo is outdoor.

    Attributes:
        min_outdoor_vote: least ``io_vote``; equal is outdoor.
        min_outdoor_mass: least ``p_outdoor``; equal is outdoor.
    """

    min_outdoor_vote: float
    min_outdoor_mass: float

    def holds(self, scores: pd.DataFrame) -> pd.Series[bool]:
        """Whether each photo is outdoor; one without scores is not."""
        vote = scores["io_vote"] >= self.min_outdoor_vote
        return (vote & (scores["p_outdoor"] >= self.min_outdoor_mass)).fillna(False)


def wants_chip(downloads: pd.DataFrame, scenes: pd.DataFrame, outdoor: Outdoor) -> pd.Series[str]:
    """Ids of the photos that are fetched, in colour and outdoor, sorted.

    Args:
        downloads: table ``downloads``; only ``status == "ok"`` counts.
        scenes: table ``scenes``.
        outdoor: which of these are outdoor.
    """
    fetched = downloads.loc[downloads["status"] == "ok", "id"]
    outside = scenes.loc[outdoor.holds(scenes), "id"]
    return fetched[fetched.isin(outside)].sort_values(ignore_index=True)


def has_file(downloads: pd.DataFrame) -> pd.Series[bool]:
    """Whether each photo of table ``downloads`` lies in the store, so that it is scored."""
    return downloads["status"].isin(("ok", "grey")) & downloads["path"].notna()


def final_status(
    joined: pd.DataFrame, outdoor: Outdoor, max_blank_fraction: float
) -> pd.Series[str]:
    """What became of each photo: a value of :class:`witw.tables.Status`, the first that applies.

    Args:
        joined: a row a photo with ``status`` of table ``downloads``, ``io_vote`` and
            ``p_outdoor`` of ``scenes`` and ``blank_fraction`` of ``chips``, null where that stage
            has no value.
        outdoor: which photos are outdoor.
        max_blank_fraction: largest ``blank_fraction`` of a pair; equal is a pair.
    """
    blank = joined["blank_fraction"]
    status = pd.Series(Status.PAIRED.value, index=joined.index, dtype="string")
    # From the last rule to the first, so that the first that applies has the last word.
    status[(blank > max_blank_fraction).fillna(False)] = Status.BLANK
    status[(blank >= 1).fillna(False)] = Status.OFF_IMAGERY
    status[~outdoor.holds(joined)] = Status.INDOOR
    # Its header was whole when it was fetched, but its pixels could not be decoded.
    status[joined["io_vote"].isna()] = Status.CORRUPT
    fetched = joined["status"] == "ok"
    status[~fetched] = joined.loc[~fetched, "status"]
    return status
