"""Count every value of a strip's three bands in one read.

Data of whole numbers between -32,768 and 65,535 are counted exactly, whatever their data type.
A strip that is one file of 8 or 16 bit numbers is counted as its blocks are decoded, by several
threads; anything else is read through the VRT that says what a valid pixel is.
Others are read a second time and counted in 65,536 equal bins between their least and largest
value, each bin standing for its middle.
With `extent: photos` an even sample of blocks is counted instead of all (:mod:`.need`).
"""

from __future__ import annotations

import json
import logging
import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from osgeo import gdal
from rasterio.errors import RasterioError

from witw import files, stage
from witw.errors import UserError
from witw.imagery import sparse
from witw.imagery.strip import blocks, decoded_cache, single_file, source
from witw.imagery.strip.single_file import VALUES
from witw.imagery.strip.vrt import Raster

VERSION = 1
READS = ("strip", "extent")

log = logging.getLogger("witw")

LEAST, MOST = -32_768, 65_535
BINS = 65_536
WINDOW_PX = 4 << 20

Window = tuple[int, int, int, int]


def windows(size: tuple[int, int], block: tuple[int, int], pixels: int = WINDOW_PX) -> list[Window]:
    """Cut a raster into windows of whole blocks, so that each block is decoded once.

    Args:
        size: width and height [px].
        block: width and height of the file's blocks [px].
        pixels: about how many pixels a window may have.

    Returns:
        x, y, width, height of each [px], row by row.
    """
    (width, height), (block_w, block_h) = size, block
    side = int(pixels**0.5)
    step_x = width if block_w >= width else max(block_w, side // block_w * block_w)
    step_y = max(block_h, pixels // min(step_x, width) // block_h * block_h)
    return [
        (x, y, min(step_x, width - x), min(step_y, height - y))
        for y in range(0, height, step_y)
        for x in range(0, width, step_x)
    ]


class Exact:
    """Counts of whole numbers from LEAST to MOST, one histogram a band."""

    def __init__(self) -> None:
        self.counts = np.zeros((3, MOST - LEAST + 1), np.int64)
        self.whole = True
        self.low, self.high = np.inf, -np.inf

    def add(self, band: int, values: NDArray[Any]) -> None:
        """Count finite values; `whole` turns false where one has no place."""
        if not values.size:
            return
        low, high = values.min(), values.max()
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))
        self.whole = self.whole and low >= LEAST and high <= MOST
        if self.whole and values.dtype.kind == "f":
            self.whole = bool((np.rint(values) == values).all())
        if self.whole:
            shift = int(low)
            found = np.bincount(values.astype(np.int32) - shift)
            start = shift - LEAST
            self.counts[band, start : start + len(found)] += found

    def pairs(self) -> list[list[list[float]]]:
        """Value and count of every value that occurs, per band."""
        return [[[int(i) + LEAST, int(row[i])] for i in np.flatnonzero(row)] for row in self.counts]


