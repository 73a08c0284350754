"""Section ``pairs``: which photos become pairs."""

from __future__ import annotations

from pydantic import Field

from witw.settings.base import Section, Share


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
