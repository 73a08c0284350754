"""Open an area of a finished run, or imagery of one's own, for the search.

from witw import Locator
city = Locator.of_imagery("city.tif", "witw.safetensors")
best = city.locate(["photo.jpg"])[0].places()[0]
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from witw.cvig.locating import locator
from witw.cvig.network.model import Model, device
from witw.errors import UserError
from witw.locating import imagery as own
from witw.locating import run_folder
from witw.locating.scenes import Scenes


@dataclass(frozen=True)
class Locator(locator.Locator):
    """An area that can be searched, see :class:`witw.cvig.locating.locator.Locator`."""

    @classmethod
    def of_run(
        cls,
        area: str | None = None,
        folder: str | Path = ".",
        model: str | Path | None = None,
        scenes: str | Path | None = None,
    ) -> Self:
        """Open an area of a run folder.

        Args:
            area: its name; default: the only test area.
            folder: the run folder.
            model: another network than the run's: a file, or hf://OWNER/NAME.
            scenes: checkpoint of a Places365 network; default: the run's, where it is there.

        Raises:
            UserError: something is missing; says which command makes it.
        """
        given = _network(model).absolute() if model else None
        looker = _scenes(scenes)
        before = Path.cwd()
        os.chdir(folder)
        try:
            found = run_folder.find(area, given, threads=cores())
            if looker is None and found.checkpoint:
                looker = Scenes(found.checkpoint, found.arch)
            files = found.cells.absolute(), found.mosaic.absolute()
            return cls.open(found.model.absolute(), *files, found.name, scenes=looker)
        finally:
            os.chdir(before)

    @classmethod
    def of_imagery(
        cls,
        imagery: str | Path,
        model: str | Path,
        bands: Sequence[int] | None = None,
        nodata: float | str = "auto",
        cache: str | Path | None = None,
        scenes: str | Path | None = None,
    ) -> Self:
        """Open a raster, which is prepared and indexed beside it where that has not been done.

        Args:
            imagery: any raster that GDAL opens, in any CRS.
            model: the network: a file, or hf://OWNER/NAME.
            bands: numbers of red, green and blue; default: what the file tells.
            nodata: number of pixels without data; default: what the file tells.
            cache: folder for what is made; default: the imagery's.
            scenes: checkpoint of a Places365 network.

        Raises:
            UserError: a file cannot be used.
        """
        model, raster = _network(model), Path(imagery)
        kept = Path(cache) if cache else None
        # A model of another version or a wrong checkpoint is told before minutes of preparing.
        Model.load(model, device())
        looker = _scenes(scenes)
        prepared = own.prepare(raster, bands, nodata, kept, cores())
        own.warn_of_pixels(prepared, model)
        cells = own.indexed(prepared, model, own.folder_of(raster, kept), threads=cores())
        return cls.open(model, cells, prepared.mosaic, prepared.name, scenes=looker)


def _network(model: str | Path) -> Path:
    """Return the file of a network; fetch it if an address is given."""
    if isinstance(model, str) and "://" in model:
        from witw.locating.hub import fetch  # huggingface_hub takes half a second

        return fetch(model)
    return Path(model)


def _scenes(checkpoint: str | Path | None) -> Scenes | None:
    """Open the scene network of a checkpoint that is given outside a config.

    Raises:
        UserError: it is of no use; without words of a config's keys.
    """
    if not checkpoint:
        return None
    try:
        return Scenes(Path(checkpoint))
    except UserError as error:
        text = str(error).replace("`scenes.checkpoint`", "Places365 checkpoint")
        text = text.replace("correct the key", "name another")
        raise UserError(text.replace("`scenes.arch`", "the network")) from None


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))
