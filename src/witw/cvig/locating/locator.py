"""Search an indexed area for photos.

    city = Locator.open(model, codes, grid, mosaic, "rowan")
    for place in city.locate([Path("photo.jpg")])[0].places():
        print(place.lat, place.lon, place.probability)

Positions in EXIF data are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import batched
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from witw.cvig import retrieval
from witw.cvig.grid import Grid
from witw.cvig.locating.located import Located, Scene, to_degrees
from witw.cvig.locating.regions import Region
from witw.cvig.network.model import Model, device
from witw.cvig.scoring import presence, unusual
from witw.cvig.scoring.assurance import Assurance
from witw.cvig.scoring.calibration import Calibration, chances
from witw.errors import UserError
from witw.images.query import Photo, open_query
from witw.images.resize import letterbox

PHOTOS = 32  # encoded and scored at a time
SCORES = 2**24  # of photos at cells held at a time: 67 MB of scores, and headings as many
BLOCK = 8192  # cells read at a time: 128 MB of codes as float16 when they are 128 x 64


class SceneNetwork(Protocol):
    """What tells indoor photos, see :mod:`witw.places365.look`."""

    def look(self, photos: Sequence[Photo]) -> list[Scene]:
        """The scene of each photo."""


@dataclass(frozen=True)
class Locator:
    """An area that can be searched.

    Attributes:
        model: network.
        codes: ``(N, D, headings)`` float16 of the cells, mapped.
        grid: the cells.
        mosaic: the area's raster.
        area: its name.
        calibration: what turns scores into a map.
        scenes: tells indoor photos; None: nobody looks.
        facts: what is told of the model.
        assurance: what an evaluation lets one say of an answer.
    """

    model: Model
    codes: NDArray[np.float16]
    grid: Grid
    mosaic: Path
    area: str
    calibration: Calibration
    scenes: SceneNetwork | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    assurance: Assurance = field(default_factory=Assurance)

    @classmethod
    def open(
        cls,
        model_path: Path,
        codes: Path,
        grid_path: Path,
        mosaic: Path,
        area: str,
        calibration: Calibration | None = None,
        scenes: SceneNetwork | None = None,
    ) -> Self:
        """Open the files of an area.

        Args:
            model_path: the model.
            codes: of the cells, from the stage ``index``.
            grid_path: the cells, from the stage ``index``.
            mosaic: the area's raster.
            area: its name.
            calibration: default: what the model's file tells.
            scenes: tells indoor photos.

        Raises:
            UserError: a file cannot be read, or the index belongs to another network.
        """
        model, grid = Model.load(model_path, device()), Grid.read(grid_path)
        shape = model.network.shape
        cells = np.load(codes, mmap_mode="r")
        if cells.shape != (len(grid.cells), shape.embed_dim, shape.headings):
            raise UserError(
                f"{codes} is not of {grid_path} and {model_path}; delete it and run again."
            )
        try:
            known = calibration or calibrated(model)
            assured = Assurance.read(model.facts)
        except (KeyError, TypeError, ValueError):
            raise UserError(
                f"{model_path} tells of its evaluation what this witw cannot read."
            ) from None
        return cls(model, cells, grid, mosaic, area, known, scenes, model.facts, assured)

    def locate(
        self,
        photos: Sequence[Photo | Path | str],
        together: bool = False,
        within: Region | None = None,
        fov_deg: float = math.nan,
    ) -> list[Located]:
        """Search for photos.

        Args:
            photos: opened, or their files.
            together: all show one place, and are searched as one; else each by itself.
            within: the part of the area to search; default: all of it.
            fov_deg: field of view along the long side of photos given as files; default: what
                their EXIF data tell [degrees].

        Returns:
            One result for each photo, or one for all together.

        Raises:
            UserError: a file is no photo, or no cell lies in the part.
        """
        opened = [p if isinstance(p, Photo) else open_query(Path(p), fov=fov_deg) for p in photos]
        found = list(self.stream(opened, within))
        return [join(found)] if together and found else found

    def stream(self, photos: Iterable[Photo], within: Region | None = None) -> Iterator[Located]:
        """Search for any number of photos, a few at a time; as :meth:`locate`.

        Raises:
            UserError: no cell lies in the part.
        """
        at, grid = self._part(within)
        few = max(1, min(PHOTOS, SCORES // len(grid.cells)))
        for some in batched(photos, few):
            scores, headings = self._scored(some, at)
            probability = chances(scores, grid, self.calibration)
            scenes = self.scenes.look(some) if self.scenes else []
            here = self._here(scores, probability, scenes)
            strange = self._unusual(some)
            for i, photo in enumerate(some):
                yield Located(
                    photos=(photo,),
                    area=self.area,
                    grid=grid,
                    probability=probability[i],
                    score=scores[i : i + 1],
                    heading_deg=headings[i : i + 1],
                    fov_deg=(self._fov(photo),),
                    mosaic=self.mosaic,
                    facts=self.facts,
                    scenes=tuple(scenes[i : i + 1]),
                    calibration=self.calibration,
                    here=float(here[i]),
                    unusual=tuple(strange[i : i + 1]),
                )

    def _here(
        self,
        scores: NDArray[np.float32],
        probability: NDArray[np.float64],
        scenes: Sequence[Scene],
    ) -> NDArray[np.float64]:
        """How likely each photo was taken in the area at all, ``(P,)``."""
        measure = self.assurance.presence
        if measure is None:
            return np.full(len(scores), math.nan)
        indoor = np.array([s.is_indoor for s in scenes]) if scenes else np.zeros(len(scores), bool)
        return measure.probability(presence.signs(scores, probability), indoor)

    def _unusual(self, photos: Sequence[Photo]) -> list[bool]:
        """Whether each photo looks unlike those of the training; empty: not known."""
        if self.assurance.usual is None:
            return []
        side = self.model.network.shape.photo_px
        boxes = [letterbox(photo.picture, side) for photo in photos]
        figures = unusual.figures(
            np.stack([box[0] for box in boxes]), np.array([box[1:] for box in boxes])
        )
        return [bool(v) for v in self.assurance.usual.is_unusual(figures)]

    def _part(self, within: Region | None) -> tuple[NDArray[np.int64], Grid]:
        """Positions of the cells to search, and their grid."""
        if within is None:
            return np.arange(len(self.grid.cells)), self.grid
        lon, lat = to_degrees(self.grid.epsg).transform(*self.grid.centres().T)
        at = np.flatnonzero(within.holds(lon, lat))
        if not len(at):
            raise UserError(
                f"No cell of {self.area} lies in the part to search; its imagery covers "
                f"{lat.min():.4f} to {lat.max():.4f} degrees of latitude and {lon.min():.4f} to "
                f"{lon.max():.4f} of longitude."
            )
        return at, replace(self.grid, cells=self.grid.cells[at])

    def _fov(self, photo: Photo) -> float:
        known = photo.fov_deg
        return self.model.network.shape.photo_fov_deg if math.isnan(known) else known

    @torch.inference_mode()
    def _scored(
        self, photos: Sequence[Photo], at: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores and headings of photos at some cells, each ``(P, N)``."""
        where, network = device(), self.model.network
        squares, sizes = [], []
        for photo in photos:
            square, *size = letterbox(photo.picture, network.shape.photo_px)
            squares.append(square)
            sizes.append(size)
        pixels, inside = torch.from_numpy(np.stack(squares)), torch.tensor(sizes)
        known = torch.tensor([photo.fov_deg for photo in photos], dtype=torch.float32)
        code, mask = network.encode_photos(
            pixels.to(where), inside.to(where), fov_deg=known.to(where)
        )
        scores = np.empty((len(photos), len(at)), np.float32)
        headings = np.empty_like(scores)
        for start in range(0, len(at), BLOCK):
            part = slice(start, start + BLOCK)
            cells = torch.from_numpy(np.array(self.codes[at[part]])).to(where).float()
            score, heading = retrieval.score(code, mask, cells)
            scores[:, part], headings[:, part] = score.cpu().numpy(), heading.cpu().numpy()
        return scores, headings


def calibrated(model: Model) -> Calibration:
    """The calibration that came with a model; without one, its temperature alone."""
    told = model.facts.get("calibration")
    return Calibration.read(told) if told else Calibration(model.temperature, 0.0)


def join(found: Sequence[Located]) -> Located:
    """One result of several photos of one place: the product of their maps."""
    logs = np.sum([np.log(np.maximum(one.probability, 1e-300)) for one in found], axis=0)
    product = np.exp(logs - logs.max())
    return replace(
        found[0],
        photos=tuple(p for one in found for p in one.photos),
        probability=product / product.sum(),
        score=np.concatenate([one.score for one in found]),
        heading_deg=np.concatenate([one.heading_deg for one in found]),
        fov_deg=tuple(f for one in found for f in one.fov_deg),
        scenes=tuple(s for one in found for s in one.scenes),
        here=_together([one.here for one in found]),
        unusual=tuple(u for one in found for u in one.unusual),
    )


def _together(here: Sequence[float]) -> float:
    """Presence of several photos: their mean log odds, as photos of one place are much alike."""
    odds = np.clip(here, 1e-9, 1 - 1e-9)
    return float(1 / (1 + np.exp(-np.log(odds / (1 - odds)).mean())))
