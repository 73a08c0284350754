"""The original's imagery chain, step by step; `imagery.py` runs it with two versions of GDAL.

python original.py stretch STRIP       percentiles, prints gdal_translate's -scale options
python original.py clip TIF PHOTOS OUT  one chip per photo, then the share of zeros of each JPEG
python original.py translate|warp ...   the two programs, if only the binding is installed
It needs osgeo and numpy only.
"""

import sys
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

gdal.UseExceptions()
BANDS = (5, 3, 2)


def stretch(strip: str) -> None:
    """Stretch whole bands at a time, as the original does."""
    words, raster = [], gdal.Open(strip)
    for index, band in enumerate(BANDS):
        data = raster.GetRasterBand(band).ReadAsArray()
        low, high = np.percentile(data[data > 0], (2, 98))
        words += [f"-scale_{index + 1}", str(low), str(high), "0", "255"]
    print(" ".join(words))


def clip(tif: str, photos: str, out: str) -> None:
    """Call ``gdal.Translate`` with a window in metres per photo, and count zeros in the JPEG."""
    raster = gdal.Open(tif)
    wgs, utm = osr.SpatialReference(), raster.GetSpatialRef()
    wgs.ImportFromEPSG(4326)
    to_utm = osr.CoordinateTransformation(wgs, utm)
    kept = 0
    for number, (lon, lat) in enumerate(np.loadtxt(photos)):
        x, y, _ = to_utm.TransformPoint(lat, lon)
        box = [x - 112.5, y + 112.5, x + 112.5, y - 112.5]
        gdal.Translate(f"{out}/{number}.jpg", raster, projWin=box, format="JPEG")
    for name in sorted(Path(out).glob("*.jpg")):
        jpeg = gdal.Open(str(name))
        chip = jpeg.ReadAsArray()
        kept += np.mean(chip.max(axis=0) == 0) <= 0.1
    print(kept)


def main(step: str, *words: str) -> None:
    """Run a step."""
    if step == "stretch":
        stretch(*words)
    elif step == "clip":
        clip(*words)
    elif step == "translate":
        *options, source, target = words
        gdal.Translate(target, source, options=options)
    else:
        *options, source, target = words
        gdal.Warp(target, source, options=options)


main(*sys.argv[1:])
