"""The scene network for photos to be located, where its checkpoint is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from witw.cvig.locating.located import Scene
from witw.images.query import Photo
from witw.places365.look import Looker
from witw.settings.scenes import PlacesArch


class Scenes:
    """Looks at photos with a Places365 network.

    Args:
        checkpoint: in the published format.
        arch: its network; default: by the file's name.

    Raises:
        UserError: the checkpoint is of no use.
    """

    def __init__(self, checkpoint: Path, arch: PlacesArch | None = None) -> None:
        self.looker = Looker(checkpoint, arch)

    def look(self, photos: Sequence[Photo]) -> list[Scene]:
        """Recognise the scene of each photo."""
        return [Scene(*found) for found in self.looker.look([p.picture for p in photos])]
