"""Section ``index``: the grid on which photos are searched."""

from __future__ import annotations

from pydantic import Field

from witw.settings.base import Section


class Index(Section):
    """The grid of cells on which photos are searched."""

    step_m: float = Field(
        28.0,
        gt=0,
        description="Distance between neighbouring cells, rounded to whole packed pixels [m].",
    )
