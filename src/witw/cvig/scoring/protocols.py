"""The evaluation protocols of an area, and the form of their results.

- ``grid`` (headline): cells over the area's imagery, independent of the photos, scored by the
  distance of the best cells from the geotag. It matches the use of the index, and does not depend
  on the number of photos. Its photos are :func:`chosen`.
- ``chips``: the area's own chips, one per photo, as the original project scored Paris.
- ``thinned``: as ``chips``, with one photo per square of 25 m, without near copies in the gallery.
- ``window``: cells of 420 m around each photo, see :mod:`witw.cvig.scoring.window`;
  ``window_several``: the same for up to eight photos of one place together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witw.cvig import metrics
from witw.cvig.grid import Grid
from witw.cvig.metrics import Metric
from witw.cvig.network.model import Blend
from witw.cvig.network.towers import PhotoCode
from witw.cvig.scoring import calibration, intervals, localization, presence, reliability
from witw.cvig.scoring.calibration import Belief, Calibration
from witw.cvig.scoring.localization import Placed
from witw.cvig.scoring.reliability import Outcome
from witw.cvig.search import two_steps
from witw.cvig.search.index_file import Index

BUCKET_M = 25.0


@dataclass(frozen=True)
class Ranked:
    """Ranks of some photos' own chips, and the blocks these photos lie in."""

    rank: NDArray[np.int64]  # (P,)
    gallery: NDArray[np.int64]  # (P,)
    area: NDArray[np.int64]  # (P,)
    block: NDArray[np.int64]  # (P,) of `intervals.blocks`, any numbers

    @classmethod
    def join(cls, parts: Sequence[Ranked]) -> Ranked:
        """Concatenate the photos of several parts."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def thin(ids: Sequence[str], places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows of one photo per square of 25 m: the photo with the smallest hash of its id.

    The hash makes the choice independent of everything else, and equal in every run.
    """
    order = np.argsort(hashes(ids))
    square = np.floor(places[order] / BUCKET_M)
    return np.sort(order[np.unique(square, axis=0, return_index=True)[1]])


def hashes(ids: Sequence[str]) -> NDArray[np.str_]:
    """Return the SHA-1 of each id, in hexadecimal digits."""
    return np.array([hashlib.sha1(i.encode(), usedforsecurity=False).hexdigest() for i in ids])


def chosen(ids: Sequence[str], places: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Return the rows of the queries on the grid: thinned photos with the smallest hashes."""
    few = thin(ids, places)
    return np.sort(few[np.argsort(hashes([ids[n] for n in few]))[:most]])


def evidence(
    photos: PhotoCode, places: NDArray[np.float64], index: Index, blend: Blend
) -> list[calibration.Evidence]:
    """Return the evidence of an area's photos on temperature and geotag error."""
    return [
        calibration.evidence(found.values, places[part], index.grid)
        for part, found in two_steps.scored(photos, index, blend)
    ]


@dataclass(frozen=True)
class MapFigures:
    """Values of the maps of an area's own photos.

    Attributes:
        belief: of the geotags in the maps.
        signs: ``(P, 3)`` of :func:`witw.cvig.scoring.presence.signs`.
    """

    belief: Belief
    signs: NDArray[np.float64]

    @classmethod
    def of(
        cls, scores: NDArray[np.floating], maps: NDArray[np.float64],
        places: NDArray[np.float64], grid: Grid,
    ) -> MapFigures:  # fmt: skip
        """Return figures of maps ``(P, C)``, from scores ``(P, C)``, at geotags ``(P, 2)`` [m]."""
        return cls(calibration.belief(maps, places, grid), presence.signs(scores, maps))

    @classmethod
    def join(cls, parts: Sequence[MapFigures]) -> MapFigures:
        """Concatenate the photos of several parts."""
        beliefs = Belief.join([part.belief for part in parts])
        return cls(beliefs, np.concatenate([part.signs for part in parts]))


def believed(
    photos: PhotoCode,
    places: NDArray[np.float64],
    index: Index,
    blend: Blend,
    fitted: Calibration,
) -> MapFigures:
    """Look up an area's geotags in the maps of its photos."""
    grid, figures = index.grid, []
    for part, found in two_steps.scored(photos, index, blend):
        maps = calibration.chances(found.values, grid, fitted)
        figures.append(MapFigures.of(found.values, maps, places[part], grid))
    return MapFigures.join(figures)


def on_grid(
    photos: PhotoCode,
    places: NDArray[np.float64],
    index: Index,
    blend: Blend,
    fitted: Calibration,
) -> tuple[Placed, MapFigures, Outcome]:
    """Place an area's photos on its cells, look up their geotags in their maps, and judge these."""
    grid = index.grid
    guesses = localization.random_picks(grid)
    placed, figures, outcomes = [], [], []
    for part, found in two_steps.scored(photos, index, blend):
        placed.append(localization.place(found.values, places[part], grid, guesses))
        maps = calibration.chances(found.values, grid, fitted)
        figures.append(MapFigures.of(found.values, maps, places[part], grid))
        outcomes.append(reliability.outcome(maps, places[part], grid, fitted))
    return Placed.join(placed), MapFigures.join(figures), Outcome.join(outcomes)


def tell(
    figures: Mapping[str, Metric], chance: Mapping[str, float], block: NDArray[np.int64]
) -> dict[str, Any]:
    """Return figures with chance and interval.

    Returns:
        ``n`` photos, ``blocks`` of 500 m, the figures' values, ``chance`` and ``interval``, each
        keyed by the figures' names; without intervals if there are too few blocks.
    """
    return {
        "n": len(block),
        "blocks": len(np.unique(block)),
        **metrics.values(figures),
        "chance": dict(chance),
        "interval": intervals.intervals(figures, block),
    }


def tell_ranks(ranked: Ranked, names: Sequence[str]) -> dict[str, Any]:
    """Return the figures of ranks, for all photos and for each area."""

    def told(at: NDArray[np.bool_]) -> dict[str, Any]:
        rank, gallery = ranked.rank[at], ranked.gallery[at]
        return tell(metrics.of_ranks(rank, gallery), metrics.chance(gallery), ranked.block[at])

    areas = {names[a]: told(ranked.area == a) for a in np.unique(ranked.area)}
    return {**told(np.ones(len(ranked.rank), bool)), "areas": areas}


def tell_placed(
    placed: Mapping[str, Placed], blocks: Mapping[str, NDArray[np.int64]]
) -> dict[str, Any]:
    """Return figures on the grid, of all photos and by area, and recall against area.

    Args:
        placed: of each area.
        blocks: of each area's photos, see :func:`witw.cvig.scoring.intervals.blocks`.
    """

    def told(some: Sequence[str]) -> dict[str, Any]:
        joined = Placed.join([placed[name] for name in some])
        block = np.concatenate([blocks[name] for name in some])
        return tell(localization.metrics(joined), localization.chance(joined), block)

    names = sorted(placed)
    share = np.unique(np.append(np.geomspace(0.01, 100, 81).round(4), 0))
    found, guessed = localization.curve(Placed.join([placed[name] for name in names]), share)
    curve = {"area_pct": share, "recall": found.round(3), "chance": guessed.round(3)}
    return {
        **told(names),
        "areas": {name: told([name]) for name in names},
        "curve": {key: value.tolist() for key, value in curve.items()},
    }
