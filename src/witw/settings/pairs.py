"""Section ``pairs``: the photos that become pairs."""

from __future__ import annotations

from datetime import date
from typing import Self

from pydantic import Field, model_validator

from witw.settings.base import FilePath, Section, Share


class Pairs(Section):
    """Conditions for a photo and its chip to become a pair."""

    min_outdoor_vote: Share = Field(
        0.5,
        description=(
            "A photo counts as outdoor if at least this share of its ten most likely "
            "scenes is outdoor (a tie is outdoor, as published)."
        ),
    )
    min_outdoor_mass: Share = Field(
        0.0,
        description=(
            "Additional condition: least total probability of all outdoor scenes. With 0 "
            "the vote alone decides, as published."
        ),
    )
    max_blank_fraction: Share = Field(
        0.1, description="Largest share of the chip that may lie outside the imagery."
    )
    exclude: FilePath = Field(
        "",
        description=(
            "File of photo ids to leave out, one per line or, in a CSV file, in a column "
            "`id`. Text after the id is a comment."
        ),
    )
    commercial_use: bool = Field(
        False, description="Whether to require licences that allow commercial use."
    )
    derivatives: bool = Field(
        False,
        description=(
            "Whether to require licences that allow changed versions, such as crops and "
            "resized copies."
        ),
    )
    share_alike: bool = Field(
        True,
        description=(
            "Whether to accept licences that require derived works to carry the same "
            "licence. If any of these three keys restricts licences, photos with unknown "
            "terms are excluded too."
        ),
    )
    taken_from: date | None = Field(
        None, description="First day on which a photo may have been taken, by its camera's clock."
    )
    taken_until: date | None = Field(
        None,
        description=(
            "Last day on which a photo may have been taken. If either day is set, photos without "
            "a date are left out."
        ),
    )
    min_accuracy: int = Field(
        1,
        ge=1,
        le=16,
        description=(
            "Least geotag accuracy on Flickr's scale from 1 (world) to 16 (street). "
            "Photos without an accuracy are kept."
        ),
    )
    min_edge_m: float = Field(
        0,
        ge=0,
        description="Least distance to ground without imagery, to within one eighth [m].",
    )
    min_distance_m: float = Field(
        0,
        ge=0,
        description=(
            "Least distance between two pairs; the original used 10. A hash of the ids "
            "decides which of two photos is kept [m]."
        ),
    )
    max_per_owner: int | None = Field(
        None,
        ge=1,
        description="Largest number of pairs per owner, chosen by a hash of the id [pairs].",
    )
    limit: int | None = Field(
        None,
        ge=1,
        description=(
            "Largest number of pairs in the area, for a first trial, chosen by a hash of "
            "the id [pairs]. All photos are still listed and fetched."
        ),
    )

    @model_validator(mode="after")
    def _some_days(self) -> Self:
        if self.taken_from and self.taken_until and self.taken_from > self.taken_until:
            raise ValueError(
                f"`taken_from` {self.taken_from} is after `taken_until` {self.taken_until}, so no "
                "photo would be left; swap the two"
            )
        return self
