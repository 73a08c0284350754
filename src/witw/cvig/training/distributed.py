"""Processes of one training: sharding, gather, broadcast, all_reduce.

Processes are started by torchrun (which sets ``RANK`` and ``WORLD_SIZE``), or there is only one.
Each process encodes its part of a batch. Codes are gathered, so each process computes the loss of
the whole batch, and gradients are summed. The number of processes affects only the rounding of
sums. When one process ends with an error, all end, with the same sentence.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from witw import files, stage
from witw.cvig.training.heartbeat import beating
from witw.errors import UserError

# Time from the first process that has started to the last.
GATHERING = timedelta(minutes=10)
# The other processes wait while one mines hard batches or validates.
PATIENCE = timedelta(hours=2)


SAID = "witw/said"  # in the store: why a process ended


class LostError(UserError):
    """Another process of the training is gone."""


@dataclass(frozen=True)
class Machine:
    """Where a process runs."""

    name: str
    gpus: int
    processes: int


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
        with _together():
            dist.all_gather(parts, own.detach().contiguous())
        parts[self.rank] = own
        return parts

    def all_reduce(self, tensors: list[Tensor]) -> None:
        """Replace tensors by their sums over all processes."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _together():
            dist.all_reduce(flat)
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, part in zip(tensors, torch.split(flat, sizes), strict=True):
            tensor.copy_(part.view_as(tensor))

    def broadcast(self, value: Any) -> Any:
        """Return the first process's ``value``."""
        if self.size == 1:
            return value
        box = [value]
        with _together():
            dist.broadcast_object_list(box, src=0, group=self.control)
        return box[0]

    def any(self, value: bool) -> bool:
        """Return whether the value is true in any process."""
        if self.size == 1:
            return value
        count = torch.tensor(int(value))
        with _together():
            dist.all_reduce(count, group=self.control)
        return bool(count)


@contextmanager
def _together() -> Iterator[None]:
    """Guard what all processes do at once: an error there means that one of them is gone."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        stage.log.warning("connection lost: %s", _gist(error))
        raise LostError(
            "Another process of this training ended without saying why, or its machine is gone. "
            "Run the same command again: it goes on from checkpoints/."
        ) from error


@contextmanager
def connect() -> Iterator[Processes]:
    """Connect the processes that torchrun started, or return this process alone.

    At the end, each process waits for all others.

    Raises:
        UserError: they cannot work together, or another one has ended with this sentence.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes()
        return
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    here = Machine(socket.gethostname(), torch.cuda.device_count(), local)
    with _together():
        store, rank, size = next(rendezvous("env://", timeout=GATHERING))
        machines = _introduced(store, rank, size, here)
    check(machines)
    with beating(store, rank, [machine.name for machine in machines]):
        processes = Processes(rank, size, local, _group(store, rank, size))
        try:
            with _telling(store, f"Process {rank} on {here.name}"):
                yield processes
                processes.any(False)
        finally:
            dist.destroy_process_group()


def _introduced(store: Store, rank: int, size: int, here: Machine) -> list[Machine]:
    """Return the machine of every process, in the order of ranks."""
    keys = [f"witw/machine/{other}" for other in range(size)]
    store.set(keys[rank], json.dumps(asdict(here)))
    return [Machine(**json.loads(found)) for found in store.multi_get(keys)]


def check(machines: Sequence[Machine]) -> None:
    """Check that all processes have what they need.

    Args:
        machines: the machine of every process.

    Raises:
        UserError: a machine has fewer GPUs than processes, while it or another has any.
    """
    if not any(machine.gpus for machine in machines):
        return
    for machine in machines:
        if machine.gpus < machine.processes:
            raise UserError(
                f"{machine.name} has {machine.gpus} GPUs for {machine.processes} processes of this "
                "training: ask for as many on every node (resources `nodes` and `gpu`)."
            )


def _group(store: Store, rank: int, size: int) -> Any:
    """Connect all processes; return the group for small messages."""
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if backend == "nccl":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    shape: dict[str, Any] = {"store": store, "rank": rank, "world_size": size}
    try:
        dist.init_process_group(backend, timeout=PATIENCE, **shape)
        return dist.new_group(backend="gloo", timeout=PATIENCE)
    except RuntimeError as error:
        raise UserError(
            f"{socket.gethostname()} does not reach the other processes of this training "
            f"({_gist(error)}). Between nodes, name the network interface that joins them: "
            "export GLOO_SOCKET_IFNAME=eth0 NCCL_SOCKET_IFNAME=eth0."
        ) from error


@contextmanager
def _telling(store: Store, name: str) -> Iterator[None]:
    """Tell the other processes why this one ends; if they lose it, they repeat that."""
    try:
        with files.explained():
            yield
    except LostError as error:
        with suppress(RuntimeError):
            if store.check([SAID]):
                raise UserError(store.get(SAID).decode()) from error
        raise
    except Exception as error:
        said = str(error)
        if not isinstance(error, UserError):
            said = f"{name} of this training failed: {type(error).__name__}: {_gist(error)}"
        with suppress(RuntimeError):
            store.set(SAID, said)
        raise


def _gist(error: Exception) -> str:
    """Return the first sentence of an error."""
    return str(error).partition("\n")[0].partition(". ")[0]
