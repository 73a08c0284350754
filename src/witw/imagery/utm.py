"""Reproject the 8-bit strip to the area's UTM zone, on a grid of whole pixel multiples."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from osgeo import gdal
from rasterio.errors import RasterioError

from witw import files, stage
from witw.errors import UserError
from witw.imagery import sparse as needs
from witw.imagery.strip import decoded_cache, single_file, source
from witw.imagery.strip.vrt import describe_masked
from witw.imagery.warp import sweep
from witw.imagery.warp.target_grid import TargetGrid
from witw.settings.utm import Utm

VERSION = 2
READS = ("utm_epsg", "utm", "need_px")

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


def warp(ds: gdal.Dataset, path: Path, epsg: int, config: Utm, threads: int) -> None:
    """Reproject RGBA into a tiled GeoTIFF; transparent pixels weigh nothing.

    Raises:
        UserError: the strip cannot be shown in the zone.
    """
    grid = TargetGrid(ds, epsg, config.gsd_m)
    west, south, east, north = grid.bounds
    scale_x, scale_y = grid.scale()
    call = partial(
        gdal.Warp,
        str(path),
        ds,
        format="GTiff",
        dstSRS=f"EPSG:{epsg}",
        outputBounds=(west, south, east, north),
        width=grid.shape[1],
        height=grid.shape[0],
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


def by_gdal(
    vrt: Path,
    epsg: int,
    config: Utm,
    threads: int,
    work: Path,
    out: Path,
    need: needs.Need | None = None,
) -> None:
    """Write the strip in UTM by GDAL's own warper and writer: the oracle and the fallback.

    Raises:
        UserError: the strip cannot be shown in the zone.
        RuntimeError: it cannot be read.
    """
    warped = work / "rgba.tif"
    ds = gdal.Open(str(vrt))
    if need:
        ds = gdal.Open(needs.cut(ds, need, TargetGrid(ds, epsg, config.gsd_m)))
    warp(ds, warped, epsg, config, threads)
    raster = source.rgb_raster([str(warped)])
    masked = gdal.Open(describe_masked(raster, alpha=4))
    options = [*COG, f"NUM_THREADS={threads}"]
    write = gdal.GetDriverByName("COG").CreateCopy
    _watched("utm: write", partial(write, str(out), masked, options=options))


def _sources(aoi: str, vrt: Path) -> list[str]:
    """Files that a strip's VRT shows, itself included.

    Raises:
        UserError: it cannot be read.
    """
    try:
        # Read as GDAL and, for its pieces, as XML: both must find it whole.
        single_file.plain_of(vrt)
        return list(gdal.Open(str(vrt)).GetFileList())
    except (RuntimeError, ValueError, LookupError, TypeError, ElementTree.ParseError) as error:
        text = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"AOI {aoi!r}: {vrt} is not a readable strip ({text}); delete it and run again."
        ) from None


def run(
    spec: dict[str, Any], vrt: Path, tif: Path, threads: int = 1, photos: Path | None = None
) -> None:
    """Write the strip in UTM as a cloud-optimised GeoTIFF with an internal mask and overviews.

    Args:
        spec: the keys of READS.
        vrt: red, green, blue, alpha.
        tif: what is written; the same bytes for any number of threads.
        threads: of the warp and of the compression.
        photos: table `photos`, where only what its chips need is made.

    Raises:
        UserError: the strip cannot be read or shown in the zone; names AOI and file.
    """
    source.configure()
    config = Utm.model_validate(spec["utm"])
    engine = config.engine
    epsg = spec["utm_epsg"]
    need = needs.of_photos(photos, spec["need_px"]) if photos else None
    with files.scratch(tif) as work, source.unchanged(spec["aoi"], _sources(spec["aoi"], vrt)):
        log.info("warping %s by way of the temporary folder %s", vrt, work)
        made = work / "made.tif"
        try:
            if engine == "sweep":
                try:
                    how = config.gsd_m, config.resampling, threads
                    sweep.run(vrt, epsg, *how, work, made, need.tiles if need else None)
                except sweep.CannotSweepError as reason:
                    log.info("GDAL warps %s: %s", vrt, reason)
                    engine = "gdal"
            if engine == "gdal":
                by_gdal(vrt, epsg, config, threads, work, made, need)
        except (RuntimeError, RasterioError) as error:
            text = " ".join(str(error).split()).rstrip(".")
            raise UserError(f"AOI {spec['aoi']!r}: {vrt} cannot be reprojected: {text}.") from None
        with files.atomic(tif) as part:
            made.replace(part)
    decoded_cache.beside(vrt).unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = stage.arguments(
        "utm", __doc__, inputs=["vrt", "photos"], outputs=["tif"], many=["photos"], argv=argv
    )
    run(args.spec, args.vrt, args.tif, args.threads, *args.photos)


if __name__ == "__main__":
    stage.execute(main)
