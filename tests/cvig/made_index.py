"""Made-up indexes whose cells lie where the photos of a made-up split do; photos with headings."""

import numpy as np
import torch
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from witw.cvig import retrieval
from witw.cvig.grid import Grid
from witw.cvig.network.model import Model
from witw.dataset.packed import Packed

EPSG = 32631


def write_index(folder, model_path, split, spacing_m=500.0):
    """Index each area of a split by its own chips; return what ``evaluate`` takes."""
    folder.mkdir(parents=True, exist_ok=True)
    model, data = Model.load(model_path, torch.device("cpu")), Packed.open(split)
    cells = {}
    for number in np.unique(data.areas):
        rows = np.flatnonzero(data.areas == number)
        name = data.table["aoi"].iloc[rows[0]]
        codes = retrieval.encode(model.network, data, torch.device("cpu"), rows)
        np.save(folder / f"{name}.npy", codes.chips.half().numpy())
        east, north = data.places[rows[0]]
        grid = Grid(
            EPSG, spacing_m, east - spacing_m / 2, north + spacing_m / 2, 1, len(rows),
            np.arange(len(rows)),
        )  # fmt: skip
        grid.write(folder / f"{name}.json")
        cells[name] = folder / f"{name}.npy", folder / f"{name}.json"
    return cells


def shot_with_heading(path, degrees, reference="T"):
    """Write a small JPEG whose EXIF data tells the direction it was taken in."""
    exif = Image.Exif()
    gps = {0x0011: IFDRational(round(100 * degrees), 100)}
    exif[0x8825] = gps if reference is None else {0x0010: reference, **gps}
    Image.new("RGB", (8, 8)).save(path, exif=exif)
