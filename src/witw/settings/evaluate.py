"""Section ``evaluate``: the photos on which the model is scored."""

from __future__ import annotations

from pydantic import Field

from witw.settings.base import Section


class Evaluate(Section):
    """The photos on which the model is scored."""

    queries: int = Field(
        2000,
        ge=1,
        description=(
            "Largest number of an area's photos that are searched on its grid of cells: "
            "one per 25 m square, chosen by the smallest hashes of their ids."
        ),
    )
