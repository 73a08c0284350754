"""Reproject the 8-bit strip to the area's UTM zone, on a grid of whole pixel multiples."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from osgeo import gdal, osr

from witw import stage
from witw.errors import UserError
from witw.geo import snap
from witw.imagery import source
from witw.imagery.vrt import describe_masked
from witw.settings import Utm

VERSION = 1
READS = ("utm_epsg", "utm")

log = logging.getLogger("witw")

# GDAL interpolates positions along a row between exactly projected ones; at this bound [px] the
# result differs from the exact one by at most 1 of 255 and takes three fifths of the time.
MAX_SHIFT_PX = 0.001
# Fixed, as the pieces GDAL warps at a time depend on it; every machine must give the same bytes.
WARP_MEGABYTES = 256
TILED = ["TILED=YES", "BLOCKXSIZE=512", "BLOCKYSIZE=512", "BIGTIFF=YES", "SPARSE_OK=TRUE"]
COG = [
    "COMPRESS=DEFLATE",
    # Half the time of the default level for files 6 % larger.
    "LEVEL=1",
    "PREDICTOR=YES",
    "BLOCKSIZE=512",
    "OVERVIEW_RESAMPLING=AVERAGE",
    "BIGTIFF=IF_SAFER",
]


class Grid:
    """From a source raster's pixels to the target's pixels."""

    def __init__(self, ds: gdal.Dataset, epsg: int, gsd_m: float) -> None:
        self.transform = ds.GetGeoTransform()
        self.size = ds.RasterXSize, ds.RasterYSize
        target = osr.SpatialReference()
        target.ImportFromEPSG(epsg)
        self.to_utm = osr.CoordinateTransformation(ds.GetSpatialRef(), target)
        self.gsd_m = gsd_m

    def metres(self, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
        """Easting and northing [m] of source pixel positions, (n, 2)."""
        a, b, c, d, e, f = self.transform
        points = np.stack([a + b * x + c * y, d + e * x + f * y], axis=1)
        return np.array(self.to_utm.TransformPoints(points.tolist()))[:, :2]

    def bounds(self, along: int = 129) -> tuple[float, float, float, float]:
        """West, south, east, north [m] of the source, widened to whole target pixels."""
        width, height = self.size
        t = np.linspace(0, 1, along)
        zero, one = np.zeros(along), np.ones(along)
        x = np.concatenate([t, t, zero, one]) * width
        y = np.concatenate([zero, one, t, t]) * height
        points = self.metres(x, y)
        if not np.isfinite(points).all():
            raise UserError("a strip lies outside what its AOI's UTM zone can show; check `epsg`.")
        west, east = snap(points[:, 0].min(), points[:, 0].max(), self.gsd_m)
        south, north = snap(points[:, 1].min(), points[:, 1].max(), self.gsd_m)
        return west, south, east, north

    def scale(self) -> tuple[float, float]:
        """Target pixels per source pixel along the source's x and y, at its centre.

        One pair for the whole strip: GDAL otherwise takes another for each piece it warps.
        """
        x, y = self.size[0] / 2, self.size[1] / 2
        points = self.metres(np.array([x - 8, x + 8, x, x]), np.array([y, y, y - 8, y + 8]))
        x_step, y_step = np.hypot(*(points[1::2] - points[::2]).T) / 16 / self.gsd_m
        return _scale(float(x_step)), _scale(float(y_step))


def _scale(measured: float) -> float:
    """As in GDAL, a strip that is hardly finer than the grid, or coarser, is not smoothed."""
    return measured if measured < 0.95 else 1.0


def warp(ds: gdal.Dataset, path: Path, epsg: int, config: Utm, threads: int) -> None:
    """Reproject RGBA into a tiled GeoTIFF; transparent pixels weigh nothing.

    Raises:
        UserError: the strip cannot be shown in the zone.
    """
    grid = Grid(ds, epsg, config.gsd_m)
    west, south, east, north = grid.bounds()
    scale_x, scale_y = grid.scale()
    call = partial(
        gdal.Warp,
        str(path),
        ds,
        format="GTiff",
        dstSRS=f"EPSG:{epsg}",
        outputBounds=(west, south, east, north),
        width=round((east - west) / config.gsd_m),
        height=round((north - south) / config.gsd_m),
        resampleAlg=config.resampling,
        errorThreshold=MAX_SHIFT_PX,
        srcAlpha=True,
        dstAlpha=True,
        warpMemoryLimit=WARP_MEGABYTES,
        multithread=threads > 1,
        warpOptions=[
            f"NUM_THREADS={threads}",
            f"XSCALE={scale_x!r}",
            f"YSCALE={scale_y!r}",
            "SKIP_NOSOURCE=YES",
        ],
        creationOptions=[*TILED, "COMPRESS=DEFLATE", "ZLEVEL=1", f"NUM_THREADS={threads}"],
    )
    _watched("utm: warp", call)


def _watched[R](label: str, call: Callable[..., R]) -> R:
    """Run a long GDAL call with a progress bar, so that a signal ends it within moments.

    In a thread: while this one is inside GDAL, Python would notice a SIGTERM only at its end.
    """
    steps = iter(stage.progress(range(100), label))
    stop, shown = threading.Event(), 0

    def show(share: float, _text: str, _data: object) -> int:
        nonlocal shown
        while shown < int(share * 100) + (share >= 1):
            next(steps, None)
            shown += 1
        return int(not stop.is_set())

    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(call, callback=show).result()
        except BaseException:
            stop.set()
            raise


def run(spec: dict[str, Any], vrt: Path, tif: Path, threads: int = 1) -> None:
    """Write the strip in UTM as a cloud-optimised GeoTIFF with an internal mask and overviews.

    Args:
        spec: the keys of READS.
        vrt: red, green, blue, alpha.
        tif: what is written; the same bytes for any number of threads.
        threads: of the warp and of the compression.

    Raises:
        UserError: the strip cannot be read or shown in the zone; names AOI and file.
    """
    source.configure()
    config = Utm.model_validate(spec["utm"])
    with stage.scratch(tif) as work:
        log.info("warping %s by way of the temporary folder %s", vrt, work)
        warped, cog = work / "rgba.tif", work / "cog.tif"
        try:
            warp(gdal.Open(str(vrt)), warped, spec["utm_epsg"], config, threads)
            raster = source.rgb_raster([str(warped)])
            masked = gdal.Open(describe_masked(raster, alpha=4))
            options = [*COG, f"NUM_THREADS={threads}"]
            write = gdal.GetDriverByName("COG").CreateCopy
            _watched("utm: write", partial(write, str(cog), masked, options=options))
        except RuntimeError as error:
            text = " ".join(str(error).split()).rstrip(".")
            raise UserError(f"AOI {spec['aoi']!r}: {vrt} cannot be reprojected: {text}.") from None
        with stage.atomic(tif) as part:
            cog.replace(part)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = stage.arguments("utm", __doc__, inputs=["vrt"], outputs=["tif"], argv=argv)
    run(args.spec, args.vrt, args.tif, args.threads)


if __name__ == "__main__":
    stage.execute(main)
