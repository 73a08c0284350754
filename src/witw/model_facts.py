"""What the file of a model tells: its metadata and whether it is whole, without its tensors.

Apart from :mod:`witw.cvig.network.model_file`, which reads the tensors too: torch takes seconds to
import.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from witw import __version__, files
from witw.errors import UserError

FORMAT = 1
KEY = "witw"
_MOST_HEADER = 100_000_000  # of safetensors itself
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_LFS = b"version https://git-lfs"


def read_facts(path: Path) -> dict[str, Any]:
    """What a model's file tells of it; its tensors are not read.

    Raises:
        UserError: it is no such file, not whole, or of another version; says which.
    """
    header = _header(path)
    try:
        told = json.loads(header["__metadata__"][KEY])
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{path} is a safetensors file, but no model of witw: give the file that `train` or "
            "`release` wrote."
        ) from None
    try:
        facts: dict[str, Any] = files.unseal(told)
    except ValueError:
        raise UserError(damaged(path, "its description is not what its checksum says")) from None
    if facts.get("format") != FORMAT:
        raise UserError(
            f"{path} is of model format {facts.get('format')}, written by "
            f"{facts.get('written_by', 'another version')}; this is witw {__version__}, which "
            f"reads format {FORMAT}: install the witw that wrote it."
        )
    return facts


def _header(path: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file that has all its bytes."""
    try:
        with path.open("rb") as file:
            first = file.read(len(_LFS))
            size = file.seek(0, 2)
            length = int.from_bytes(first[:8], "little")
            file.seek(8)
            text = file.read(min(length, _MOST_HEADER))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give the file of a model.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; give the file of a model.") from None
    if first.startswith(_LFS):
        raise UserError(f"{path} is a pointer of Git LFS, not the model: run `git lfs pull`.")
    if first.startswith(_PICKLES):
        raise UserError(f"{path} is a pickle of torch; a model of witw is a safetensors file.")
    if length > _MOST_HEADER or not text.startswith(b"{"):
        raise UserError(f"{path} is no model of witw: it is not a safetensors file.")
    if len(text) < length:
        raise UserError(damaged(path, f"it ends after {size:,} bytes, within its header"))
    try:
        header: dict[str, Any] = json.loads(text)
        ends = [part["data_offsets"][1] for name, part in header.items() if name[:2] != "__"]
    except (ValueError, TypeError, KeyError, IndexError):
        raise UserError(damaged(path, "its header is not readable")) from None
    whole = 8 + length + max(ends, default=0)
    if size < whole:
        raise UserError(damaged(path, f"it holds {size:,} of {whole:,} bytes"))
    return header


def damaged(path: Path, what: str) -> str:
    """The sentence that says what is damaged, and what to do."""
    return f"{path} is damaged: {what}; delete it and run again, or fetch it again."
