"""Status of a photo: what became of it, and the rules that several stages must agree on.

Needs pandas alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pandas as pd


class Status(StrEnum):
    """What became of a listed photo; the first that applies, in the order of the flow."""

    GONE = "gone"  # the host says it no longer exists, or serves its placeholder
    FAILED = "failed"  # the host did not answer usefully in many tries; asked again when rerun
    CORRUPT = "corrupt"  # what came is not a whole, decodable still picture of usable size
    GREY = "grey"  # a single-band picture
    INDOOR = "indoor"  # the Places365 vote is below the threshold
    OFF_IMAGERY = "off_imagery"  # not a pixel of the chip has imagery
    BLANK = "blank"  # too much of the chip has no imagery
    PAIRED = "paired"  # photo and chip


STATUS_MEANING = {
    Status.GONE: "no longer on the photo host",
    Status.FAILED: "the photo host did not deliver it, after many tries",
    Status.CORRUPT: "what came is not a whole still picture of usable size",
    Status.GREY: "a single-band picture",
    Status.INDOOR: "taken indoors, by the Places365 vote",
    Status.OFF_IMAGERY: "no imagery at all around its geotag",
    Status.BLANK: "too little imagery around its geotag",
    Status.PAIRED: "has its photo and its chip",
}


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
    """What became of each photo: a value of :class:`witw.status.Status`, the first that applies.

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
