"""Packed splits, the order of training, and pictures read one batch ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from witw import tables
from witw.errors import UserError


@dataclass(frozen=True)
class Packed:
    """One split as packed: pictures mapped from disk, and their table."""

    photos: NDArray[np.uint8]  # (N, photo_px, photo_px, 3)
    chips: NDArray[np.uint8]  # (N, chip_px, chip_px, 3)
    table: pd.DataFrame

    @classmethod
    def open(cls, folder: Path) -> Packed:
        """Map a folder written by the stage ``pack``.

        Raises:
            UserError: its files do not belong together.
        """
        table = tables.read(folder / "pairs.parquet", "pack")
        try:
            photos, chips = (
                np.load(folder / f"{n}.npy", mmap_mode="r") for n in ("photos", "chips")
            )
        except ValueError as error:
            raise UserError(f"{folder}: {error}; delete the folder and run again.") from error
        if not len(table) == len(photos) == len(chips):
            raise UserError(f"{folder}: arrays and table differ; delete the folder and run again.")
        return cls(photos, chips, table)

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def areas(self) -> NDArray[np.int64]:
        """``(N,)`` number of each row's area, in the order of their names."""
        return np.unique(self.table["aoi"].to_numpy(dtype=str), return_inverse=True)[1]

    @cached_property
    def places(self) -> NDArray[np.float64]:
        """``(N, 2)`` easting and northing in the area's UTM zone [m]."""
        return self.table[["easting", "northing"]].to_numpy(dtype=np.float64)

    @cached_property
    def sizes(self) -> NDArray[np.int32]:
        """``(N, 2)`` width and height of each photo inside its square [px]."""
        return self.table[["photo_width", "photo_height"]].to_numpy(dtype=np.int32)


@dataclass(frozen=True)
class Batch:
    """Pictures of some rows, as read: uint8, channels last."""

    photos: Tensor  # (B, photo_px, photo_px, 3)
    sizes: Tensor  # (B, 2)
    chips: Tensor  # (B, chip_px, chip_px, 3)
    area: Tensor  # (B,)
    place: Tensor  # (B, 2)

    def to(self, device: torch.device) -> Batch:
        """The batch on ``device``; bytes travel, floats are made there."""
        if device.type == "cpu":
            return self
        values = (self.photos, self.sizes, self.chips, self.area, self.place)
        return Batch(*(v.pin_memory().to(device, non_blocking=True) for v in values))


def read(data: Packed, rows: NDArray[np.int64]) -> Batch:
    """Read some rows."""
    return Batch(
        torch.from_numpy(data.photos[rows]),
        torch.from_numpy(data.sizes[rows]),
        torch.from_numpy(data.chips[rows]),
        torch.from_numpy(data.areas[rows]),
        torch.from_numpy(data.places[rows]),
    )


def order(count: int, size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Rows of every batch of an epoch, a function of the arguments alone.

    Args:
        count: rows there are.
        size: rows a batch; the rest, less than a batch, is left to another epoch.
        seed: seed of the run.
        epoch: number of the epoch.

    Returns:
        Arrays of ``size`` rows; one smaller array if there are fewer rows.
    """
    rows = np.random.default_rng([seed, epoch]).permutation(count)
    size = min(size, count)
    return np.split(rows[: count // size * size], count // size)


def ahead[T](items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Make ``items`` in a thread, ``depth`` ahead of their use; errors pass through."""
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[T | None, BaseException | None]) -> None:
        while not stop.is_set():
            try:
                ready.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((item, None))
                if stop.is_set():
                    return
            put((None, StopIteration()))
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
