"""Section ``download``: how photos are fetched."""

from __future__ import annotations

from pydantic import Field

from witw.settings.base import Section


class Download(Section):
    """How the 500 px files are fetched."""

    max_megabytes: float = Field(
        20.0, gt=0, description="A larger answer is refused [MB of 10^6 bytes]."
    )
    max_slots: int = Field(
        32, ge=1, le=256, description="Requests under way at a photo host, at most."
    )
    min_side_px: int = Field(64, ge=1, description="A photo with a shorter side is `corrupt` [px].")
