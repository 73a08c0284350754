"""Result of a search for photos, independent of its presentation."""

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

APART_M = localization.APART_M  # minimum distance between two places of an answer
AS_NAMED = Calibration(1.0, 0.0)  # a region of 80 % holds 80 % of the map


@dataclass(frozen=True)
class Scene:
    """Result of the scene network for a photo.

    Attributes:
        outdoor_vote: share of outdoor scenes among the ten likeliest.
        name: likeliest scene, by its Places365 name.
    """

    outdoor_vote: float
    name: str

    @property
    def is_indoor(self) -> bool:
        """Whether most of the ten scenes are indoor scenes; a tie is outdoor."""
        return self.outdoor_vote < 0.5


@dataclass(frozen=True)
class Place:
    """One candidate: the centre of a cell, or a finer position in or near it.

    Attributes:
        rank: 1 is the likeliest.
        cell: position in the grid's ``cells``.
        lat: latitude, EPSG:4326 [degrees].
        lon: longitude, EPSG:4326 [degrees].
        easting: easting in the grid's zone [m].
        northing: northing in the grid's zone [m].
        probability: probability of this cell.
        heading_deg: heading of each photo's middle, clockwise from true north; NaN if not computed
            [degrees].
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
    """Result for one photo, or for several photos of one place.

    Attributes:
        photos: one photo, or several photos searched together.
        area: name of the area or of its imagery.
        grid: the searched cells, possibly only a part of the area's cells.
        probability: ``(N,)`` float64 of the grid's cells, sums to 1, given that the photos were
            taken in one of them.
        likely: the likeliest cells, best first, none within 50 m of a better one.
        score: ``(P, N)`` float32 of each photo at each cell, before calibration.
        heading_deg: ``(P, N)`` float32, heading of each photo's middle, clockwise from grid north;
            NaN if not computed [degrees].
        fov_deg: ``(P,)`` assumed field of view along the long side [degrees].
        mosaic: the area's raster, in the grid's CRS.
        facts: metadata of the model, see :mod:`witw.cvig.network.model_file`.
        scenes: scene of each photo; empty if there is no scene network.
        calibration: calibration of the regions.
        here: probability that the photos were taken in the area, with even odds beforehand; NaN if
            unknown.
        unusual: whether each photo looks unlike the training photos; empty if unknown.
        finer_m: easting and northing of some cells' places, instead of their centres [m].
    """

    photos: tuple[Photo, ...]
    area: str
    grid: Grid
    probability: NDArray[np.float64]
    likely: NDArray[np.int64]
    score: NDArray[np.float32]
    heading_deg: NDArray[np.float32]
    fov_deg: tuple[float, ...]
    mosaic: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    scenes: tuple[Scene, ...] = ()
    calibration: Calibration = AS_NAMED
    here: float = math.nan
    unusual: tuple[bool, ...] = ()
    finer_m: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)

    @cached_property
    def entry_pct(self) -> NDArray[np.float64]:
        """Lowest level whose region contains each cell, ``(N,)`` [%]."""
        return self.calibration.entry_pct(self.probability)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Cells by decreasing probability; ties keep their order."""
        return np.argsort(-self.probability, kind="stable")

    def places(self, count: int = 5) -> list[Place]:
        """Return the likeliest cells, none within 50 m of a better one."""
        best = self.likely[:count]
        if len(best) < count:
            best = localization.likeliest(self.probability, self.grid, count)
        centres = self.grid.centres(best)
        at = [self.finer_m.get(int(cell), xy) for cell, xy in zip(best, centres, strict=True)]
        east, north = np.reshape(at, (-1, 2)).T
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
        """Mark the cells of the calibrated region that contains a share of photos.

        Args:
            level: share of photos, 0 to 1.

        Returns:
            ``(N,)``, whether each cell is in the region, including all ties of its last cell.
        """
        return self.entry_pct < 100 * level

    def area_share(self, level: float) -> float:
        """Return the share of the searched cells that a region covers, 0 to 1."""
        return float(self.region(level).mean())


def to_degrees(epsg: int) -> Transformer:
    """Return the transform from a UTM zone to longitude and latitude (EPSG:4326)."""
    return Transformer.from_crs(epsg, 4326, always_xy=True)
