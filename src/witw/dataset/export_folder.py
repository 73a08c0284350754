"""Export the data set in the layout of the original *Where in the World*, for the original's code.

``surface/{id}.jpg``, ``overhead/{id}.jpg``, ``dataset.csv``, ``train.csv`` and ``test.csv``.
Validation pairs, which the original draws from its training pairs, are in ``val.csv``;
``dataset.csv`` has all pairs. The original's code knows neither EXIF orientation nor pictures of
other than three bands, so such photos are written anew, upright and in RGB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from witw import files, stage
from witw.dataset.exports import chosen, note_ids
from witw.dataset.layout.tree import THREADS, link
from witw.errors import UserError
from witw.images.photo import is_plain, open_photo
from witw.sources.terms import terms

VERSION = 2
READS = ("areas",)
QUALITY = 95  # of the photos that are written anew

# In the original's order: its code finds the columns of paths by number.
COLUMNS = [
    "id", "author", "surface_license_code", "lat", "lon", "surface_url", "surface_height",
    "surface_width", "aoi", "aoi_name", "surface_license", "surface_license_url",
    "overhead_license", "overhead_license_url", "overhead_satellite", "surface_path",
    "overhead_path",
]  # fmt: skip


def run(spec: dict[str, Any], pairs: Path, folder: Path) -> None:
    """Write the folder; pictures are links to the data set's, or copies.

    Args:
        spec: ``areas``, the description of each AOI from the config.
        pairs: the data set's table.
        folder: output.

    Raises:
        UserError: there is no pair, or a picture is missing.
    """
    rows = chosen(pairs)
    table = layout(rows, spec["areas"])
    with files.atomic_dir(folder) as part:
        for kind, name in (("photo", "surface"), ("chip", "overhead")):
            targets = [part / path for path in table[f"{name}_path"]]
            link(zip(map(Path, rows[f"{kind}_path"]), targets, strict=True))
            if kind == "photo":
                _make_plain(targets)
        for split in ("train", "val", "test"):
            _write(part / f"{split}.csv", table[rows["split"] == split])
        _write(part / "dataset.csv", table)
        note_ids(part, rows)
    stage.log.info("%d pairs in the original's layout in %s", len(rows), folder)


def layout(rows: pd.DataFrame, areas: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return pairs as the original's table; ``aoi`` is the area's number, in order of names."""
    numbers = {name: n for n, name in enumerate(sorted(areas), start=1)}
    imagery = {name: terms(str(area["imagery_license"])) for name, area in areas.items()}
    out = pd.DataFrame(
        {
            "id": rows["id"],
            "author": rows["owner"],
            "surface_license_code": rows["license_id"],
            "lat": rows["lat"],
            "lon": rows["lon"],
            "surface_url": rows["url"],
            "surface_height": rows["photo_height"],
            "surface_width": rows["photo_width"],
            "aoi": [numbers[name] for name in rows["aoi"]],
            "aoi_name": rows["city"],
            "surface_license": rows["license"],
            "surface_license_url": rows["license_url"],
            "overhead_license": [imagery[name].name for name in rows["aoi"]],
            "overhead_license_url": [imagery[name].url for name in rows["aoi"]],
            "overhead_satellite": rows["satellite"],
            "surface_path": [f"surface/{i}.jpg" for i in rows["id"]],
            "overhead_path": [f"overhead/{i}.jpg" for i in rows["id"]],
        }
    )
    return out[COLUMNS]


def _make_plain(photos: Iterable[Path]) -> None:
    """Write photos anew that the original's code would read otherwise, or not at all."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(_plain, photos, chunksize=64))


def _plain(photo: Path) -> None:
    try:
        if is_plain(photo):
            return
        upright = open_photo(photo)
    except (OSError, ValueError) as error:
        raise UserError(
            f"photo {photo.stem} cannot be read ({error}); run again with `--forcerun download`."
        ) from error
    photo.unlink()  # a link to the data set's own
    upright.save(photo, "JPEG", quality=QUALITY)


def _write(path: Path, table: pd.DataFrame) -> None:
    files.write_text(path, table.to_csv(index=False, lineterminator="\n"))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    args = stage.arguments(
        "export_folder", __doc__, inputs=["pairs"], outputs=["folder"], argv=argv
    )
    run(args.spec, args.pairs, args.folder)


if __name__ == "__main__":
    stage.execute(main)
