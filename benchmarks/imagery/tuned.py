"""Two steps of `imagery.py` without a GDAL program, as a careful user of GDAL would write them.

python tuned.py stretch STRIP        percentiles in one pass, prints the -scale options
python tuned.py clip TIF PHOTOS OUT  windows of a tiled raster, encoded by simplejpeg
"""

import sys
from pathlib import Path

import numpy as np
import rasterio
import simplejpeg
from pyproj import Transformer
from rasterio.windows import Window

from witw.imagery.stretch import percentile

BANDS = (5, 3, 2)


def stretch(strip: str) -> None:
    """Count every value once."""
    counts = np.zeros((3, 65_536), np.int64)
    with rasterio.Env(GDAL_CACHEMAX=64 << 20), rasterio.open(strip) as file:
        for _, window in file.block_windows(1):
            for band, data in enumerate(file.read(BANDS, window=window)):
                counts[band] += np.bincount(data.ravel(), minlength=65_536)
    counts[:, 0] = 0
    words = []
    for band in range(3):
        values = np.flatnonzero(counts[band])
        ends = [percentile(values, counts[band][values], pct) for pct in (2, 98)]
        words += [f"-scale_{band + 1}", *map(str, ends), "0", "255"]
    print(" ".join(words))


def clip(tif: str, photos: str, out: str) -> None:
    """Cut and encode chips with at most a tenth of zeros."""
    with rasterio.Env(GDAL_CACHEMAX=512 << 20), rasterio.open(tif) as file:
        to_utm = Transformer.from_crs(4326, file.crs, always_xy=True)
        for number, (lon, lat) in enumerate(np.loadtxt(photos)):
            x, y = ~file.transform * to_utm.transform(lon, lat)
            window = Window(round(x - 375), round(y - 375), 750, 750)
            chip = file.read((1, 2, 3), window=window, boundless=True, fill_value=0)
            if (chip.max(axis=0) == 0).mean() <= 0.1:
                data = np.ascontiguousarray(chip.transpose(1, 2, 0))
                jpeg = simplejpeg.encode_jpeg(data, quality=95, colorsubsampling="444")
                Path(out, f"{number}.jpg").write_bytes(jpeg)


{"stretch": stretch, "clip": clip}[sys.argv[1]](*sys.argv[2:])