class Binned:
    """Counts in equal bins between two values."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.step = low, (high - low) / BINS
        self.counts = np.zeros((3, BINS), np.int64)

    def add(self, band: int, values: NDArray[Any]) -> None:
        """Count finite values between the two."""
        index = ((values.astype(np.float64) - self.low) / self.step).astype(np.int64)
        self.counts[band] += np.bincount(np.minimum(index, BINS - 1), minlength=BINS)

    def pairs(self) -> list[list[list[float]]]:
        """Middle and count of every bin that is not empty, per band."""
        return [
            [[self.low + (int(i) + 0.5) * self.step, int(row[i])] for i in np.flatnonzero(row)]
            for row in self.counts
        ]


def valid_values(
    ds: gdal.Dataset, areas: Sequence[Window], label: str
) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """Read a plain strip window by window.

    Yields:
        The number of valid pixels and, for each of the three bands, their finite values, (n,).
    """
    for window in stage.progress(areas, label):
        data = [ds.GetRasterBand(number).ReadAsArray(*window) for number in (1, 2, 3)]
        valid = ds.GetRasterBand(4).ReadAsArray(*window) > 0
        count = int(valid.sum())
        if count < valid.size:
            data = [values[valid] for values in data]
        yield count, [_finite(values.ravel()) for values in data]


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values


def run(spec: dict[str, Any], stats: Path, threads: int = 1) -> None:
    """Write a strip's histograms; the same bytes for any number of threads.

    Raises:
        UserError: the strip cannot be read.
    """
    source.configure()
    raster = source.load(spec["aoi"], spec["strip"])
    try:
        is_sparse = spec["extent"] == "photos"
        with source.unchanged(spec["aoi"], [part.file for part in raster.parts]):
            keep = None if is_sparse else decoded_cache.beside(stats)
            result = count(raster, f"stats {spec['strip']['name']}", threads, is_sparse, keep)
    except (RuntimeError, RasterioError) as error:
        text = " ".join(str(error.__cause__ or error).split()).rstrip(".")
        raise UserError(
            f"AOI {spec['aoi']!r}: strip file {spec['strip']['path']} is damaged: {text}."
        ) from None
    head = {"aoi": spec["aoi"], "strip": spec["strip"]["name"], "bands": spec["strip"]["bands"]}
    whole = files.seal(head | result)
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), allow_nan=False)
    files.write_text(stats, text + "\n")
    log.info("%d of %d pixels are valid", result["valid"], result["pixels"])


def count(
    raster: Raster, label: str, threads: int = 1, is_sparse: bool = False, keep: Path | None = None
) -> dict[str, Any]:
    """Histograms of a strip, or of an even sample of its blocks.

    Args:
        raster: the strip.
        label: of the progress bar.
        threads: how many decode.
        is_sparse: a sample.
        keep: where all that was decoded is kept for `utm`, see :mod:`.decoded`.

    Returns:
        `dtype`, `pixels` of the strip, `valid` (how many pixels are counted), `binned` and
        `histogram`: for each band the sorted pairs of value and count.
    """
    found = single_file.plain(raster)
    valid, counts = (
        count_plain(found, label, threads, is_sparse, keep)
        if found
        else count_any(raster, label, is_sparse)
    )
    return {
        "dtype": raster.dtype,
        "pixels": raster.size[0] * raster.size[1],
        "valid": valid,
        "binned": isinstance(counts, Binned),
        "histogram": counts.pairs(),
    }


def count_plain(
    strip: single_file.Plain,
    label: str,
    threads: int,
    is_sparse: bool = False,
    keep: Path | None = None,
) -> tuple[int, Exact]:
    """Count a strip of one file of 8 or 16 bit numbers; each block is decoded once."""
    # One histogram a thread, so that none waits for another.
    free: queue.SimpleQueue[NDArray[np.int64]] = queue.SimpleQueue()
    for _ in range(threads):
        free.put(np.zeros((3, VALUES), np.int64))

    def add(unit: tuple[int, int]) -> int:
        data, counts = reader.bands(unit), free.get()
        pixels: int = blocks.counted(blocks.unsigned(data), strip.blank, counts)
        free.put(counts)
        if writer:
            writer.add(unit, data)
        return pixels

    with ExitStack() as stack:
        reader = stack.enter_context(blocks.opened(strip.file, strip, threads))
        writer = stack.enter_context(decoded_cache.keeping(keep, reader.layout())) if keep else None
        pool = stack.enter_context(ThreadPoolExecutor(threads))
        valid = 0
        for units in sparse.choices(reader.units(), is_sparse):
            valid += sum(stage.progress(pool.map(add, units), label, len(units)))
            if valid:
                break
    every = np.sum([free.get() for _ in range(threads)], axis=0)
    exact = Exact()
    if strip.signed:
        every = np.roll(every, VALUES // 2, axis=1)
    start = (0 if not strip.signed else -VALUES // 2) - LEAST
    exact.counts[:, start : start + VALUES] = every
    return valid, exact


def count_any(raster: Raster, label: str, is_sparse: bool = False) -> tuple[int, Exact | Binned]:
    """Count a strip of several files, with a mask or of other numbers."""
    ds = source.open_plain(raster)
    how = (raster.size, raster.parts[0].block)
    every = windows(*how, sparse.BLOCK_PX) if is_sparse else windows(*how)
    exact, valid = Exact(), 0
    for areas in sparse.choices(every, is_sparse):
        for pixels, data in valid_values(ds, areas, label):
            valid += pixels
            for band, values in enumerate(data):
                exact.add(band, values)
        if valid:
            break
    if exact.whole:
        return valid, exact
    binned = Binned(exact.low, exact.high)
    for _, data in valid_values(ds, areas, f"{label}, bins"):
        for band, values in enumerate(data):
            binned.add(band, values)
    return valid, binned


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = stage.arguments("stats", __doc__, outputs=["stats"], argv=argv)
    run(args.spec, args.stats, args.threads)


if __name__ == "__main__":
    stage.execute(main)
