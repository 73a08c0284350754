"""Export the data set as tars for the library `webdataset`.

``{split}-{number}.tar``, each of at most 500 MB, with ``{id}.photo.jpg``, ``{id}.chip.jpg`` and
``{id}.json`` (the row of table ``pairs``), in the order of a hash of the ids.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from witw import files, stage
from witw.dataset.exports import chosen, mixed, note_ids, parts

VERSION = 1
READS = ()

MOST = 500_000_000  # bytes of pictures in a tar


def run(pairs: Path, folder: Path, most: int = MOST) -> None:
    """Write the tars; equal pairs give equal bytes.

    Args:
        pairs: the data set's table.
        folder: output.
        most: maximum bytes of pictures in a tar.

    Raises:
        UserError: there is no pair, or a picture is missing.
    """
    rows = chosen(pairs)
    with files.atomic_dir(folder) as part:
        for split, own in rows.groupby("split", sort=True):
            for number, some in enumerate(parts(mixed(own), most)):
                _write(part / f"{split}-{number:06d}.tar", some)
        note_ids(part, rows)
    stage.log.info("%d pairs in tars in %s", len(rows), folder)


def _write(path: Path, rows: pd.DataFrame) -> None:
    told = rows.drop(columns=["photo_path", "chip_path", "status"]).astype(object)
    records = told.where(told.notna(), None).to_dict("records")
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for row, photo, chip in zip(records, rows["photo_path"], rows["chip_path"], strict=True):
            text = json.dumps(row, sort_keys=True, ensure_ascii=False)
            _add(tar, f"{row['id']}.chip.jpg", Path(chip).read_bytes())
            _add(tar, f"{row['id']}.json", text.encode())
            _add(tar, f"{row['id']}.photo.jpg", Path(photo).read_bytes())


def _add(tar: tarfile.TarFile, name: str, body: bytes) -> None:
    """Add a member without owner and time."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(body), 0o644
    tar.addfile(info, io.BytesIO(body))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    args = stage.arguments(
        "export_webdataset", __doc__, inputs=["pairs"], outputs=["folder"], argv=argv
    )
    run(args.pairs, args.folder)


if __name__ == "__main__":
    stage.execute(main)
