"""Read packed splits in training order, with prefetching."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from witw.dataset.packed import Packed


@dataclass(frozen=True)
class Batch:
    """Pictures of some rows: uint8, channels last."""

    photos: Tensor  # (B, photo_px, photo_px, 3)
    sizes: Tensor  # (B, 2)
    chips: Tensor  # (B, chip_px, chip_px, 3)
    position: Tensor  # (B, 3) Cartesian [m]
    fov_deg: Tensor  # (B,), NaN if unknown

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, rows: slice) -> Batch:
        """Return some of the pairs."""
        return Batch(**{name: value[rows] for name, value in vars(self).items()})

    def pinned(self) -> Batch:
        """Return the batch in pinned memory."""
        return Batch(**{name: value.pin_memory() for name, value in vars(self).items()})

    def to(self, device: torch.device) -> Batch:
        """Return the batch on ``device``, still as bytes."""
        if device.type == "cpu":
            return self
        return Batch(**{k: v.to(device, non_blocking=True) for k, v in vars(self).items()})


def read(data: Packed, rows: NDArray[np.int64], pin: bool = False) -> Batch:
    """Read some rows, into pinned memory if ``pin``.

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


def draw(
    buckets: NDArray[np.int64],
    seed: int,
    epoch: int,
    owners: NDArray[np.int64] | None = None,
    cap: int = 0,
) -> NDArray[np.int64]:
    """Draw the rows of an epoch in training order.

    The result depends only on the arguments.

    Args:
        buckets: bucket of each row; one row is drawn per bucket.
        seed: seed of the training.
        epoch: number of the epoch, counted from 0.
        owners: owner of each row.
        cap: maximum number of rows per owner; 0: no limit.
    """
    rows = np.random.default_rng([seed, epoch]).permutation(len(buckets))
    if cap and owners is not None:
        # Before the buckets, because a capped row must not leave its bucket empty.
        rows = rows[_place_in_group(owners[rows]) < cap]
    first = np.unique(buckets[rows], return_index=True)[1]
    return rows[np.sort(first)]


def _place_in_group(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the earlier equal values of each value."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    place = np.empty(len(groups), np.int64)
    place[order] = np.arange(len(groups)) - np.repeat(starts, np.diff(np.r_[starts, len(groups)]))
    return place


def split(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Cut rows into batches.

    Args:
        rows: rows of an epoch.
        size: rows per batch; the incomplete last batch is dropped.

    Returns:
        Arrays of ``size`` rows; one smaller array if there are fewer rows.
    """
    size = min(size, len(rows))
    return np.split(rows[: len(rows) // size * size], len(rows) // size)


def ahead[T](items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Compute ``items`` in a thread, up to ``depth`` ahead; errors pass through."""
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
