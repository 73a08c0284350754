"""The synthetic strip of `imagery.py`: 8 bands of 11-bit numbers, and photos in hot spots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.windows import Window

STEP_DEG = 2.7e-6
LON, LAT = 3.2, 36.1
EPSG = 32631
TEXTURE = 2048
GAIN = (0.7, 0.8, 1.0, 1.1, 1.2, 1.3, 1.6, 1.5)


def noise(rng: np.random.Generator, slope: float) -> NDArray[np.float32]:
    """Return a periodic texture with a spectrum of k to the power -slope and variance 1."""
    spectrum = np.fft.rfft2(rng.standard_normal((TEXTURE, TEXTURE)))
    k = np.hypot(np.fft.fftfreq(TEXTURE)[:, None], np.fft.rfftfreq(TEXTURE)[None])
    k[0, 0] = 1
    field = np.fft.irfft2(spectrum / k**slope, s=(TEXTURE, TEXTURE))
    field -= field.mean()
    return (field / field.std()).astype(np.float32)


def strip(path: Path, width: int, height: int) -> None:
    """Write a DEFLATE COG: 8 % blank (0, undeclared), dark water, bright cloud, roofs."""
    rng = np.random.default_rng(3)
    coarse, other = noise(rng, 1.7), noise(rng, 1.7)
    grain = np.rint(2 * rng.standard_normal((8, TEXTURE, TEXTURE), np.float32))
    roofs = np.zeros((TEXTURE, TEXTURE), np.float32)
    for _ in range(2500):
        (y, x), (h, w) = rng.integers(0, TEXTURE - 60, 2), rng.integers(12, 60, 2)
        roofs[y : y + h, x : x + w] = rng.uniform(-1.5, 2.5)
    plain = path.with_suffix(".plain.tif")
    profile = {
        "driver": "GTiff", "width": width, "height": height, "count": 8, "dtype": "uint16",
        "crs": "EPSG:4326", "transform": Affine(STEP_DEG, 0, LON, 0, -STEP_DEG, LAT),
        "tiled": True, "blockxsize": 512, "blockysize": 512, "interleave": "pixel",
        "BIGTIFF": "YES",
    }  # fmt: skip
    with rasterio.Env(GDAL_CACHEMAX=512 << 20):
        with rasterio.open(plain, "w", **profile) as file:
            for top in range(0, height, 512):
                rows = min(512, height - top)
                yy = np.arange(top, top + rows, dtype=np.float32)[:, None]
                xx = np.arange(width, dtype=np.float32)[None]
                at = (
                    np.arange(top, top + rows)[:, None] % TEXTURE,
                    (np.arange(width)[None] + top // TEXTURE * 700) % TEXTURE,
                )
                land = 420 + 60 * (np.sin(yy / 1900) + np.cos(xx / 2300))
                land = land + 75 * coarse[at] + 150 * roofs[at]
                water = np.sin(xx / 1700 + yy / 4000) + 0.5 * np.cos(yy / 1300) > 1.15
                cloud = np.sin(xx / 700) * np.cos(yy / 900) + 0.2 * other[at] > 1.12
                blank = xx < 0.16 * width * (1 - yy / height)
                for band in range(8):
                    fine = grain[band][at]
                    data = GAIN[band] * land + 5 * (band - 3) * other[at] + fine
                    data = np.where(water, 40 + 10 * band + fine / 2, data)
                    data = np.where(cloud, 1900 + fine, data)
                    data = np.clip(np.rint(data), 1, 2047)
                    data[blank] = 0
                    window = Window(0, top, width, rows)
                    file.write(data.astype(np.uint16), band + 1, window=window)
        rasterio.shutil.copy(
            plain, path, driver="COG", COMPRESS="DEFLATE", BLOCKSIZE=512, BIGTIFF="YES",
            NUM_THREADS="ALL_CPUS",
        )  # fmt: skip
    plain.unlink()


def photos(count: int, width: int, height: int) -> NDArray[np.float64]:
    """Return longitudes and latitudes, 70 % of them in hot spots, (count, 2)."""
    rng = np.random.default_rng(5)
    spots = rng.uniform(0.15, 0.85, (max(4, count // 80), 2))
    where = spots[rng.integers(0, len(spots), count)] + rng.normal(0, 0.01, (count, 2))
    free = rng.random(count) > 0.7
    where[free] = rng.uniform(0, 1, (free.sum(), 2))
    return np.array([LON, LAT]) + where * np.array([width, -height]) * STEP_DEG
