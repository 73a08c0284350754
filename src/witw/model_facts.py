"""Read and check the metadata of a model file, without its tensors.

:mod:`witw.cvig.network.model_file` reads the tensors. It is separate, because importing torch takes
seconds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from witw import __version__, files
from witw.errors import UserError

FORMAT = 1
KEY = "witw"
_MOST_HEADER = 100_000_000  # limit of safetensors itself [bytes]
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_LFS = b"version https://git-lfs"


def read_facts(path: Path) -> dict[str, Any]:
    """Read the metadata of a model file; its tensors are not read.

    Raises:
        UserError: the file is not a model, damaged, or of another version.
    """
    header = _header(path)
    try:
        told = json.loads(header["__metadata__"][KEY])
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{path} is a safetensors file, but not a model of witw: give the file that `train` or "
            "`release` wrote."
        ) from None
    try:
        facts: dict[str, Any] = files.unseal(told)
    except ValueError:
        raise UserError(damaged(path, "the checksum of its metadata does not match")) from None
    if facts.get("format") != FORMAT:
        raise UserError(
            f"{path} has model format {facts.get('format')}, written by "
            f"{facts.get('written_by', 'another version')}; this is witw {__version__}, which "
            f"reads format {FORMAT}: install the version that wrote the file."
        )
    return facts


def _header(path: Path) -> dict[str, Any]:
    """Read the JSON header of a safetensors file, and check the file's length."""
    try:
        with path.open("rb") as file:
            first = file.read(len(_LFS))
            size = file.seek(0, 2)
            length = int.from_bytes(first[:8], "little")
            file.seek(8)
            text = file.read(min(length, _MOST_HEADER))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give a model file.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; give a model file.") from None
    if first.startswith(_LFS):
        raise UserError(f"{path} is a pointer of Git LFS, not the model: run `git lfs pull`.")
    if first.startswith(_PICKLES):
        raise UserError(f"{path} is a torch pickle; give a safetensors file that witw wrote.")
    if length > _MOST_HEADER or not text.startswith(b"{"):
        raise UserError(
            f"{path} is not a model of witw: it is not a safetensors file; give the file that "
            "`train` or `release` wrote."
        )
    if len(text) < length:
        raise UserError(damaged(path, f"it ends after {size:,} bytes, within its header"))
    try:
        header: dict[str, Any] = json.loads(text)
        ends = [part["data_offsets"][1] for name, part in header.items() if name[:2] != "__"]
    except (ValueError, TypeError, KeyError, IndexError):
        raise UserError(damaged(path, "its header is not readable")) from None
    whole = 8 + length + max(ends, default=0)
    if size < whole:
        raise UserError(damaged(path, f"it has {size:,} of {whole:,} bytes"))
    return header


def damaged(path: Path, what: str) -> str:
    """Return the error message for a damaged file, with the remedy."""
    return f"{path} is damaged: {what}; delete it and run again, or fetch it again."
