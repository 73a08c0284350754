"""Load torch files safely: CRC-checked, weights only."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch


def read(path: Path, where: torch.device) -> Any:
    """Tensors and plain containers of a file that ``torch.save`` wrote.

    torch does not look at the checksums that it writes, so that a bit turned over would be another
    weight. Files in its format of before 1.6 have none.

    Args:
        path: the file.
        where: device of the tensors.

    Raises:
        Exception: of a dozen types, as torch has them, where the file is damaged, of another format
            or holds more than data.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as parts:
            if (damaged := parts.testzip()) is not None:
                raise ValueError(f"{damaged} is not what its checksum says")
    return torch.load(path, map_location=where, weights_only=True)
