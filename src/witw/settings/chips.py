"""Section ``chips``: the imagery around a photo."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from witw.settings.base import Section


class Chips(Section):
    """The square of imagery centred on a photo."""

    size_px: int = Field(
        750,
        ge=16,
        le=16_384,
        description="Side [px]. Multiplied by `utm.gsd_m`, the default is 225 m.",
    )
    jpeg_quality: int = Field(95, ge=1, le=100, description="JPEG quality.")
    subsampling: Literal["4:4:4", "4:2:0"] = Field("4:4:4", description="JPEG chroma subsampling.")
