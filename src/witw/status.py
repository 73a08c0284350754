"""Statuses of photos, and the rules for them that several stages share.

This module imports only pandas.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pandas as pd


class Status(StrEnum):
    """Final status of a listed photo: the first that applies, in the order of the flow."""

    NO_POSITION = "no_position"  # listed by a folder or table without a possible position
    GONE = "gone"  # the host says that the photo no longer exists, or serves a placeholder
    FAILED = "failed"  # the host delivered no photo after many attempts; a rerun tries again
    CORRUPT = "corrupt"  # not a complete, decodable still image of usable size
    CHANGED = "changed"  # the file differs from the one in the list of photos
    GREY = "grey"  # a picture with one band
    INDOOR = "indoor"  # the Places365 vote is below the threshold
    OFF_IMAGERY = "off_imagery"  # no pixel of the chip has imagery
    BLANK = "blank"  # too much of the chip has no imagery
    # Filters of section `pairs`, for photos that would otherwise be pairs.
    EXCLUDED = "excluded"  # named in `pairs.exclude`
    LICENSE = "license"  # its licence forbids a use that `pairs` requires
    DATE = "date"  # not taken within `pairs.taken_from` to `pairs.taken_until`
    INACCURATE = "inaccurate"  # a geotag less accurate than `pairs.min_accuracy`
    EDGE = "edge"  # nearer to the edge of the imagery than `pairs.min_edge_m`
    CLOSE = "close"  # nearer to another pair than `pairs.min_distance_m`
    OWNER = "owner"  # more pairs of one owner than `pairs.max_per_owner`
    LIMIT = "limit"  # more pairs than `pairs.limit`
    SHARED = "shared"  # occurs in another split, see `dataset.shared`; only in the data set
    PAIRED = "paired"  # photo and chip


STATUS_MEANING = {
    Status.NO_POSITION: "no position, or an impossible one (0/0, latitude 213)",
    Status.GONE: "no longer on the photo host, or a missing local file",
    Status.FAILED: "not delivered by the photo host after many attempts",
    Status.CORRUPT: "not a complete still image of usable size",
    Status.CHANGED: "another file than the one in the list of photos",
    Status.GREY: "a picture with one band",
    Status.INDOOR: "indoor, according to the Places365 vote",
    Status.OFF_IMAGERY: "no imagery around the geotag",
    Status.BLANK: "too little imagery around the geotag",
    Status.EXCLUDED: "in the list of excluded photos",
    Status.LICENSE: "a licence that forbids a required use",
    Status.DATE: "not taken in the required years, or at an unknown time",
    Status.INACCURATE: "a geotag less accurate than required",
    Status.EDGE: "too near to the edge of the imagery",
    Status.CLOSE: "too near to another pair",
    Status.OWNER: "beyond the maximum number of pairs of one owner",
    Status.LIMIT: "beyond the maximum number of pairs, by a hash of the id",
    Status.SHARED: "excluded because the photo or its owner occurs in another split",
    Status.PAIRED: "has a photo and a chip",
}


@dataclass(frozen=True)
class Outdoor:
    """Thresholds of the scores of outdoor photos.

    Attributes:
        min_outdoor_vote: smallest ``io_vote`` of an outdoor photo.
        min_outdoor_mass: smallest ``p_outdoor`` of an outdoor photo.
    """

    min_outdoor_vote: float
    min_outdoor_mass: float

    def holds(self, scores: pd.DataFrame) -> pd.Series[bool]:
        """Return whether each photo is outdoor; a photo without scores is not."""
        vote = scores["io_vote"] >= self.min_outdoor_vote
        return (vote & (scores["p_outdoor"] >= self.min_outdoor_mass)).fillna(False)


def wants_chip(downloads: pd.DataFrame, scenes: pd.DataFrame, outdoor: Outdoor) -> pd.Series[str]:
    """Return the sorted ids of downloaded photos that are in colour and outdoor.

    Args:
        downloads: table ``downloads``; only rows with ``status == "ok"`` count.
        scenes: table ``scenes``.
        outdoor: thresholds of outdoor photos.
    """
    fetched = downloads.loc[downloads["status"] == "ok", "id"]
    outside = scenes.loc[outdoor.holds(scenes), "id"]
    return fetched[fetched.isin(outside)].sort_values(ignore_index=True)


def has_file(downloads: pd.DataFrame) -> pd.Series[bool]:
    """Return whether each photo of table ``downloads`` has a file in the store, to be scored."""
    return downloads["status"].isin(("ok", "grey")) & downloads["path"].notna()


def final_status(
    joined: pd.DataFrame, outdoor: Outdoor, max_blank_fraction: float
) -> pd.Series[str]:
    """Return each photo's :class:`witw.status.Status`: the first that applies.

    Args:
        joined: one row per photo with ``unusable`` of table ``photos``, ``status`` of
            ``downloads``,
            ``io_vote`` and ``p_outdoor`` of ``scenes`` and ``blank_fraction`` of ``chips``; null if
            the stage has no value.
        outdoor: thresholds of outdoor photos.
        max_blank_fraction: largest ``blank_fraction`` of a pair.
    """
    blank = joined["blank_fraction"]
    status = pd.Series(Status.PAIRED.value, index=joined.index, dtype="string")
    # From the last rule to the first: an earlier rule overwrites a later one.
    status[(blank > max_blank_fraction).fillna(False)] = Status.BLANK
    status[(blank >= 1).fillna(False)] = Status.OFF_IMAGERY
    status[~outdoor.holds(joined)] = Status.INDOOR
    # The header was valid at the download, but the pixels could not be decoded.
    status[joined["io_vote"].isna()] = Status.CORRUPT
    fetched = (joined["status"] == "ok").fillna(False)
    status[~fetched] = joined.loc[~fetched, "status"]
    unusable = joined["unusable"].fillna("") != ""
    status[unusable] = joined.loc[unusable, "unusable"]
    return status
