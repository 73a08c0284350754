"""Section ``evaluate``: which photos the model is scored on."""

from __future__ import annotations

from pydantic import Field

from witw.settings.base import Section


class Evaluate(Section):
    """Which photos the model is scored on."""

    queries: int = Field(
        2000,
        ge=1,
        description="Photos of an area that are searched on its grid of cells, at most: one of a "
        "square of 25 m, those whose ids have the least hashes.",
    )
