"""Pack a split's pairs into resized arrays that training maps into memory.

Three files: ``photos.npy`` and ``chips.npy``, uint8 of shape ``(N, side, side, 3)``, and a table
whose column ``row`` is the first index of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from witw import stage, tables
from witw.errors import UserError
from witw.photos import open_photo
from witw.pictures import letterbox, shrink
from witw.settings import Pack
from witw.tables import Status

VERSION = 1
READS = ("pack",)


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
        photos: output, ``(N, photo_px, photo_px, 3)`` uint8, see :func:`witw.pictures.letterbox`.
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
    with stage.atomic(photos) as part:
        boxes = _fill(
            part, shape, list(data["photo_path"]), partial(_photo, side=size.photo_px), threads
        )
    shape = (len(data), size.chip_px, size.chip_px, 3)
    with stage.atomic(chips) as part:
        _fill(part, shape, list(data["chip_path"]), partial(_chip, side=size.chip_px), threads)
    data["photo_width"], data["photo_height"] = np.array(boxes, np.int32).T
    data["row"] = np.arange(len(data))
    return tables.write(table, "pack", data)


def paired(pairs: pd.DataFrame, split: str) -> pd.DataFrame:
    """Rows of a split that have photo and chip, sorted by area and id.

    Raises:
        UserError: there are none; says why.
    """
    rows = pairs[pairs["split"] == split]
    chosen = rows[rows["status"] == Status.PAIRED].sort_values(["aoi", "id"], ignore_index=True)
    if len(chosen):
        return chosen
    if rows.empty:
        why = f"no photo was listed in an AOI with `split: {split}`"
    else:
        fates = rows["status"].value_counts().sort_index()
        why = "of its photos, " + ", ".join(f"{n} are {fate!r}" for fate, n in fates.items())
    raise UserError(
        f"Split {split!r} has no pair to pack: {why}; give an AOI with pairs `split: {split}`."
    )


def _fill[T](
    path: Path,
    shape: tuple[int, ...],
    sources: Sequence[str],
    picture: Callable[[str], tuple[NDArray[np.uint8], T]],
    threads: int,
) -> list[T]:
    """Write ``picture(source)`` of every source into a .npy of ``shape``; return what else it says.

    Threads suffice: Pillow decodes and resizes without the interpreter's lock.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)

    def place(item: tuple[int, str]) -> T:
        row, source = item
        try:
            array[row], extra = picture(source)
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(
                f"{source} cannot be read ({error}); delete the table that lists it and run again."
            ) from error
        return extra

    with ThreadPoolExecutor(max(1, threads)) as pool:
        extras = list(
            stage.progress(pool.map(place, enumerate(sources)), "pack", total=len(sources))
        )
    array.flush()
    return extras


def _photo(path: str, side: int) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    square, width, height = letterbox(open_photo(Path(path)), side)
    return square, (width, height)


def _chip(path: str, side: int) -> tuple[NDArray[np.uint8], None]:
    with Image.open(path) as chip:
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
