"""A synthetic split: chips of coloured blobs, and photos of a camera at their centres."""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from pyproj import Transformer

from witw import tables
from witw.dataset import packed
from witw.settings.train import Train

TO_DEGREES = Transformer.from_crs(32631, 4326, always_xy=True)


def make_pairs(count, seed, chip_px=32, photo_px=24, fov_deg=65.0):
    """Return chips, photos (ground plane only, distance upwards) and their headings [degrees]."""
    rng = np.random.default_rng(seed)
    blobs = torch.from_numpy(rng.uniform(0, 255, (count, 3, 6, 6))).float()
    chips = F.interpolate(blobs, (chip_px, chip_px), mode="bicubic").clamp(0, 255)
    heading = rng.uniform(0, 360, count)
    at = (np.arange(photo_px) + 0.5) / photo_px * 2 - 1
    angle = np.radians(heading)[:, None] + np.arctan(at * np.tan(np.radians(fov_deg) / 2))[None]
    radius = ((1 - at) / 2) ** 1.5  # the lowest row is nearest
    grid = np.stack(
        [
            radius[None, :, None] * np.sin(angle)[:, None],
            -radius[None, :, None] * np.cos(angle)[:, None],
        ],
        axis=-1,
    )
    photos = F.grid_sample(chips, torch.from_numpy(grid).float(), align_corners=False)
    as_bytes = [v.permute(0, 2, 3, 1).round().byte().numpy() for v in (photos, chips)]
    return as_bytes[0], as_bytes[1], heading


def write_pack(folder, count, seed, aois=("a",), spacing_m=500.0, owners=None, **sizes):
    """Write a packed split; return the photos' true headings."""
    folder.mkdir(parents=True, exist_ok=True)
    photos, chips, heading = make_pairs(count, seed, **sizes)
    n = np.arange(count)
    lon, lat = TO_DEGREES.transform(5e5 + spacing_m * n, 4e6 + 0.0 * n)
    rows = {
        "id": [f"{seed}{i:05d}" for i in n],
        "aoi": [aois[i * len(aois) // count] for i in n],
        "owner": [f"{seed}{owner}@N00" for owner in (range(count) if owners is None else owners)],
        "easting": 5e5 + spacing_m * n,
        "northing": 4e6 + 0.0 * n,
        "lon": lon,
        "lat": lat,
        "photo_width": photos.shape[2],
        "photo_height": photos.shape[1],
        "fov_deg": np.where(n % 3 == 0, 65.0, np.nan),
    }
    write_rows(folder, pd.DataFrame(rows), photos, chips)
    return heading


def write_rows(folder, rows, photos, chips, quality=95):
    """Write pictures and their rows as the stage ``pack`` does."""
    pairs = (
        packed.Pair(row, packed.encode(photo, quality), packed.encode(chip, quality))
        for row, photo, chip in zip(rows.to_dict("records"), photos, chips, strict=True)
    )
    path = folder / packed.PICTURES
    table = packed.write(path, pairs, photos.shape[1], chips.shape[1])
    tables.write(folder / packed.TABLE, "pack", table)


SMALL = Train(
    width=16,
    blocks=1,
    embed_dim=32,
    headings=16,
    vector_dim=24,
    polar_rows=16,
    epochs=8,
    batch=16,
    learning_rate=5e-3,
    shift_m=8.0,
)
SPEC = {"stage": "train", "version": 1, "train": SMALL.model_dump(), "chip_m": 225.0}
