"""Synthetic indexes whose cells lie at the photos of a split, and photos with headings."""

import numpy as np
import torch
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from witw.cvig import retrieval
from witw.cvig.grid import Grid
from witw.cvig.network.model import Model
from witw.cvig.network.towers import ChipCode
from witw.cvig.search import index_file
from witw.cvig.search.compact import Packing
from witw.dataset.packed import Packed

EPSG = 32631


def write_index(folder, model_path, split, spacing_m=500.0):
    """Index each area of a split by its own chips; return the inputs of ``evaluate``."""
    folder.mkdir(parents=True, exist_ok=True)
    model, data = Model.load(model_path, torch.device("cpu")), Packed.open(split)
    cells = {}
    for name, rows in data.rows_by_area.items():
        codes = retrieval.encode(model.network, data, torch.device("cpu"), rows)
        east, north = data.places[rows[0]]
        grid = Grid(
            EPSG, spacing_m, east - spacing_m / 2, north + spacing_m / 2, 1, len(rows),
            np.arange(len(rows)),
        )  # fmt: skip
        cells[name] = write_cells(folder / f"{name}.safetensors", grid, codes, model)
    return cells


def write_cells(path, grid, codes, model):
    """Write chips' codes as the cells of a grid."""
    whole = codes.headings == 0
    columns = codes.chips[..., :0] if whole else codes.chips
    packing = Packing.fit(columns.float().numpy(), codes.chip_vectors.shape[1])
    with index_file.writer(path, grid, packing, model) as out:
        for at in range(0, len(codes), 7):
            part = slice(at, at + 7)
            out.put(at, ChipCode(codes.chips[part], codes.chip_vectors[part]))
    return path


def shot_with_heading(path, degrees, reference="T"):
    """Write a small JPEG whose EXIF data contain a heading."""
    exif = Image.Exif()
    gps = {0x0011: IFDRational(round(100 * degrees), 100)}
    exif[0x8825] = gps if reference is None else {0x0010: reference, **gps}
    Image.new("RGB", (8, 8)).save(path, exif=exif)
