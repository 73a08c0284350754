"""A position finer than the cell: chips between the cells, drawn from the mosaic and compared.

The best cells of a photo are searched again at nine positions each. The chips there are not in the
index: they are cut from the mosaic, encoded and scored as cells are. The mean position is used:
it has smaller errors than the best one (docs/figures.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray

from witw.cvig.grid import Grid, pictures
from witw.cvig.network.model import Model, autocast, device
from witw.cvig.network.towers import PhotoCode
from witw.cvig.retrieval import Codes
from witw.cvig.search import two_steps

PARTS = 3  # positions along a side of a cell


@dataclass(frozen=True)
class Around:
    """Scores of photos of one place at a square of positions.

    Attributes:
        places: ``(n, 2)`` easting and northing, row by row from the north-west [m].
        score: ``(n,)``, comparable with those of cells.
        heading_deg: ``(P, n)`` of each photo's middle, clockwise from grid north [degrees].
    """

    places: NDArray[np.float64]
    score: NDArray[np.float32]
    heading_deg: NDArray[np.float32]


def refine(
    model: Model,
    mosaic: rasterio.DatasetReader,
    photos: PhotoCode,
    middle: NDArray[np.float64],
    step_m: float,
    temperature: float,
) -> NDArray[np.float64]:
    """Return the mean position in a cell, weighted as in a map; easting and northing [m].

    Args:
        model: the network.
        mosaic: the area's raster.
        photos: codes of photos of one place.
        middle: easting and northing of the cell's centre [m].
        step_m: distance between cells [m].
        temperature: of the map.
    """
    found = search(model, mosaic, photos, middle, step_m, reach=1)
    weight = np.exp((found.score - found.score.max()).astype(np.float64) / temperature)
    return np.asarray(weight @ found.places / weight.sum())


def chips_around(
    mosaic: rasterio.DatasetReader,
    middle: NDArray[np.float64],
    reach: int,
    stride_px: int,
    chip_px: int,
    pixel_m: float,
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Cut chips at a square of positions around a point: a grid of cells that are close together.

    Args:
        mosaic: the area's raster.
        middle: easting and northing of the middle position [m].
        reach: positions on each side of it.
        stride_px: packed pixels between positions.
        chip_px: side of a packed chip [px].
        pixel_m: its pixel [m].

    Returns:
        Chips ``(n, chip_px, chip_px, 3)``, black without imagery, and their centres ``(n, 2)`` [m],
        row by row from the north-west; ``n = (2 reach + 1)^2``.
    """
    side, step_m = 2 * reach + 1, stride_px * pixel_m
    west, north = middle + np.array([-1, 1]) * side / 2 * step_m
    epsg, all_cells = mosaic.crs.to_epsg(), np.arange(side * side)
    grid = Grid(epsg, step_m, west, north, side, side, all_cells)
    chips = [chips for _, chips in pictures(mosaic, grid, chip_px, pixel_m)]
    return np.concatenate(chips), grid.centres()


@torch.inference_mode()
def search(
    model: Model,
    mosaic: rasterio.DatasetReader,
    photos: PhotoCode,
    middle: NDArray[np.float64],
    step_m: float,
    reach: int,
) -> Around:
    """Score photos of one place at a square of positions, a third of a cell apart.

    Args:
        model: the network.
        mosaic: the area's raster.
        photos: codes of the photos.
        middle: easting and northing of the middle position [m].
        step_m: distance between cells [m].
        reach: positions on each side of the middle.
    """
    shape, where = model.network.shape, device()
    pixel_m = shape.chip_m / shape.chip_px
    stride = max(1, round(step_m / PARTS / pixel_m))
    chips, places = chips_around(mosaic, middle, reach, stride, shape.chip_px, pixel_m)
    with autocast(where):
        code = model.network.encode_chips(torch.from_numpy(chips).to(where))
    none = torch.zeros(len(chips), 0)
    gallery = Codes(none, none, code.columns, none, code.vector)
    score = two_steps.together(photos, gallery, model.blend).values[0]
    return Around(places, score, two_steps.headings(photos, gallery, np.arange(len(chips))))
