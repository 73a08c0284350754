"""Section ``utm``: reprojection."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from witw.settings.base import Section


class Utm(Section):
    """Reprojection to the area's UTM zone."""

    gsd_m: float = Field(0.3, gt=0, description="Pixel size; the grid is aligned to it [m].")
    resampling: Literal["lanczos", "cubic", "bilinear"] = Field(
        "lanczos", description="Resampling kernel."
    )
    engine: Literal["sweep", "gdal"] = Field(
        "sweep",
        description="Warper: witw's one-pass warper, or GDAL's (equal to within one grey level).",
    )

    @field_validator("gsd_m")
    @classmethod
    def _possible(cls, value: float) -> float:
        if not 0.01 <= value <= 1000:
            raise ValueError(
                f"it is {value:g}, and must lie between 0.01 and 1000; it is in metres"
            )
        return value
