"""The manifest of a copy: which objects pushes put there, and with which content.

Two objects lie beside the files. ``.manifest.parquet`` exists only while the copy is complete.
``.manifest.partial.parquet`` exists during a push and after an interrupted one; it also lists the
files of which the push may not have got far enough. Readers of folders skip names with a dot.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from witw.errors import UserError

COMPLETE = ".manifest.parquet"
PARTIAL = ".manifest.partial.parquet"

_SOURCE = b"witw_source"
_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("e_tag", pa.string()),
    ]
)


class Entry(NamedTuple):
    """An object that a push put there, or was about to.

    Attributes:
        bytes: size of the file.
        sha256: of the file; None while the upload is not confirmed.
        e_tag: the store's own name of this content; None if it gives none.
    """

    bytes: int
    sha256: str | None = None
    e_tag: str | None = None


def dump(source: str, entries: Mapping[str, Entry]) -> bytes:
    """Return the bytes of a manifest.

    Args:
        source: the kind of folder: ``dataset``, or an export's name.
        entries: by path, relative to the address.
    """
    rows = [{"path": path, **entries[path]._asdict()} for path in sorted(entries)]
    schema = _SCHEMA.with_metadata({_SOURCE: source.encode()})
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), out, compression="zstd")
    return out.getvalue()


def load(data: bytes, where: str) -> tuple[str, dict[str, Entry]]:
    """Return the source and the entries of a manifest.

    Args:
        data: its bytes.
        where: its address, for the error.

    Raises:
        UserError: it is not a manifest.
    """
    try:
        table = pq.read_table(io.BytesIO(data))
        source = table.schema.metadata[_SOURCE].decode()
        columns = (table[name].to_pylist() for name in _SCHEMA.names)
        entries = {path: Entry(*rest) for path, *rest in zip(*columns, strict=True)}
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        raise UserError(
            f"{where} is not a manifest as a push writes it; delete the whole copy and push again."
        ) from None
    return source, entries
