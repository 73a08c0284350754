"""Read packed splits in training order, one batch ahead."""

from __future__ import annotations

import queue
import threading
import zlib
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
from witw.geo import geocentric, squares


@dataclass(frozen=True)
class Packed:
    """One split as packed: pictures mapped from disk, and their table."""

    folder: Path
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
        return cls(folder, photos, chips, table)

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def sums(self) -> NDArray[np.int64]:
        """``(N, 2)`` CRC-32 of each row's photo and chip."""
        return self.table[["photo_crc", "chip_crc"]].to_numpy(dtype=np.int64)

    def pictures(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Photos and chips of some rows, as they were packed.

        Raises:
            UserError: one of them is not.
        """
        photos, chips = self.photos[rows], self.chips[rows]
        for row, photo, chip in zip(rows, photos, chips, strict=True):
            if (zlib.crc32(photo), zlib.crc32(chip)) != tuple(self.sums[row]):
                raise UserError(
                    f"{self.folder}: pictures of row {row} are damaged; delete the folder and run "
                    "again."
                )
        return photos, chips

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

    @cached_property
    def fov_deg(self) -> NDArray[np.float32]:
        """``(N,)`` field of view along each photo's long side, NaN where not known [degrees]."""
        return self.table["fov_deg"].to_numpy(dtype=np.float32, na_value=np.nan)

    @cached_property
    def lon_lat(self) -> NDArray[np.float64]:
        """``(N, 2)`` longitude and latitude, EPSG:4326 [degrees]."""
        return self.table[["lon", "lat"]].to_numpy(dtype=np.float64)

    @cached_property
    def positions(self) -> NDArray[np.float64]:
        """``(N, 3)`` points in space, which compare across areas and UTM zones [m]."""
        return geocentric(self.lon_lat[:, 0], self.lon_lat[:, 1])

    def buckets(self, edge_m: float) -> NDArray[np.int64]:
        """``(N,)`` number of the square of side ``edge_m`` each photo lies in; 0 m: one each.

        Photos of one square share a bucket whatever their areas.
        """
        if edge_m == 0:
            return np.arange(len(self))
        keys = squares(self.lon_lat[:, 0], self.lon_lat[:, 1], edge_m)
        return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)


@dataclass(frozen=True)
class Batch:
    """Pictures of some rows, as read: uint8, channels last."""

    photos: Tensor  # (B, photo_px, photo_px, 3)
    sizes: Tensor  # (B, 2)
    chips: Tensor  # (B, chip_px, chip_px, 3)
    position: Tensor  # (B, 3) in space [m]
    fov_deg: Tensor  # (B,), NaN where not known

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, rows: slice) -> Batch:
        """Some of the pairs."""
        return Batch(**{name: value[rows] for name, value in vars(self).items()})

    def pinned(self) -> Batch:
        """The batch in memory that a GPU fetches from by itself."""
        return Batch(**{name: value.pin_memory() for name, value in vars(self).items()})

    def to(self, device: torch.device) -> Batch:
        """The batch on ``device``; bytes travel, floats are made there."""
        if device.type == "cpu":
            return self
        return Batch(**{k: v.to(device, non_blocking=True) for k, v in vars(self).items()})


def read(data: Packed, rows: NDArray[np.int64], pin: bool = False) -> Batch:
    """Read some rows, as they are needed on a GPU if ``pin``.

    Raises:
        UserError: a picture is damaged.
    """
    photos, chips = data.pictures(rows)
    batch = Batch(
        torch.from_numpy(photos),
        torch.from_numpy(data.sizes[rows]),
        torch.from_numpy(chips),
        torch.from_numpy(data.positions[rows]),
        torch.from_numpy(data.fov_deg[rows]),
    )
    return batch.pinned() if pin else batch


def draw(buckets: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Rows of an epoch in the order of training: one of each bucket, drawn anew every epoch.

    A function of the arguments alone.
    """
    rows = np.random.default_rng([seed, epoch]).permutation(len(buckets))
    first = np.unique(buckets[rows], return_index=True)[1]
    return rows[np.sort(first)]


def split(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Cut rows into batches.

    Args:
        rows: of an epoch.
        size: rows a batch; the rest, less than a batch, is left to another epoch.

    Returns:
        Arrays of ``size`` rows; one smaller array if there are fewer rows.
    """
    size = min(size, len(rows))
    return np.split(rows[: len(rows) // size * size], len(rows) // size)


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
