"""The data set's own files: hard links to photos and chips, or copies where links cannot be."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from witw import files
from witw.errors import UserError
from witw.status import Status

KINDS = ("photo", "chip")
# Both pictures exist; a pair excluded from this split may be a pair of a fold.
WHOLE = (Status.PAIRED.value, Status.SHARED.value)
THREADS = 8  # waiting for a network's disk, mostly


def lay(pairs: pd.DataFrame, photos: Path, chips: Path) -> pd.DataFrame:
    """Link the pictures of all pairs below the data set's folder.

    Args:
        pairs: table ``pairs``, paths relative to the working folder.
        photos: the folder for photos, written whole: ``{aoi}/{last two of the id}/{id}.jpg``.
        chips: the folder for chips: ``{aoi}/{shard}/{id}.jpg``.

    Returns:
        The table with paths relative to the folder that both lie in; null for a photo that is no
        pair.

    Raises:
        UserError: a file is missing.
    """
    has_files = pairs["status"].isin(WHOLE)
    out = pairs.copy()
    for kind, folder in zip(KINDS, (photos, chips), strict=True):
        name = f"{kind}_path"
        used = pairs.loc[has_files & pairs[name].notna(), ["aoi", name]]
        sources = [Path(path) for path in used[name]]
        below = [
            Path(str(aoi), source.parent.name, source.name)
            for aoi, source in zip(used["aoi"], sources, strict=True)
        ]
        with files.atomic_dir(folder) as part:
            link(zip(sources, (part / path for path in below), strict=True))
        out[name] = pd.Series(
            [str(folder.name / path) for path in below], index=used.index, dtype="string"
        ).reindex(out.index)
    return out


def size(folder: Path) -> tuple[int, int]:
    """Number of pictures below a folder, and their bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*.jpg")]
    return len(sizes), sum(sizes)


def link(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Make each second path a hard link to the first, or a copy where the disk has no links.

    Raises:
        UserError: a file is missing.
    """
    todo = list(pairs)
    for folder in sorted({target.parent for _, target in todo}):
        folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(_link, todo, chunksize=64))


def _link(pair: tuple[Path, Path]) -> None:
    source, target = pair
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise UserError(
            f"{source} is missing, though its table tells of it; run again with `--forcerun "
            "download chips`."
        ) from None
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
