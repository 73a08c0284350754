"""Section ``download``: fetching photos."""

from __future__ import annotations

from pydantic import Field

from witw.settings.base import Section


class Download(Section):
    """Fetching of the 500 px files."""

    max_megabytes: float = Field(
        20.0, gt=0, description="Largest accepted response [MB of 10^6 bytes]."
    )
    max_slots: int = Field(
        32, ge=1, le=256, description="Largest number of parallel requests to a photo host."
    )
    min_side_px: int = Field(64, ge=1, description="Photos with a shorter side are `corrupt` [px].")
