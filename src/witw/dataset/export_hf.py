"""Export the data set as Parquet with pictures and a card, for the library `datasets`.

``data/{split}-00000-of-00007.parquet``, each of at most 500 MB, in the order of a hash of the ids;
columns of table ``pairs`` without paths and status, and ``photo`` and ``chip``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from witw import files, stage, tables
from witw.dataset.exports import chosen, mixed, note_ids, parts

VERSION = 2
READS = ()

MOST = 500_000_000  # bytes of pictures in a file
ROWS = 100  # rows per row group, which a reader holds in memory
KINDS = ("photo", "chip")
# pandas' dtypes as Arrow and `datasets` call them.
_TYPES = {
    "string": (pa.string(), "string"),
    "Int64": (pa.int64(), "int64"),
    "Int32": (pa.int32(), "int32"),
    "Int16": (pa.int16(), "int16"),
    "Float64": (pa.float64(), "float64"),
    "boolean": (pa.bool_(), "bool"),
}
_LEFT_OUT = ("photo_path", "chip_path", "status", "split")
COLUMNS = [name for name in tables.PAIRS if name not in _LEFT_OUT]
_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_NAMES = {"val": "validation"}  # as `datasets` calls it

_HEAD = """---
pretty_name: "witw: photos and the imagery around them"
license: other
license_name: per-photo
task_categories:
- image-feature-extraction
tags:
- geospatial
- cross-view-geolocalization
configs:
- config_name: default
  data_files:
{files}
---
"""


def run(pairs: Path, card: Path, example: Path, folder: Path, most: int = MOST) -> None:
    """Write the Parquet files and the card; equal pairs give equal bytes.

    Args:
        pairs: the data set's table.
        card: the data set's card.
        example: the picture of the card.
        folder: output.
        most: maximum bytes of pictures in a file.

    Raises:
        UserError: there is no pair, or a picture is missing.
    """
    rows = chosen(pairs)
    with files.atomic_dir(folder) as part:
        (part / "data").mkdir()
        lines = []
        for split, own in rows.groupby("split", sort=True):
            pieces = list(parts(mixed(own), most))
            for number, some in enumerate(pieces):
                name = f"{split}-{number:05d}-of-{len(pieces):05d}.parquet"
                _write(part / "data" / name, some)
            name = _NAMES.get(str(split), str(split))
            lines.append(f"  - split: {name}\n    path: data/{split}-*.parquet")
        head = _HEAD.format(files="\n".join(lines))
        files.write_text(part / "README.md", head + card.read_text(encoding="utf-8"))
        shutil.copyfile(example, part / example.name)
        note_ids(part, rows)
    stage.log.info("%d pairs as Parquet in %s", len(rows), folder)


def schema() -> pa.Schema:
    """Return the columns, with their features for `datasets`."""
    fields = [(name, _TYPES[tables.PAIRS[name].dtype][0]) for name in COLUMNS]
    told: dict[str, Any] = {
        name: {"dtype": _TYPES[tables.PAIRS[name].dtype][1], "_type": "Value"} for name in COLUMNS
    }
    told |= {kind: {"_type": "Image"} for kind in KINDS}
    metadata = {"huggingface": json.dumps({"info": {"features": told}})}
    return pa.schema(fields + [(kind, _PICTURE) for kind in KINDS], metadata=metadata)


def _write(path: Path, rows: pd.DataFrame) -> None:
    with pq.ParquetWriter(path, schema(), compression="zstd", write_page_checksum=True) as writer:
        for start in range(0, len(rows), ROWS):
            some = rows.iloc[start : start + ROWS]
            arrays = [pa.array(some[name], type=schema().field(name).type) for name in COLUMNS]
            for kind in KINDS:
                paths = [Path(path) for path in some[f"{kind}_path"]]
                pictures = [{"bytes": p.read_bytes(), "path": p.name} for p in paths]
                arrays.append(pa.array(pictures, _PICTURE))
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema()))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    args = stage.arguments(
        "export_hf", __doc__, inputs=["pairs", "card", "example"], outputs=["folder"], argv=argv
    )
    run(args.pairs, args.card, args.example, args.folder)


if __name__ == "__main__":
    stage.execute(main)
