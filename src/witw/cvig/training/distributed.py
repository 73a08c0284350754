"""Processes of one training: sharding, gather, broadcast, all_reduce.

Processes are started by torchrun (which sets ``RANK`` and ``WORLD_SIZE``), or there is only one.
Each process encodes its part of a batch. Codes are gathered, so each process computes the loss of
the whole batch, and gradients are summed. The number of processes affects only the rounding of
sums.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from witw.errors import UserError

# The other processes wait while one mines hard batches or validates.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class Processes:
    """The processes of a training, and the rank of this one."""

    rank: int = 0
    size: int = 1
    local: int = 1  # processes on this machine
    control: Any = None  # group for small things, on processors: it does not stop a GPU's queue

    @property
    def first(self) -> bool:
        """Whether this process validates, logs and writes."""
        return self.rank == 0

    def shard(self, count: int) -> slice:
        """Return this process's part of ``count`` rows.

        Raises:
            UserError: the rows cannot be divided evenly.
        """
        if count % self.size:
            raise UserError(
                f"A batch of {count} pairs cannot be shared out among {self.size} processes; "
                "choose `train.batch` accordingly."
            )
        share = count // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def gather(self, own: Tensor) -> list[Tensor]:
        """Gather the tensors of all processes, of equal shape, in the order of ranks."""
        if self.size == 1:
            return [own]
        parts = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(parts, own.detach().contiguous())
        parts[self.rank] = own
        return parts

    def all_reduce(self, tensors: list[Tensor]) -> None:
        """Replace tensors by their sums over all processes."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, part in zip(tensors, torch.split(flat, sizes), strict=True):
            tensor.copy_(part.view_as(tensor))

    def broadcast(self, value: Any) -> Any:
        """Return the first process's ``value``."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self.control)
        return box[0]

    def any(self, value: bool) -> bool:
        """Return whether the value is true in any process."""
        if self.size == 1:
            return value
        count = torch.tensor(int(value))
        dist.all_reduce(count, group=self.control)
        return bool(count)


@contextmanager
def connect() -> Iterator[Processes]:
    """Connect the processes that torchrun started, or return this process alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Processes()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        control = dist.new_group(backend="gloo", timeout=PATIENCE)
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        yield Processes(dist.get_rank(), dist.get_world_size(), local, control)
    finally:
        dist.destroy_process_group()
