"""Reproject the 8-bit strip to the area's UTM zone, on a grid of whole pixel multiples."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from osgeo import gdal
from rasterio.errors import RasterioError

from witw import files, stage
from witw.errors import UserError
from witw.ground import shapes
from witw.imagery import sparse as needs
from witw.imagery.sparse import Bools
from witw.imagery.strip import blocks, decoded_cache, remote, source
from witw.imagery.strip.eight_bit import EightBit
from witw.imagery.strip.vrt import Raster, describe_masked
from witw.imagery.warp import datum, sweep
from witw.imagery.warp.target_grid import TargetGrid
from witw.settings.utm import Utm

VERSION = 3
READS = ("strip", "utm_epsg", "utm", "need_px", "shape")

log = logging.getLogger("witw")

# GDAL interpolates positions along a row between exact ones. With this bound [px] the result
# differs from the exact one by at most 1 of 255 and takes three fifths of the time.
MAX_SHIFT_PX = 0.001
# Fixed because the size of GDAL's pieces depends on it, and every machine must give the same bytes.
WARP_MEGABYTES = 256
TILED = ["TILED=YES", "BLOCKXSIZE=512", "BLOCKYSIZE=512", "BIGTIFF=YES", "SPARSE_OK=TRUE"]
COG = [
    "COMPRESS=DEFLATE",
    # Half the time of the default level, for files 6 % larger.
    "LEVEL=1",
    "PREDICTOR=YES",
    "BLOCKSIZE=512",
    "OVERVIEW_RESAMPLING=AVERAGE",
    "BIGTIFF=IF_SAFER",
]


def warp(
    source_tif: Path, wkt: str, path: Path, grid: TargetGrid, config: Utm, threads: int
) -> None:
    """Reproject RGBA into a tiled GeoTIFF; transparent pixels have no weight."""
    west, south, east, north = grid.bounds
    scale_x, scale_y = grid.scale()
    call = partial(
        gdal.Warp,
        str(path),
        str(source_tif),
        format="GTiff",
        srcSRS=wkt,
        dstSRS=f"EPSG:{grid.epsg}",
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

    The call runs in a thread: Python handles a SIGTERM only after GDAL returns to its thread.
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


def as_rgba(
    raster: Raster, to_8_bit: EightBit, grid: TargetGrid, needed: Bools | None, path: Path
) -> None:
    """Write the strip, or the parts below the needed tiles, as 8-bit RGBA for GDAL's warper."""
    options = [*TILED, "COMPRESS=DEFLATE", "ZLEVEL=1", "PHOTOMETRIC=RGB", "ALPHA=YES"]
    create = gdal.GetDriverByName("GTiff").Create
    ds = create(str(path), *raster.size, 4, gdal.GDT_Byte, options=options)
    ds.SetGeoTransform(raster.transform)
    with blocks.opened(raster, 1, to_8_bit) as reader:
        every = reader.units()
        if needed is not None:
            there = set(every)
            every = [at for at in needs.units(grid, needed, reader.unit) if at in there]
        for unit in stage.progress(every, "utm: 8 bit"):
            data, window = reader.rgba(unit), reader.window(unit)
            data[..., 3] *= 255
            for band in range(4):
                band_out = ds.GetRasterBand(band + 1)
                band_out.WriteArray(data[..., band], window.col_off, window.row_off)
    ds.FlushCache()


def by_gdal(
    raster: Raster,
    to_8_bit: EightBit,
    grid: TargetGrid,
    needed: Bools | None,
    config: Utm,
    threads: int,
    work: Path,
    out: Path,
) -> None:
    """Write the strip in UTM with GDAL's own warper and writer: the reference and the fallback.

    Raises:
        RuntimeError, RasterioError: The strip cannot be read.
    """
    rgba, warped = work / "rgba.tif", work / "warped.tif"
    as_rgba(raster, to_8_bit, grid, needed, rgba)
    warp(rgba, raster.wkt, warped, grid, config, threads)
    masked = gdal.Open(describe_masked(source.rgb_raster([str(warped)]), alpha=4))
    options = [*COG, f"NUM_THREADS={threads}"]
    write = gdal.GetDriverByName("COG").CreateCopy
    _watched("utm: write", partial(write, str(out), masked, options=options))


def run(
    spec: dict[str, Any], stretch: Path, tif: Path, threads: int = 1, photos: Path | None = None
) -> None:
    """Write the strip in UTM as a cloud-optimised GeoTIFF with an internal mask and overviews.

    Args:
        spec: The keys in READS.
        stretch: The area's stretch.
        tif: Output file; its bytes do not depend on the number of threads.
        threads: Threads of the warp and of the compression.
        photos: Table `photos`; if given, only the parts needed by its chips are written. For an
            area with a shape, only chips inside the shape count.

    Raises:
        UserError: The strip cannot be read or shown in the zone; the message names area and file.
    """
    source.configure()
    config = Utm.model_validate(spec["utm"])
    aoi, strip = spec["aoi"], spec["strip"]
    raster = source.load(aoi, strip)
    to_8_bit = source.eight_bit(raster, stretch)
    if lacking := datum.missing(raster, spec["utm_epsg"]):
        log.warning(
            "Area %r: strip %s may be misplaced by %g m, because PROJ lacks the datum grid %s "
            "(install it with projsync, or set PROJ_NETWORK=ON)",
            aoi, strip["name"], lacking[1], ", ".join(lacking[0]),
        )  # fmt: skip
    need: needs.Need | needs.ShapeNeed | None = None
    if photos:
        need = needs.of_photos(photos, spec["need_px"])
    elif spec.get("shape"):
        need = needs.ShapeNeed(shapes.ground(spec), spec["need_px"])
    kept = decoded_cache.beside(tif)
    with files.scratch(tif) as work, source.unchanged(aoi, source.local_files(raster)):
        log.info("warping %s through the temporary folder %s", strip["name"], work)
        made = work / "made.tif"
        try:
            grid, needed = TargetGrid(raster, spec["utm_epsg"], config.gsd_m), None
            if need:
                grid, needed = needs.cropped(grid, need.tiles(grid))
            grid.check_size()
            how = raster, to_8_bit, grid
            try:
                if config.engine == "gdal":
                    raise sweep.CannotSweepError("`utm.engine` is gdal")
                sweep.run(*how, config.resampling, threads, work, made, needed, kept)
            except sweep.CannotSweepError as reason:
                log.info("GDAL warps %s: %s", strip["name"], reason)
                by_gdal(*how, needed, config, threads, work, made)
        except (RuntimeError, RasterioError) as error:
            text = " ".join(remote.shown(str(error)).split()).rstrip(".")
            where = remote.shown(strip["path"])
            raise UserError(
                f"Area {aoi!r}: strip file {where} cannot be reprojected: {text}."
            ) from None
        with files.atomic(tif) as part:
            made.replace(part)
    kept.unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    args = stage.arguments(
        "utm", __doc__, inputs=["stretch", "photos"], outputs=["tif"], many=["photos"], argv=argv
    )
    run(args.spec, args.stretch, args.tif, args.threads, *args.photos)


if __name__ == "__main__":
    stage.execute(main)
