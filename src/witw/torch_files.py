"""Load torch files safely: CRC-checked, weights only."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch


def read(path: Path, where: torch.device) -> Any:
    """Load tensors and plain containers from a file of ``torch.save``.

    torch ignores the checksums that it writes, so a flipped bit would change a weight. Files of
    torch before 1.6 have no checksums.

    Args:
        path: the file.
        where: device of the tensors.

    Raises:
        Exception: the file is damaged, of another format, or contains code; torch raises a dozen
            types.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as parts:
            if (damaged := parts.testzip()) is not None:
                raise ValueError(f"the checksum of {damaged} does not match")
    return torch.load(path, map_location=where, weights_only=True)
