"""Handmade answers: a small area whose imagery encodes positions, and maps of any shape."""

import math

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from witw.cvig.grid import Grid
from witw.cvig.locating.located import Located, Scene
from witw.cvig.scoring.calibration import Calibration
from witw.cvig.scoring.localization import likeliest
from witw.images.query import Photo

EPSG, STEP, WEST, NORTH = 32631, 28.0, 500_024.0, 5_000_016.0
RELIABILITY = {
    "right_m": 100.0,
    "all": {"n": 225, "up_to_pct": 50.0, "first": 20.0, "five": 51.1, "held_50": 49.8,
            "held_80": 84.0, "held_95": 95.6},
    "classes": [
        {"n": 57, "up_to_pct": 14.0, "first": 31.6, "five": 82.5, "held_50": 54.4,
         "held_80": 89.5, "held_95": 100.0},
        {"n": 56, "up_to_pct": 50.0, "first": 12.5, "five": 32.1, "held_50": 39.3,
         "held_80": 78.6, "held_95": 92.9},
    ],
}  # fmt: skip
PRESENCE = {
    "weights": [1.0, 0.0, 0.0], "offset": 0.0, "threshold": 0.3, "strangers_pct": 20.0,
    "auroc": 0.95, "fitted_on": ["oak"],
    "test": {"own": 9, "strangers": 9, "auroc": 0.94, "own_kept_pct": 94.0, "strangers_pct": 24.0},
}  # fmt: skip
AREAS = {
    "alder": {"city": "Alder", "split": "train", "satellite": "made", "pairs": 900},
    "birch": {"city": "Birch", "split": "train", "satellite": "made", "pairs": 300},
    "oak": {"city": "Oak", "split": "val", "satellite": "made", "pairs": 200},
}
FACTS = {"areas": AREAS, "reliability": RELIABILITY, "presence": PRESENCE}


def grid(rows=20, columns=24, left_out=(0, 1, 2, 24), epsg=EPSG, west=WEST, step=STEP):
    cells = np.setdiff1d(np.arange(rows * columns), left_out)
    return Grid(epsg, step, west, NORTH, rows, columns, cells)


def mosaic(path, of, gsd_m=2.0):
    """Write imagery: red rises to the east, green to the north, white marks each tenth cell."""
    width, height = round(of.columns * of.step_m / gsd_m), round(of.rows * of.step_m / gsd_m)
    x, y = np.meshgrid(np.linspace(30, 220, width), np.linspace(220, 30, height))
    rgb = np.stack([x, y, np.full_like(x, 90)]).astype(np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=3, dtype="uint8",
        crs=f"EPSG:{of.epsg}", transform=from_origin(of.west, of.north, gsd_m, gsd_m),
    ) as out:  # fmt: skip
        out.write(rgb)
    return path


def hills(of, seed=0, height=6.0):
    """Return a map with a few hills."""
    rng = np.random.default_rng(seed)
    centres = of.centres()
    value = np.zeros(len(centres))
    for n in range(4):
        at = centres[rng.integers(len(centres))]
        value += height / (n + 1) * np.exp(-((centres - at) ** 2).sum(axis=1) / (2 * 45.0**2))
    odds = np.exp(value + rng.normal(0, 0.2, len(centres)))
    return odds / odds.sum()


def answer(folder, probability=None, of=None, photos=1, here=0.7, name="a photo.jpg", **more):
    """Return a Located, with its mosaic in ``folder``."""
    of = of or grid()
    path = folder / "mosaic.tif"
    if not path.exists():
        mosaic(path, of)
    heat = hills(of) if probability is None else probability
    rng = np.random.default_rng(1)
    names = [name] if photos == 1 else [f"{n} {name}" for n in range(photos)]
    picture = Image.fromarray(np.full((150, 200, 3), (200, 120, 40), np.uint8))
    values = {
        "photos": tuple(Photo(n, picture, 60.0, "exif") for n in names),
        "area": "rowan",
        "grid": of,
        "probability": heat,
        "likely": likeliest(heat, of, 20),
        "score": np.tile(np.log(heat).astype(np.float32), (photos, 1)),
        "heading_deg": rng.uniform(0, 360, (photos, len(heat))).astype(np.float32),
        "fov_deg": (60.0,) * photos,
        "mosaic": path,
        "facts": FACTS,
        "scenes": (Scene(0.9, "street"),) * photos,
        "calibration": Calibration(0.05, 12.0),
        "here": here,
        "unusual": (False,) * photos,
    }
    return Located(**(values | more))


def nan_headings(found):
    return np.full_like(found.heading_deg, math.nan)
