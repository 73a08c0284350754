"""Status of a photo: what became of it, and the rules that several stages must agree on.

Needs pandas alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pandas as pd


class Status(StrEnum):
    """What became of a listed photo; the first that applies, in the order of the flow."""

    NO_POSITION = "no_position"  # listed by a folder or table without a position that can be
    GONE = "gone"  # the host says it no longer exists, or serves its placeholder
    FAILED = "failed"  # the host did not answer usefully in many tries; asked again when rerun
    CORRUPT = "corrupt"  # not a complete, decodable still image of usable size
    CHANGED = "changed"  # a list of photos tells of another file than the one that came
    GREY = "grey"  # a single-band picture
    INDOOR = "indoor"  # the Places365 vote is below the threshold
    OFF_IMAGERY = "off_imagery"  # not a pixel of the chip has imagery
    BLANK = "blank"  # too much of the chip has no imagery
    # Filters of section `pairs`, for what would else be a pair.
    EXCLUDED = "excluded"  # named in `pairs.exclude`
    LICENSE = "license"  # its licence does not allow what `pairs` asks for
    DATE = "date"  # not taken within `pairs.taken_from` to `pairs.taken_until`
    INACCURATE = "inaccurate"  # a geotag less accurate than `pairs.min_accuracy`
    EDGE = "edge"  # nearer to ground without imagery than `pairs.min_edge_m`
    CLOSE = "close"  # nearer to another pair than `pairs.min_distance_m`
    OWNER = "owner"  # more pairs of one owner than `pairs.max_per_owner`
    LIMIT = "limit"  # more pairs than `pairs.limit`
    SHARED = "shared"  # stands in another split too, see `dataset.shared`; in the data set alone
    PAIRED = "paired"  # photo and chip


STATUS_MEANING = {
    Status.NO_POSITION: "no position, or one that cannot be (0/0, latitude 213)",
    Status.GONE: "no longer on the photo host, or its file is no longer there",
    Status.FAILED: "not delivered by the photo host after many attempts",
    Status.CORRUPT: "not a complete still image of usable size",
    Status.CHANGED: "not the file that the list of photos tells of",
    Status.GREY: "a single-band picture",
    Status.INDOOR: "indoor, according to the Places365 vote",
    Status.OFF_IMAGERY: "no imagery at all around its geotag",
    Status.BLANK: "too little imagery around its geotag",
    Status.EXCLUDED: "on the list of photos to leave out",
    Status.LICENSE: "a licence that does not allow what was asked for",
    Status.DATE: "not taken in the years asked for, or at no known time",
    Status.INACCURATE: "a geotag less accurate than asked for",
    Status.EDGE: "too near to the edge of the imagery",
    Status.CLOSE: "too near to another pair",
    Status.OWNER: "one of too many pairs of one person",
    Status.LIMIT: "beyond the number asked for, by a hash of the id",
    Status.SHARED: "left out, as the photo or its owner stands in another split",
    Status.PAIRED: "has a photo and a chip",
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
        joined: a row a photo with ``unusable`` of table ``photos``, ``status`` of ``downloads``,
            ``io_vote`` and ``p_outdoor`` of ``scenes`` and ``blank_fraction`` of ``chips``, null
            where that stage has no value.
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
    fetched = (joined["status"] == "ok").fillna(False)
    status[~fetched] = joined.loc[~fetched, "status"]
    unusable = joined["unusable"].fillna("") != ""
    status[unusable] = joined.loc[unusable, "unusable"]
    return status
