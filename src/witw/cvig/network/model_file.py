"""Model file: safetensors with one metadata key.

The key ``witw`` is a JSON object with its own checksum; docs/locate.md describes its members.
Loading executes no code. Equal models give equal bytes. There is only one key because the library
writes several keys in random order.
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
from witw.model_facts import FORMAT, KEY, damaged, read_facts


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a model.

    Args:
        path: output.
        tensors: tensors by name; a tensor with two names is written once.
        facts: metadata of the model, JSON values.
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
        The metadata, and the tensors by name, on the CPU.

    Raises:
        UserError: the file is not a model, damaged, or of another version.
    """
    facts = read_facts(path)
    try:
        distinct = load_file(path)
    except Exception as error:
        # The library's errors share no base class; the header has already been checked.
        raise UserError(damaged(path, "its tensors cannot be read")) from error
    if _crc(distinct) != facts.get("tensors_crc32"):
        raise UserError(damaged(path, "its checksum is not that of its tensors"))
    same = facts.get("same", {})
    return facts, {**distinct, **{name: distinct[kept] for name, kept in same.items()}}


def _distinct(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return each tensor once, and the names of duplicates."""
    first: dict[tuple[Any, ...], str] = {}
    kept, same = {}, {}
    for name, tensor in sorted(tensors.items()):
        key = (tensor.data_ptr(), tuple(tensor.shape), tensor.dtype) if tensor.numel() else (name,)
        if key in first:
            same[name] = first[key]
        else:
            first[key] = name
            # Cloned, because the library refuses tensors that share memory.
            kept[name] = tensor.detach().cpu().contiguous().clone()
    return kept, same


def _crc(tensors: Mapping[str, Tensor]) -> str:
    value = 0
    for name, tensor in sorted(tensors.items()):
        value = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), value)
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy(), value)
    return f"{value:08x}"
