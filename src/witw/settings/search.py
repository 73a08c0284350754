"""Section ``search``: which photos are listed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import Field, field_validator

from witw.settings.base import Moment, Numbers, Section, Share

SKEW = timedelta(minutes=5)  # by which clocks of one cluster may differ


class Search(Section):
    """Which photos are listed."""

    snapshot: Moment = Field(
        datetime(2026, 11, 1, tzinfo=UTC),
        description="Photos uploaded up to this moment (UTC) are listed; moving it forward is "
        "how a search is refreshed.",
    )
    licenses: Numbers = Field(
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
        min_length=1,
        description="Flickr licence ids that count as open (0 is all rights reserved).",
    )
    box_total: int = Field(
        20_000,
        ge=250,
        description="A box with more photos than this is split into four; smaller ones are paged "
        "through by upload date [photos].",
    )
    audit: Share = Field(
        0.05,
        description="Further calls, as a share of those of the search, that ask in other ways "
        "(random upload dates, smaller boxes, single licences) whether photos are missing; 26 to "
        "38 at least, fewer for small areas. 0: none, and no search is called complete.",
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
        exclude=True,  # of the spec: to confirm must not rerun anything
        description="Only after a search has stopped because too many photos of the one before "
        "were missing: its snapshot, to confirm that they are gone. Each is still asked for by its "
        "id before its file is removed. With any other snapshot the key does nothing.",
    )

    @field_validator("snapshot")
    @classmethod
    def _past(cls, value: datetime) -> datetime:
        if value > datetime.now(UTC) + SKEW:
            raise ValueError("lies in the future; photos are listed up to a moment that is past")
        return value
