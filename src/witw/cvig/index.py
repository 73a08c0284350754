"""Embed a grid of cells over an area with the trained overhead tower."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch

from witw import files, stage
from witw.cvig import batches
from witw.cvig.grid import Grid, pictures, plan
from witw.cvig.network import model
from witw.cvig.network.model import Model, device
from witw.settings.index import Index

VERSION = 1
READS = ("index", "bbox_deg")


def run(
    spec: dict[str, Any], model_path: Path, mosaic_path: Path, codes: Path, grid: Path, threads: int
) -> Grid:
    """Encode every cell of an area that has imagery.

    Args:
        spec: holds section ``index``, ``bbox_deg`` and ``aoi``.
        model_path: the model.
        mosaic_path: the area's raster in UTM, bands red, green, blue.
        codes: output, ``(cells, D, headings)`` float16.
        grid: output, the cells, see :class:`witw.cvig.grid.Grid`.
        threads: CPU threads.

    Returns:
        The grid.

    Raises:
        UserError: no cell has imagery.
    """
    torch.set_num_threads(threads)
    where = device()
    network = Model.load(model_path, where).network
    shape = network.shape
    pixel_m = shape.chip_m / shape.chip_px
    step_m = Index.model_validate(spec["index"]).step_m
    with rasterio.open(mosaic_path) as mosaic:
        cells = plan(mosaic, tuple(spec["bbox_deg"]), step_m, pixel_m, spec["aoi"])
        size = (len(cells.cells), shape.embed_dim, shape.headings)
        with files.atomic(codes) as part:
            out = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=size)
            parts = batches.ahead(pictures(mosaic, cells, shape.chip_px, pixel_m))
            for at, chips in stage.progress(parts, "cells"):
                with torch.inference_mode(), model.autocast(where):
                    code = network.encode_chips(torch.from_numpy(chips).to(where))
                out[at] = code.half().cpu().numpy()
            out.flush()
    cells.write(grid)
    return cells


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = stage.arguments(
        "index", __doc__, inputs=["model", "mosaic"], outputs=["codes", "grid"], argv=argv
    )
    run(args.spec, args.model, args.mosaic, args.codes, args.grid, args.threads)


if __name__ == "__main__":
    stage.execute(main)
