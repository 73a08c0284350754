"""Count every value of a strip's three bands in one read.

Numbers of 8 and 16 bits are counted exactly. Floats and 32-bit numbers are binned so that
percentiles are accurate to 1e-4 of the range between them (:mod:`.strip.counts`). The numbers are
those stored in the file; its declared scale and offset are recorded, and `stretch` applies them.
With `extent: photos` an even sample of blocks is counted instead (:mod:`.sparse`).
"""

from __future__ import annotations

import json
import logging
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from witw import files, stage
from witw.errors import UserError
from witw.imagery import sparse
from witw.imagery.strip import blocks, decoded_cache, source
from witw.imagery.strip.counts import Near, pairs
from witw.imagery.strip.decoded_cache import Unit
from witw.imagery.strip.eight_bit import VALUES, WHOLE
from witw.imagery.strip.vrt import Raster

VERSION = 2
READS = ("strip", "extent")

log = logging.getLogger("witw")


def run(spec: dict[str, Any], stats: Path, threads: int = 1) -> None:
    """Write a strip's histograms; the bytes do not depend on the number of threads.

    Raises:
        UserError: The strip cannot be read.
    """
    source.configure()
    raster = source.load(spec["aoi"], spec["strip"])
    try:
        is_sparse = spec["extent"] == "photos"
        with source.unchanged(spec["aoi"], source.local_files(raster)):
            keep = None if is_sparse else decoded_cache.beside(stats)
            result = count(raster, f"stats {spec['strip']['name']}", threads, is_sparse, keep)
    except (RuntimeError, RasterioError) as error:
        text = " ".join(str(error.__cause__ or error).split()).rstrip(".")
        raise UserError(
            f"Area {spec['aoi']!r}: strip file {spec['strip']['path']} is damaged: {text}; replace "
            "it and run again."
        ) from None
    head = {"aoi": spec["aoi"], "strip": spec["strip"]["name"], "bands": spec["strip"]["bands"]}
    whole = files.seal(head | result)
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), allow_nan=False)
    files.write_text(stats, text + "\n")
    log.info("%d of %d pixels are valid", result["valid"], result["pixels"])


def count(
    raster: Raster, label: str, threads: int = 1, is_sparse: bool = False, keep: Path | None = None
) -> dict[str, Any]:
    """Return the histograms of a strip, or of an even sample of its blocks.

    Args:
        raster: The strip.
        label: Label of the progress bar.
        threads: Number of decoding threads.
        is_sparse: Whether to count a sample only.
        keep: File for the decoded bands, for `utm`, see :mod:`.strip.decoded_cache`.

    Returns:
        `dtype`, `pixels` of the strip, `valid` (number of counted pixels), `binned` (numbers are
        not exact), `histogram` (for each band the sorted pairs of number and count), `scale` and
        `offset` of each band.
    """
    with blocks.opened(raster, threads) as reader:
        if raster.dtype in WHOLE:
            valid, counts = count_whole(reader, label, threads, is_sparse, keep)
            histogram, exact = pairs(counts, raster.dtype == "Int16"), True
        else:
            valid, near = count_near(reader, label, threads, is_sparse)
            histogram, exact = near.pairs()
    return {
        "dtype": raster.dtype,
        "pixels": raster.size[0] * raster.size[1],
        "valid": valid,
        "binned": not exact,
        "histogram": histogram,
        "scale": raster.scale,
        "offset": raster.offset,
    }


def every(
    reader: blocks.Reader, add: Callable[[Unit], int], label: str, threads: int, is_sparse: bool
) -> int:
    """Call ``add`` for every unit, or for a sample with the rest as a fallback; sum the results."""
    with ThreadPoolExecutor(threads) as pool:
        for units in sparse.choices(reader.units(), is_sparse):
            valid = sum(stage.progress(pool.map(add, units), label, len(units)))
            if valid:
                return valid
    return 0


def count_whole(
    reader: blocks.Reader, label: str, threads: int, is_sparse: bool, keep: Path | None
) -> tuple[int, NDArray[np.int64]]:
    """Count numbers of 8 or 16 bits, as unsigned, (3, 65536); each block is decoded once."""
    # One histogram per thread, so that threads do not wait for each other.
    free: queue.SimpleQueue[NDArray[np.int64]] = queue.SimpleQueue()
    for _ in range(threads):
        free.put(np.zeros((3, VALUES), np.int64))

    def add(unit: Unit) -> int:
        if reader.plain:
            data, counts = reader.bands(unit), free.get()
            pixels: int = blocks.counted(blocks.unsigned(data), reader.plain.blank, counts)
        else:
            (data, valid), counts = reader.layers(unit), free.get()
            pixels = blocks.counted_valid(blocks.unsigned(data), valid, counts)
        free.put(counts)
        if writer:
            writer.add(unit, data)
        return pixels

    with ExitStack() as stack:
        writer = None
        if keep is not None and reader.plain:
            writer = stack.enter_context(decoded_cache.keeping(keep, reader.layout()))
        valid = every(reader, add, label, threads, is_sparse)
    return valid, np.sum([free.get() for _ in range(threads)], axis=0)


def count_near(
    reader: blocks.Reader, label: str, threads: int, is_sparse: bool
) -> tuple[int, Near]:
    """Count floats and 32-bit numbers, a second time if the first count is too coarse."""
    near = Near()

    def add(unit: Unit) -> int:
        data, valid = reader.layers(unit)
        for band in range(3):
            near.add(band, data[band][valid].astype(np.float64))
        return int(np.count_nonzero(valid))

    valid = every(reader, add, label, threads, is_sparse)
    if pivots := near.better():
        near = Near(pivots)
        every(reader, add, f"{label}, again", threads, is_sparse)
    return valid, near


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage from the command line."""
    args = stage.arguments("stats", __doc__, outputs=["stats"], argv=argv)
    run(args.spec, args.stats, args.threads)


if __name__ == "__main__":
    stage.execute(main)
