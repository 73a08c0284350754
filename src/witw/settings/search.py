"""Section ``search``: the photos that are listed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import Field, field_validator

from witw.settings.base import Moment, Numbers, Section, Share

BEGIN = datetime(2004, 1, 1, tzinfo=UTC)  # Flickr opened in February 2004
SKEW = timedelta(minutes=5)  # tolerated difference between the clocks of a cluster


class Search(Section):
    """The photos that are listed."""

    snapshot: Moment = Field(
        datetime(2026, 11, 1, tzinfo=UTC),
        description=(
            "Photos uploaded up to this moment (UTC) are listed; move it forward to "
            "refresh a search."
        ),
    )
    licenses: Numbers = Field(
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
        min_length=1,
        description="Flickr licence ids that count as open (0 means all rights reserved).",
    )
    box_total: int = Field(
        20_000,
        ge=250,
        description=(
            "Boxes with more photos than this are split into four; others are paged "
            "through by upload date [photos]."
        ),
    )
    audit: Share = Field(
        0.05,
        description=(
            "Budget for extra queries that test completeness in other ways (random upload "
            "dates, smaller boxes, single licences), as a share of the search's calls. At "
            "least 26 to 38 calls are made, fewer for small areas. With 0 no search is "
            "called complete."
        ),
    )
    sweeps: int = Field(
        1,
        ge=1,
        le=4,
        description="Number of sweeps. Each uses different boxes, because replicas may lag behind "
        "each other.",
    )
    confirm_gone: Moment | None = Field(
        None,
        exclude=True,  # not part of the spec, because confirming must not rerun anything
        description=(
            "Only for a search that stopped because too many photos of the previous "
            "search were missing: its snapshot, to confirm that they are gone. Each photo "
            "is still looked up by its id before its file is removed. Any other snapshot "
            "has no effect."
        ),
    )

    @field_validator("snapshot")
    @classmethod
    def _past(cls, value: datetime) -> datetime:
        if value > datetime.now(UTC) + SKEW:
            raise ValueError("lies in the future; set a moment in the past")
        if value < BEGIN:
            raise ValueError(
                f"it is {value:%Y-%m-%d}, before Flickr's first photo; write a day, such as "
                "2026-11-01"
            )
        return value
