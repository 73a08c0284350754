"""A synthetic city of coloured blobs as a mosaic, and photos taken in it."""

import math

import numpy as np
import rasterio
import torch
import torch.nn.functional as F
from PIL import Image
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

EPSG, GSD_M, SIDE_M = 32631, 2.25, 900.0
# Some cells of a 28.125 m grid are then centred on a pixel's corner, as a cut chip is.
_CORNER = 14.0625 * np.array([35525, 355555]) + 6 * GSD_M
CENTRE = _CORNER + np.array([SIDE_M / 2, -SIDE_M / 2])
_EDGES = (*(CENTRE - SIDE_M / 2), *(CENTRE + SIDE_M / 2))
BBOX = list(transform_bounds(f"EPSG:{EPSG}", "EPSG:4326", *_EDGES))


def ground(seed=5):
    """Return ``(3, n, n)`` float colours of the square around the centre, as blobs."""
    blobs = torch.from_numpy(np.random.default_rng(seed).uniform(0, 255, (1, 3, 24, 24))).float()
    n = round(SIDE_M / GSD_M)
    return F.interpolate(blobs, (n, n), mode="bicubic").clamp(0, 255)[0]


def write_mosaic(path):
    """Write the city with a blank north-east corner, a fifth of its side in each direction."""
    rgb = ground().round().byte().numpy()
    n = rgb.shape[1]
    mask = np.full((n, n), 255, np.uint8)
    mask[: n // 5, -n // 5 :] = 0
    left, top = CENTRE[0] - SIDE_M / 2, CENTRE[1] + SIDE_M / 2
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", width=n, height=n, count=3, dtype="uint8",
            crs=f"EPSG:{EPSG}", transform=from_origin(left, top, GSD_M, GSD_M),
        ) as out,
    ):  # fmt: skip
        out.write(rgb * (mask > 0))
        out.write_mask(mask)


def shoot(path, place, heading_deg, side=96, fov_deg=65.0):
    """Write the photo of a camera at ``place`` in the flat city, with distance upwards."""
    at = (np.arange(side) + 0.5) / side * 2 - 1
    angle = math.radians(heading_deg) + np.arctan(at * math.tan(math.radians(fov_deg) / 2))
    radius = 112.5 * ((1 - at) / 2) ** 1.5
    x, y = (np.asarray(place) - CENTRE) / (SIDE_M / 2)
    east = x + radius[:, None] * np.sin(angle) / (SIDE_M / 2)
    south = -y - radius[:, None] * np.cos(angle) / (SIDE_M / 2)
    grid = torch.from_numpy(np.stack([east, south], axis=-1)).float()[None]
    photo = F.grid_sample(ground()[None], grid, align_corners=False)[0]
    Image.fromarray(photo.permute(1, 2, 0).round().byte().numpy()).save(path, quality=95)
