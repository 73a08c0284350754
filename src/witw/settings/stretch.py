"""Section ``stretch``: conversion from 16 to 8 bits."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from witw.settings.base import Section


class Stretch(Section):
    """The conversion from 16 to 8 bits, the same for all strips of an area."""

    low_pct: float = Field(2.0, ge=0, lt=100, description="Percentile that maps to black [%].")
    high_pct: float = Field(98.0, gt=0, le=100, description="Percentile that maps to white [%].")
    eight_bit: Literal["keep", "stretch"] = Field(
        "keep", description="Treatment of strips that are already 8-bit."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low_pct >= self.high_pct:
            raise ValueError(f"low_pct {self.low_pct} must be below high_pct {self.high_pct}")
        return self
