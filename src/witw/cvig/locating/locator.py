"""Search an indexed area for photos.

    city = Locator.open(model, cells, mosaic, "rowan")
    for place in city.locate([Path("photo.jpg")])[0].places():
        print(place.lat, place.lon, place.probability)

Positions in EXIF data are never read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import batched
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import rasterio
from numpy.typing import NDArray

from witw.cvig.grid import Grid
from witw.cvig.heat import NAMED, encode_photos, headings
from witw.cvig.locating.located import Located, Scene, to_degrees
from witw.cvig.locating.regions import Region
from witw.cvig.network.model import Model, device
from witw.cvig.network.towers import PhotoCode
from witw.cvig.scoring import presence, unusual
from witw.cvig.scoring.assurance import Assurance
from witw.cvig.scoring.calibration import Calibration, chances, sharpened
from witw.cvig.scoring.localization import likeliest
from witw.cvig.search import finer, two_steps
from witw.cvig.search.index_file import Index
from witw.errors import UserError
from witw.images.query import Photo, open_query
from witw.images.resize import letterbox

PHOTOS = 32  # encoded at a time
FINER = 5  # places of a photo with a finer position


class SceneNetwork(Protocol):
    """Recognizes indoor photos, see :mod:`witw.places365.look`."""

    def look(self, photos: Sequence[Photo]) -> list[Scene]:
        """Return the scene of each photo."""


@dataclass(frozen=True)
class Locator:
    """A searchable area.

    Attributes:
        model: the network.
        index: the area's cells.
        mosaic: the area's raster.
        area: name of the area.
        calibration: converts scores to a map.
        scenes: recognizes indoor photos, if not None.
        facts: metadata of the model.
        assurance: statistics for further statements of an answer.
        finer: whether the best places get a position finer than the cell, see
            :mod:`witw.cvig.search.finer`.
    """

    model: Model
    index: Index
    mosaic: Path
    area: str
    calibration: Calibration
    scenes: SceneNetwork | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    assurance: Assurance = field(default_factory=Assurance)
    finer: bool = False

    @classmethod
    def open(
        cls,
        model_path: Path,
        cells: Path,
        mosaic: Path,
        area: str,
        calibration: Calibration | None = None,
        scenes: SceneNetwork | None = None,
    ) -> Self:
        """Open the files of an area.

        Args:
            model_path: the model.
            cells: output of the stage ``index``.
            mosaic: the area's raster.
            area: name of the area.
            calibration: default: from the model file.
            scenes: recognizes indoor photos.

        Raises:
            UserError: a file is unreadable, or the index belongs to another network.
        """
        model = Model.load(model_path, device())
        index = Index.open(cells, model)
        try:
            known = calibration or calibrated(model)
            assured = Assurance.read(model.facts)
        except (KeyError, TypeError, ValueError):
            raise UserError(
                f"{model_path} tells of its evaluation what this witw cannot read."
            ) from None
        return cls(model, index, mosaic, area, known, scenes, model.facts, assured)

    @property
    def grid(self) -> Grid:
        """All cells of the area."""
        return self.index.grid

    def locate(
        self,
        photos: Sequence[Photo | Path | str],
        together: bool = False,
        within: Region | None = None,
        fov_deg: float = math.nan,
    ) -> list[Located]:
        """Search for photos.

        Args:
            photos: opened photos, or files.
            together: whether all photos show one place and form one query.
            within: the part of the area to search; default: all of it.
            fov_deg: field of view along the long side of photos given as files; default: from EXIF
                data [degrees].

        Returns:
            One result for each photo, or one for all together.

        Raises:
            UserError: a file is not a photo, or no cell lies in the part.
        """
        opened = [p if isinstance(p, Photo) else open_query(Path(p), fov=fov_deg) for p in photos]
        if together and opened:
            return [self._together(opened, within)]
        return list(self.stream(opened, within))

    def stream(self, photos: Iterable[Photo], within: Region | None = None) -> Iterator[Located]:
        """Search for any number of photos, a few at a time; see :meth:`locate`.

        Raises:
            UserError: no cell lies in the part.
        """
        index = self._part(within)
        for some in batched(photos, PHOTOS):
            codes = self._encoded(some)
            scenes = self.scenes.look(some) if self.scenes else []
            strange = self._unusual(some)
            for part, found in two_steps.scored(codes, index, self.model.blend):
                probability = chances(found.values, index.grid, self.calibration)
                here = self._here(found.values, probability, scenes[part])
                for i, n in enumerate(range(part.start, part.stop)):
                    one, row = found.some(slice(i, i + 1)), slice(n, n + 1)
                    likely = likeliest(probability[i], index.grid, NAMED)
                    turned = headings(codes.some(row), index, one, likely)
                    located = self._located(
                        some[row], index, probability[i], likely, one.values, turned,
                        scenes[row], float(here[i]), strange[row],
                    )  # fmt: skip
                    yield self._refined(located, codes.some(row)) if self.finer else located

    def _together(self, photos: Sequence[Photo], within: Region | None) -> Located:
        """Search for several photos of one place."""
        index, codes = self._part(within), self._encoded(photos)
        joined = two_steps.together(codes, index, self.model.blend)
        sharp = sharpened(self.calibration, len(photos))
        probability = chances(joined.values, index.grid, sharp)[0]
        likely = likeliest(probability, index.grid, NAMED)
        turned = headings(codes, index, joined, likely)
        scenes = self.scenes.look(photos) if self.scenes else []
        scores, here = [], []
        for part, one in two_steps.scored(codes, index, self.model.blend):
            alone = chances(one.values, index.grid, self.calibration)
            scores.append(one.values)
            here.append(self._here(one.values, alone, scenes[part]))
        found = self._located(
            photos, index, probability, likely, np.concatenate(scores), turned,
            scenes, _mean_odds(np.concatenate(here)), self._unusual(photos),
        )  # fmt: skip
        return self._refined(found, codes) if self.finer else found

    def _located(
        self, photos: Sequence[Photo], index: Index, probability: NDArray[np.float64],
        likely: NDArray[np.int64], scores: NDArray[np.float32], heading_deg: NDArray[np.floating],
        scenes: Sequence[Scene], here: float, strange: Sequence[bool],
    ) -> Located:  # fmt: skip
        return Located(
            photos=tuple(photos),
            area=self.area,
            grid=index.grid,
            probability=probability,
            likely=likely,
            score=scores,
            heading_deg=heading_deg.astype(np.float32),
            fov_deg=tuple(self._fov(photo) for photo in photos),
            mosaic=self.mosaic,
            facts=self.facts,
            scenes=tuple(scenes),
            calibration=self.calibration,
            here=here,
            unusual=tuple(strange),
        )

    def _refined(self, found: Located, codes: PhotoCode) -> Located:
        """Return the answer with finer positions of its best places."""
        step_m, places = found.grid.step_m, {}
        temperature = sharpened(self.calibration, len(codes.mask)).temperature
        with rasterio.open(self.mosaic) as mosaic:
            for place in found.places(FINER):
                middle = np.array([place.easting, place.northing])
                places[place.cell] = finer.refine(
                    self.model, mosaic, codes, middle, step_m, temperature
                )
        return replace(found, finer_m=places)

    def _here(
        self,
        scores: NDArray[np.float32],
        probability: NDArray[np.float64],
        scenes: Sequence[Scene],
    ) -> NDArray[np.float64]:
        """Return the probability that each photo was taken in the area, ``(P,)``."""
        measure = self.assurance.presence
        if measure is None:
            return np.full(len(scores), math.nan)
        indoor = np.array([s.is_indoor for s in scenes]) if scenes else np.zeros(len(scores), bool)
        return measure.probability(presence.signs(scores, probability), indoor)

    def _unusual(self, photos: Sequence[Photo]) -> list[bool]:
        """Return whether each photo looks unlike the training photos; empty if unknown."""
        if self.assurance.usual is None:
            return []
        side = self.model.network.shape.photo_px
        boxes = [letterbox(photo.picture, side) for photo in photos]
        figures = unusual.figures(
            np.stack([box[0] for box in boxes]), np.array([box[1:] for box in boxes])
        )
        return [bool(v) for v in self.assurance.usual.is_unusual(figures)]

    def _part(self, within: Region | None) -> Index:
        """Return the cells to search."""
        if within is None:
            return self.index
        lon, lat = to_degrees(self.grid.epsg).transform(*self.grid.centres().T)
        at = np.flatnonzero(within.holds(lon, lat))
        if not len(at):
            raise UserError(
                f"No cell of {self.area} lies in the part to search; its imagery covers "
                f"{lat.min():.4f} to {lat.max():.4f} degrees of latitude and {lon.min():.4f} to "
                f"{lon.max():.4f} of longitude."
            )
        return self.index.take(at)

    def _fov(self, photo: Photo) -> float:
        known = photo.fov_deg
        return self.model.network.shape.photo_fov_deg if math.isnan(known) else known

    def _encoded(self, photos: Sequence[Photo]) -> PhotoCode:
        """Encode photos."""
        squares, sizes = [], []
        for photo in photos:
            square, width, height = letterbox(photo.picture, self.model.network.shape.photo_px)
            squares.append(square)
            sizes.append((width, height))
        return encode_photos(self.model, squares, sizes, [photo.fov_deg for photo in photos])


def calibrated(model: Model) -> Calibration:
    """Return the calibration of a model; without one, only its temperature."""
    told = model.facts.get("calibration")
    return Calibration.read(told) if told else Calibration(model.temperature, 0.0)


def _mean_odds(here: NDArray[np.float64]) -> float:
    """Return the presence of several photos by mean log odds: photos of one place are similar."""
    odds = np.clip(here, 1e-9, 1 - 1e-9)
    return float(1 / (1 + np.exp(-np.log(odds / (1 - odds)).mean())))
