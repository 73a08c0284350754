"""Photos of Mapillary."""

from __future__ import annotations

from witw.errors import UserError
from witw.sources.base import Listed, Place, Source


def listed(source: Source, place: Place) -> Listed:
    """List the photos of the area.

    Raises:
        UserError: always, for now.
    """
    raise UserError(f"Area {place.aoi!r}: {source['name']} cannot be searched yet.")
