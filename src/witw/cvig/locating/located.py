"""Where photos may have been taken: the result of a search, independent of how it is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Proj, Transformer

from witw.cvig.grid import Grid
from witw.cvig.scoring import localization
from witw.cvig.scoring.calibration import Calibration
from witw.images.query import Photo

APART_M = localization.APART_M  # least distance between two places that are named
AS_NAMED = Calibration(1.0, 0.0)  # a region of 80 % holds 80 % of the map


@dataclass(frozen=True)
class Scene:
    """What the scene network sees in a photo.

    Attributes:
        outdoor_vote: share of the ten likeliest scenes that are outdoor ones.
        name: likeliest scene, as Places365 names it.
    """

    outdoor_vote: float
    name: str

    @property
    def is_indoor(self) -> bool:
        """Whether most of the ten scenes are indoor ones; a tie is outdoor."""
        return self.outdoor_vote < 0.5


@dataclass(frozen=True)
class Place:
    """One candidate: the centre of a cell.

    Attributes:
        rank: 1 is the likeliest.
        cell: position in the grid's ``cells``.
        lat: EPSG:4326 [degrees].
        lon: EPSG:4326 [degrees].
        easting: in the grid's zone [m].
        northing: in the grid's zone [m].
        probability: of this cell.
        heading_deg: of each photo's middle, clockwise from true north; NaN where it was not
            computed [degrees].
    """

    rank: int
    cell: int
    lat: float
    lon: float
    easting: float
    northing: float
    probability: float
    heading_deg: tuple[float, ...]


@dataclass(frozen=True)
class Located:
    """Where one photo, or several of one place, may have been taken.

    Attributes:
        photos: one, or several searched together.
        area: name of the area or of its imagery.
        grid: the cells that were searched; a part of the area's where only that was asked for.
        probability: ``(N,)`` float64 of the grid's cells, sums to 1: given that the photos were
            taken in one of them.
        score: ``(P, N)`` float32 of each photo at each cell, before calibration.
        heading_deg: ``(P, N)`` float32 of each photo's middle, clockwise from grid north; NaN in
            cells where it was not computed [degrees].
        fov_deg: ``(P,)`` field of view along the long side that was assumed [degrees].
        mosaic: the area's raster, in the grid's CRS.
        facts: what is told of the model, see :mod:`witw.cvig.network.model_file`.
        scenes: of each photo; empty: nobody looked.
        calibration: whose regions are drawn.
        here: how likely the photos were taken in the area at all, even odds beforehand; NaN: not
            known.
        unusual: whether each photo looks unlike all photos of the training; empty: not known.
    """

    photos: tuple[Photo, ...]
    area: str
    grid: Grid
    probability: NDArray[np.float64]
    score: NDArray[np.float32]
    heading_deg: NDArray[np.float32]
    fov_deg: tuple[float, ...]
    mosaic: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    scenes: tuple[Scene, ...] = ()
    calibration: Calibration = AS_NAMED
    here: float = math.nan
    unusual: tuple[bool, ...] = ()

    @cached_property
    def entry_pct(self) -> NDArray[np.float64]:
        """From which level on the region holds each cell, ``(N,)`` [%]."""
        return self.calibration.entry_pct(self.probability)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Cells from the likeliest down; of equals the first."""
        return np.argsort(-self.probability, kind="stable")

    def places(self, count: int = 5) -> list[Place]:
        """The likeliest cells, none within 50 m of a better one."""
        best = localization.non_max_suppression(self.probability[None], self.grid, count)[0]
        best = best[best >= 0]
        east, north = self.grid.centres()[best].T
        lon, lat = to_degrees(self.grid.epsg).transform(east, north)
        turn = Proj(self.grid.epsg).get_factors(lon, lat).meridian_convergence
        true = (self.heading_deg[:, best] + np.atleast_1d(turn)) % 360
        return [
            Place(
                i + 1, int(cell), float(lat[i]), float(lon[i]), float(east[i]), float(north[i]),
                float(self.probability[cell]), tuple(true[:, i].astype(float).tolist()),
            )
            for i, cell in enumerate(best)
        ]  # fmt: skip

    def region(self, level: float) -> NDArray[np.bool_]:
        """The cells, from the likeliest down, that hold so many of the photos whose map is such.

        Args:
            level: 0 to 1.

        Returns:
            ``(N,)``; which cells. Cells as likely as the last that is needed are all in it.
        """
        return self.entry_pct < 100 * level

    def area_share(self, level: float) -> float:
        """Share of the searched cells that a region covers, 0 to 1."""
        return float(self.region(level).mean())


def to_degrees(epsg: int) -> Transformer:
    """From a UTM zone to longitude and latitude (EPSG:4326)."""
    return Transformer.from_crs(epsg, 4326, always_xy=True)
