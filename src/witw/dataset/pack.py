"""Pack a split's pairs at the network's input size, as JPEG in one Arrow file.

The table beside it changes with every picture. See :mod:`witw.dataset.packed`.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from witw import files, stage, tables
from witw.dataset import packed
from witw.dataset.overlap import SPLITS
from witw.dataset.packed import Pair
from witw.errors import UserError
from witw.images.photo import fov_deg, open_photo, whole
from witw.images.resize import fit, shrink
from witw.settings.pack import Pack
from witw.status import Status

VERSION = 5
READS = ("pack",)

COLUMNS = ["id", "aoi", "owner", "easting", "northing", "lat", "lon"]
AHEAD = 16  # pairs under way for each thread


def run(
    spec: dict[str, Any], split: str, pairs: Path, pictures: Path, table: Path, threads: int = 1
) -> pd.DataFrame:
    """Pack the paired photos of ``split``.

    Args:
        spec: section ``pack``.
        split: ``train``, ``val`` or ``test``.
        pairs: the data set's table; its paths are relative to its folder.
        pictures: output, photos and chips (north up) with the rows of the table, Arrow IPC.
        table: output, table ``pack``.
        threads: number of pairs packed in parallel.

    Returns:
        The table.

    Raises:
        UserError: the split has no pair, or a picture is unreadable.
    """
    size = Pack.model_validate(spec["pack"])
    data = paired(tables.read(pairs, "pairs"), split)
    rows = data[COLUMNS].to_dict("records")
    sources = (_sources(data, kind, pairs.parent) for kind in packed.KINDS)
    jobs = zip(rows, *sources, strict=True)
    with ThreadPoolExecutor(max(1, threads)) as pool, files.atomic(pictures) as part:
        done = _in_order(pool, partial(_pair, size), list(jobs), threads * AHEAD)
        shown = stage.progress(done, "pack", total=len(rows))
        packed_rows = packed.write(part, shown, size.photo_px, size.chip_px)
    return tables.write(table, "pack", packed_rows)


def paired(pairs: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return the rows of a split with photo and chip, each photo once, sorted by area and id.

    A photo in overlapping areas has a row in each of them, but is packed only once, so training
    does not use it twice: in the first area by name of the first of ``test``, ``val`` and ``train``
    that lists it, so training uses no photo of the test.

    Raises:
        UserError: the split has no such rows; gives the reason.
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
        path: the file in the data set.
        sha256: digest of the file.
        made: the original file that ``path`` is a link to or a copy of.
        rule: the rule that creates ``made``.
        table: the table of the photo's shard, an output of that rule.
    """

    path: Path
    sha256: str
    made: Path
    rule: str
    table: Path


def _sources(data: pd.DataFrame, kind: str, folder: Path) -> list[_Source]:
    """Return the files of photos or chips; chips are in a folder named after their shard."""
    rule, name = {"photo": ("download", "photos"), "chip": ("chips", "chips")}[kind]
    out = []
    for aoi, path, chip, digest in zip(
        data["aoi"], data[f"{kind}_path"], data["chip_path"], data[f"{kind}_sha256"].fillna(""),
        strict=True,
    ):  # fmt: skip
        top = Path("photos", aoi) if kind == "photo" else Path("results", aoi, "chips")
        made = top / Path(path).parent.name / Path(path).name
        table = Path("results", aoi, name, f"{Path(chip).parent.name}.parquet")
        out.append(_Source(folder / path, digest, made, rule, table))
    return out


def _in_order[A, T](
    pool: ThreadPoolExecutor, work: Callable[[A], T], items: Sequence[A], ahead: int
) -> Iterator[T]:
    """Yield ``work`` of every item, computed by the pool's threads up to ``ahead`` items ahead."""
    waiting: deque[Future[T]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= max(1, ahead):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _pair(size: Pack, job: tuple[dict[str, Any], _Source, _Source]) -> Pair:
    """Prepare one pair for packing. Libjpeg and Pillow release the interpreter's lock."""
    row, photo_file, chip_file = job
    with _named(photo_file):
        photo = open_photo(photo_file.path, photo_file.sha256)
        seen = fov_deg(photo_file.path, *photo.size)
        small = fit(photo, size.photo_px)
    with (
        _named(chip_file),
        Image.open(io.BytesIO(whole(chip_file.path, chip_file.sha256))) as chip,
    ):
        square = shrink(chip.convert("RGB"), size.chip_px)
    height, width = small.shape[:2]
    row = row | {"photo_width": width, "photo_height": height, "fov_deg": seen}
    bodies = (packed.encode(picture, size.jpeg_quality) for picture in (small, square))
    return Pair(row, *bodies)


@contextmanager
def _named(source: _Source) -> Iterator[None]:
    """Convert errors to a `UserError` with the unreadable file and the command to rebuild it."""
    try:
        yield
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(
            f"{source.path} cannot be read ({error}); delete it and {source.made}, run `snakemake "
            f"--cores 1 -R {source.rule} {source.table}`, and then run again with `-R dataset`."
        ) from error


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    args = stage.arguments(
        "pack",
        __doc__,
        inputs=["pairs"],
        outputs=["pictures", "table"],
        values=["split"],
        argv=argv,
    )
    run(args.spec, args.split, args.pairs, args.pictures, args.table, args.threads)


if __name__ == "__main__":
    stage.execute(main)
