"""Section ``utm``: reprojection."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from witw.settings.base import Section


class Utm(Section):
    """Reprojection to the area's UTM zone."""

    gsd_m: float = Field(
        0.3, ge=0.01, le=1000, description="Pixel size; the grid is aligned to it [m]."
    )
    resampling: Literal["lanczos", "cubic", "bilinear"] = Field(
        "lanczos", description="Resampling kernel."
    )
    engine: Literal["sweep", "gdal"] = Field(
        "sweep",
        description="Warper: witw's one-pass warper, or GDAL's (equal to within one grey level).",
    )
