"""Encode a grid of cells over an area with the trained overhead tower."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from witw import stage
from witw.cvig import batches
from witw.cvig.grid import Grid, pictures, plan
from witw.cvig.network import model
from witw.cvig.network.model import Model, device
from witw.cvig.network.towers import ChipCode
from witw.cvig.search import index_file
from witw.cvig.search.compact import Packing
from witw.ground import shapes
from witw.settings.index import Index

VERSION = 3
READS = ("index", "bbox_deg", "shape")

# At most, for the choice of the packing: each row is imagery to read, each cell to encode.
SAMPLE_ROWS, SAMPLE_CELLS = 4, 512
# Bytes of columns kept until the packing is chosen; the sample of a larger area is encoded twice.
HELD = 2**28

type Coded = tuple[NDArray[np.int64], ChipCode]  # positions of consecutive cells, and their codes


def run(
    spec: dict[str, Any], model_path: Path, mosaic_path: Path, cells: Path, threads: int
) -> Grid:
    """Encode every cell of an area that has imagery.

    Args:
        spec: section ``index``, ``bbox_deg``, ``aoi``, and ``shape`` of an area that is not a box.
        model_path: the model.
        mosaic_path: the area's raster in UTM, bands red, green, blue.
        cells: output, see :mod:`witw.cvig.search.index_file`.
        threads: CPU threads.

    Returns:
        The grid.

    Raises:
        UserError: no cell has imagery.
    """
    torch.set_num_threads(threads)
    trained = Model.load(model_path, device())
    shape = trained.network.shape
    step_m = Index.model_validate(spec["index"]).step_m
    with rasterio.open(mosaic_path) as mosaic:
        pixel_m = shape.chip_m / shape.chip_px
        grid = plan(mosaic, shapes.ground(spec), step_m, pixel_m, spec["aoi"])
        with stage.bar("cells", len(grid.cells), " cells") as bar:
            codes = _counted(encoded(trained, mosaic, grid), bar)
            if 4 * len(grid.cells) * shape.embed_dim * shape.headings <= HELD:
                codes = held = list(codes)
                packing = _packing(trained, grid, lambda cells: _some(held, grid, cells))
            else:
                packing = _packing(
                    trained,
                    grid,
                    lambda cells: encoded(trained, mosaic, replace(grid, cells=cells)),
                )
            with index_file.writer(cells, grid, packing, trained) as out:
                for at, code in codes:
                    out.put(int(at[0]), code)
    return grid


def encoded(trained: Model, mosaic: rasterio.DatasetReader, grid: Grid) -> Iterator[Coded]:
    """Yield codes of consecutive cells, with their positions."""
    shape, where = trained.network.shape, device()
    for at, chips in batches.ahead(
        pictures(mosaic, grid, shape.chip_px, shape.chip_m / shape.chip_px)
    ):
        with torch.inference_mode(), model.autocast(where):
            code = trained.network.encode_chips(torch.from_numpy(chips).to(where))
        yield at, code


def _counted(codes: Iterable[Coded], bar: tqdm[Any]) -> Iterable[Coded]:
    """Yield the codes, and show how many there were."""
    for at, code in codes:
        bar.update(len(at))
        yield at, code


def _some(held: Iterable[Coded], grid: Grid, cells: NDArray[np.int64]) -> Iterable[Coded]:
    """Yield the codes of some of the cells."""
    for at, code in held:
        among = np.flatnonzero(np.isin(grid.cells[at], cells))
        if len(among):
            yield at[among], ChipCode(code.columns[among], code.vector[among])


def _packing(
    trained: Model, grid: Grid, codes_of: Callable[[NDArray[np.int64]], Iterable[Coded]]
) -> Packing:
    """Choose the packing of this network's columns, from rows of cells all over the area.

    Args:
        trained: The network.
        grid: All cells.
        codes_of: Yields the codes of a choice of cells.
    """
    shape = trained.network.shape
    vector_dim = trained.network.vector_dim
    if shape.head == "global":
        return Packing.fit(np.zeros((1, shape.embed_dim, 0), np.float32), vector_dim)
    sample = np.zeros((1, shape.embed_dim, shape.headings), np.float32)
    if Packing.must_see(sample, vector_dim):
        rows = np.unique(grid.cells // grid.columns)
        cells = grid.cells[np.isin(grid.cells // grid.columns, _spread(rows, SAMPLE_ROWS))]
        codes = codes_of(_spread(cells, SAMPLE_CELLS))
        sample = np.concatenate([code.columns.float().cpu().numpy() for _, code in codes])
    return Packing.fit(sample, vector_dim)


def _spread(values: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many of the values, evenly spread, none at the ends if it can be helped."""
    count = min(most, len(values))
    return values[(np.arange(count) * 2 + 1) * len(values) // (2 * count)]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    args = stage.arguments(
        "index", __doc__, inputs=["model", "mosaic"], outputs=["cells"], argv=argv
    )
    run(args.spec, args.model, args.mosaic, args.cells, args.threads)


if __name__ == "__main__":
    stage.execute(main)
