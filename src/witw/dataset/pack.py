"""Pack a split's pairs into resized arrays that training maps into memory.

Three files: ``photos.npy`` and ``chips.npy``, uint8 of shape ``(N, side, side, 3)``, and a table
whose column ``row`` is the first index of both. The table differs wherever a picture does.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from witw import files, stage, tables
from witw.errors import UserError
from witw.images.photo import fov_deg, open_photo, whole
from witw.images.resize import letterbox, shrink
from witw.settings.pack import Pack
from witw.status import Status

VERSION = 4
READS = ("pack",)

SPLITS = ("test", "val", "train")  # a photo listed in several is packed in the first of them


def run(
    spec: dict[str, Any],
    split: str,
    pairs: Path,
    photos: Path,
    chips: Path,
    table: Path,
    threads: int = 1,
) -> pd.DataFrame:
    """Pack the paired photos of ``split``.

    Args:
        spec: holds section ``pack``.
        split: ``train``, ``val`` or ``test``.
        pairs: the data set's table; its paths are relative to the working folder.
        photos: output, ``(N, photo_px, photo_px, 3)`` uint8, see ``resize.letterbox``.
        chips: output, ``(N, chip_px, chip_px, 3)`` uint8, north up.
        table: output, table ``pack``.
        threads: pictures decoded at a time.

    Returns:
        The table.

    Raises:
        UserError: the split has no pair, or a picture cannot be read.
    """
    size = Pack.model_validate(spec["pack"])
    data = paired(tables.read(pairs, "pairs"), split)
    shape = (len(data), size.photo_px, size.photo_px, 3)
    with files.atomic(photos) as part:
        boxes, data["photo_crc"] = _fill(
            part, shape, _sources(data, "photo"), partial(_photo, side=size.photo_px), threads
        )
    shape = (len(data), size.chip_px, size.chip_px, 3)
    with files.atomic(chips) as part:
        _, data["chip_crc"] = _fill(
            part, shape, _sources(data, "chip"), partial(_chip, side=size.chip_px), threads
        )
    widths, heights, fovs = zip(*boxes, strict=True)
    data["photo_width"], data["photo_height"], data["fov_deg"] = widths, heights, fovs
    data["row"] = np.arange(len(data))
    return tables.write(table, "pack", data)


def paired(pairs: pd.DataFrame, split: str) -> pd.DataFrame:
    """Rows of a split that have photo and chip, each photo once, sorted by area and id.

    A photo that overlapping areas list has a row in each of them, so that each area's funnel adds
    up. It is packed once, else it would be learnt from twice: in the first of the areas by name,
    and only in the first of ``test``, ``val`` and ``train`` that lists it, else a photo of the test
    would be learnt from.

    Raises:
        UserError: there are none; says why.
    """
    rows = pairs[pairs["split"] == split]
    whole = pairs[pairs["status"] == Status.PAIRED].sort_values(["aoi", "id"])
    earlier = SPLITS[: SPLITS.index(split)] if split in SPLITS else ()
    kept = whole.loc[whole["split"].isin(earlier), "id"]
    own = whole[(whole["split"] == split) & ~whole["id"].isin(kept)]
    chosen = own.drop_duplicates("id").reset_index(drop=True)
    left_out = int((whole["split"] == split).sum()) - len(chosen)
    if left_out:
        stage.log.info(
            "%s: %d rows of photos that another area lists too are left out", split, left_out
        )
    if len(chosen):
        return chosen
    if rows.empty:
        why = f"no photo was listed in an area with `split: {split}`"
    else:
        fates = rows["status"].value_counts().sort_index()
        why = "of its photos, " + ", ".join(f"{n} are {fate!r}" for fate, n in fates.items())
    raise UserError(
        f"Split {split!r} has no pair to pack: {why}; give an area with pairs `split: {split}`."
    )


@dataclass(frozen=True)
class _Source:
    """A picture's file.

    Attributes:
        path: the file.
        sha256: its digest.
        rule: the rule that makes it.
        table: the table of its shard, which that rule writes.
    """

    path: Path
    sha256: str
    rule: str
    table: Path


def _sources(data: pd.DataFrame, kind: str) -> list[_Source]:
    """The photos' or the chips' files; chips lie in a folder of their shard's name."""
    rule, folder = {"photo": ("download", "photos"), "chip": ("chips", "chips")}[kind]
    shards = [Path(chip).parent for chip in data["chip_path"]]
    return [
        _Source(Path(path), digest, rule, shard.parent.parent / folder / f"{shard.name}.parquet")
        for path, digest, shard in zip(
            data[f"{kind}_path"], data[f"{kind}_sha256"].fillna(""), shards, strict=True
        )
    ]


def _fill[T](
    path: Path,
    shape: tuple[int, ...],
    sources: Sequence[_Source],
    picture: Callable[[_Source], tuple[NDArray[np.uint8], T]],
    threads: int,
) -> tuple[list[T], list[int]]:
    """Write ``picture(source)`` of every source into a .npy of ``shape``.

    Returns:
        What else it says of each, and CRC-32 of each picture's bytes.

    Threads suffice: Pillow decodes and resizes without the interpreter's lock.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)

    def place(item: tuple[int, _Source]) -> tuple[T, int]:
        row, source = item
        try:
            pixels, extra = picture(source)
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(
                f"{source.path} cannot be read ({error}); delete it, run `snakemake --cores 1 -R "
                f"{source.rule} {source.table}`, and then run again."
            ) from error
        array[row] = pixels
        return extra, zlib.crc32(np.ascontiguousarray(pixels))

    with ThreadPoolExecutor(max(1, threads)) as pool:
        done = list(stage.progress(pool.map(place, enumerate(sources)), "pack", total=len(sources)))
    array.flush()
    return [extra for extra, _ in done], [crc for _, crc in done]


def _photo(source: _Source, side: int) -> tuple[NDArray[np.uint8], tuple[int, int, float]]:
    photo = open_photo(source.path, source.sha256)
    square, width, height = letterbox(photo, side)
    return square, (width, height, fov_deg(source.path, *photo.size))


def _chip(source: _Source, side: int) -> tuple[NDArray[np.uint8], None]:
    with Image.open(io.BytesIO(whole(source.path, source.sha256))) as chip:
        return shrink(chip.convert("RGB"), side), None


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    args = stage.arguments(
        "pack",
        __doc__,
        inputs=["pairs"],
        outputs=["photos", "chips", "table"],
        values=["split"],
        argv=argv,
    )
    run(args.spec, args.split, args.pairs, args.photos, args.chips, args.table, args.threads)


if __name__ == "__main__":
    stage.execute(main)
