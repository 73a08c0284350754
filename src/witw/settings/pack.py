"""Section ``pack``: pictures at the network's size."""

from __future__ import annotations

from pydantic import Field

from witw.settings.base import Section


class Pack(Section):
    """Pictures at the network's size."""

    chip_px: int = Field(
        256, ge=16, multiple_of=2, description="Side of the packed chip, even [px]."
    )
    photo_px: int = Field(
        256,
        ge=16,
        description="Long side of the packed photo, which is padded and never stretched [px].",
    )
    jpeg_quality: int = Field(
        90,
        ge=75,
        le=100,
        description="JPEG quality of the packed pictures; chroma keeps its full resolution.",
    )
