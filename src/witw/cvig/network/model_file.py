"""The file of a model: safetensors, with everything that is known of the model in its metadata.

Metadata hold one key, ``witw``: a JSON object with its own checksum, whose members are told in
docs/locate.md. Nothing in the file is executed. Equal models give equal bytes; a second key would
spoil that, as the library writes keys in no fixed order.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from witw import __version__, files
from witw.errors import UserError

FORMAT = 1
KEY = "witw"
_MOST_HEADER = 100_000_000  # of safetensors itself
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_LFS = b"version https://git-lfs"


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a model.

    Args:
        path: output.
        tensors: by name; two names of one tensor are written once.
        facts: what is known of the model, JSON values.
    """
    distinct, same = _distinct(tensors)
    content = {
        **facts,
        "format": FORMAT,
        "written_by": f"witw {__version__}",
        "same": same,
        "tensors_crc32": _crc(distinct),
    }
    text = json.dumps(files.seal(content), sort_keys=True, allow_nan=False)
    with files.atomic(path) as part:
        save_file(distinct, part, metadata={KEY: text})


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a model.

    Returns:
        The facts, and the tensors by name, on the CPU.

    Raises:
        UserError: it is no such file, not whole, or of another version; says which.
    """
    facts = read_facts(path)
    try:
        distinct = load_file(path)
    except Exception as error:
        # The library's own errors share no base; the header has been checked.
        raise UserError(_damaged(path, "its tensors cannot be read")) from error
    if _crc(distinct) != facts.get("tensors_crc32"):
        raise UserError(_damaged(path, "its checksum is not that of its tensors"))
    same = facts.get("same", {})
    return facts, {**distinct, **{name: distinct[kept] for name, kept in same.items()}}


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
        raise UserError(_damaged(path, "its description is not what its checksum says")) from None
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
        raise UserError(_damaged(path, f"it ends after {size:,} bytes, within its header"))
    try:
        header: dict[str, Any] = json.loads(text)
        ends = [part["data_offsets"][1] for name, part in header.items() if name[:2] != "__"]
    except (ValueError, TypeError, KeyError, IndexError):
        raise UserError(_damaged(path, "its header is not readable")) from None
    whole = 8 + length + max(ends, default=0)
    if size < whole:
        raise UserError(_damaged(path, f"it holds {size:,} of {whole:,} bytes"))
    return header


def _damaged(path: Path, what: str) -> str:
    return f"{path} is damaged: {what}; delete it and run again, or fetch it again."


def _distinct(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors each once, and which name stands for which other."""
    first: dict[tuple[Any, ...], str] = {}
    kept, same = {}, {}
    for name, tensor in sorted(tensors.items()):
        key = (tensor.data_ptr(), tuple(tensor.shape), tensor.dtype) if tensor.numel() else (name,)
        if key in first:
            same[name] = first[key]
        else:
            first[key] = name
            # Cloned, as the library refuses tensors that share memory in any way.
            kept[name] = tensor.detach().cpu().contiguous().clone()
    return kept, same


def _crc(tensors: Mapping[str, Tensor]) -> str:
    value = 0
    for name, tensor in sorted(tensors.items()):
        value = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), value)
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy(), value)
    return f"{value:08x}"
