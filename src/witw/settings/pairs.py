"""Section ``pairs``: which photos become pairs."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from witw.settings.base import FilePath, Section, Share


class Pairs(Section):
    """When a photo and its chip become a pair."""

    min_outdoor_vote: Share = Field(
        0.5,
        description="Share of outdoor labels among the ten likeliest scenes from which a photo "
        "counts as outdoor (a tie is outdoor, as published).",
    )
    min_outdoor_mass: Share = Field(
        0.0,
        description="Beside the vote: least probability that all outdoor scenes have together; "
        "0: the vote alone decides, as published.",
    )
    max_blank_fraction: Share = Field(
        0.1, description="Largest share of the chip that may lie off the imagery."
    )
    exclude: FilePath = Field(
        "",
        description="File of photo ids to leave out, one a line or, in a CSV file, in a column "
        "`id`; what stands behind the id in a line is a remark.",
    )
    commercial_use: bool = Field(
        False, description="Whether only licences that allow commercial use will do."
    )
    derivatives: bool = Field(
        False,
        description="Whether only licences that allow changed versions will do, which cropping "
        "and resizing make.",
    )
    share_alike: bool = Field(
        True,
        description="Whether licences will do that ask for the same licence of what is made from "
        "a photo. With any of these three, a licence whose terms are not known will not do.",
    )
    taken_from: date | None = Field(
        None, description="First day on which a photo may be taken, by its camera's clock."
    )
    taken_until: date | None = Field(
        None, description="Last day; photos without a date are left out if either day is given."
    )
    min_accuracy: int = Field(
        1,
        ge=1,
        le=16,
        description="Least geotag accuracy as Flickr tells it, from 1 (world) to 16 (street); "
        "photos of which none is told stay.",
    )
    min_edge_m: float = Field(
        0,
        ge=0,
        description="Least distance to ground without imagery, within an eighth of it [m].",
    )
    min_distance_m: float = Field(
        0,
        ge=0,
        description="Least distance between two pairs; the original's was 10. Which of two stays, "
        "a hash of their ids decides [m].",
    )
    max_per_owner: int | None = Field(
        None, ge=1, description="Most pairs of one owner, chosen by a hash of the id [pairs]."
    )
    limit: int | None = Field(
        None,
        ge=1,
        description="Most pairs of the area, for a first trial, chosen by a hash of the id "
        "[pairs]. All photos are still listed and fetched.",
    )
