"""Scalars of a training as TensorBoard event files, if the package ``tensorboard`` is installed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger(__name__)


class Events:
    """Event file of one run; TensorBoard joins the files of a folder.

    Args:
        folder: folder of the file; None: no file.
    """

    def __init__(self, folder: Path | None) -> None:
        self._writer = None if folder is None else _writer(folder)

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write and flush the scalars of a step.

        Args:
            step: step of the training.
            scalars: values by tag.
        """
        if self._writer is None or not scalars:
            return
        for tag, value in scalars.items():
            self._writer.add_scalar(tag, value, step)
        self._writer.flush()  # a job that is killed keeps its curves

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


def _writer(folder: Path) -> SummaryWriter | None:
    """Create TensorBoard's writer; without the package, log this and return None."""
    try:
        # Imported here because the package is optional and takes 0.7 s to load.
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info("no TensorBoard files: `tensorboard` is not installed (extra witw[tensorboard])")
        return None
    return SummaryWriter(str(folder))
