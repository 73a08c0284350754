"""Scalars of a training as TensorBoard event files, where the package ``tensorboard`` is there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger(__name__)


class Events:
    """Event file of one run: each run adds a file to the folder, and TensorBoard shows them as one.

    Args:
        folder: where the file goes; None writes nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._writer = None if folder is None else _writer(folder)

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write the scalars of a step; they are in the file on return.

        Args:
            step: of the training.
            scalars: value by tag.
        """
        if self._writer is None or not scalars:
            return
        for tag, value in scalars.items():
            self._writer.add_scalar(tag, value, step)
        self._writer.flush()  # a job that is killed keeps its curves

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()


def _writer(folder: Path) -> SummaryWriter | None:
    """TensorBoard's writer; None, said in the log, where the package is not installed."""
    try:
        # Here, as the package is optional and takes 0.7 s to load.
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info("no TensorBoard files: `tensorboard` is not installed (extra witw[tensorboard])")
        return None
    return SummaryWriter(str(folder))
