"""Start the processes of a training, on this machine or on several nodes of a Slurm job.

Every node runs one torchrun, as a single machine does. `srun` starts them, because Slurm then knows
all processes of the job: it signals them at a preemption and ends them when the job ends. The first
node is Slurm's first, by the address under which Slurm itself reaches it. No torch here: the
Snakefile reads this file for every job.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from witw.errors import UserError

# What is left of a training when one node's part has ended: time to say so and end by itself [s].
GRACE_S = 120


def resources(rule: str, asked: Mapping[str, Any], batch: int) -> dict[str, Any]:
    """Return the resources of a training's job beside the usual ones; for one node only ``nodes``.

    Slurm's plugin for Snakemake gives a job several nodes only as one of MPI, which is one that
    starts its own `srun`, and takes ``tasks`` for tasks a GPU unless told otherwise.

    Args:
        rule: its name.
        asked: what a profile or ``--set-resources`` says of the rule.
        batch: pairs a step, see `train.batch`.

    Raises:
        UserError: the GPUs cannot be shared out among the nodes, or the batch among processes.
    """
    nodes = _count(rule, "nodes", asked)
    if nodes < 2:
        return {"nodes": 1}
    gpus = _count(rule, "gpu", asked)
    total = nodes * per_node(gpus, nodes, rule)
    if batch % total:
        raise UserError(
            f"`train.batch` {batch} cannot be shared out among the {total} processes that "
            f"resources `nodes` and `gpu` of rule `{rule}` ask for; change one of them."
        )
    spread: dict[str, Any] = {"nodes": nodes, "tasks": nodes, "tasks_per_gpu": 0, "mpi": "srun"}
    if gpus:  # otherwise Slurm may give a node more of the GPUs than another
        spread["slurm_extra"] = f"--gpus-per-node={gpus // nodes}"
    return spread


def per_node(processes: int, nodes: int, rule: str = "train") -> int:
    """Return the number of processes of each node, at least one.

    Raises:
        UserError: they cannot be shared out evenly.
    """
    if processes % nodes:
        raise UserError(
            f"Resource `gpu` of rule `{rule}` is {processes}, which {nodes} nodes cannot share "
            f"evenly; it counts the GPUs of all nodes: set e.g. {rule}:gpu={nodes}, or 0 to "
            "train on processors."
        )
    return max(1, processes // nodes)


def _count(rule: str, name: str, asked: Mapping[str, Any]) -> int:
    """Return a resource of a rule; 1 if it is not given."""
    value = asked.get(name, 1)
    if not re.fullmatch(r"\d+", str(value)):
        raise UserError(
            f"Resource `{name}` of rule `{rule}` must be a whole number, not {value!r}."
        )
    return int(value)


def launch(processes: int, nodes: int, threads: int, argv: Sequence[str]) -> None:
    """Become torchrun with all processes, or a step of this Slurm job with a torchrun a node.

    Args:
        processes: of all nodes together; 0: one a node.
        nodes: of the Slurm job.
        threads: CPU threads of a node.
        argv: command line of the stage.

    Raises:
        UserError: this process is not in a Slurm job of so many nodes.
    """
    module = ["-m", "witw.cvig.train", "--threads", str(threads), *argv]
    torchrun = [sys.executable, "-m", "torch.distributed.run"]
    count = f"--nproc-per-node={per_node(processes, nodes)}"
    if nodes == 1:
        command = [*torchrun, "--standalone", count, *module]
    else:
        job, address = _first_node(nodes)
        step = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
        step += [f"--cpus-per-task={threads}", f"--wait={GRACE_S}", "--input=none"]
        # Of all variables only Slurm's differ from node to node; torchrun takes its rank from this.
        ranked = ["sh", "-c", 'export PET_NODE_RANK="$SLURM_PROCID"; exec "$@"', "node"]
        where = [f"--master-addr={address}", f"--master-port={_free_port()}", f"--rdzv-id={job}"]
        command = ["srun", *step, *ranked, *torchrun, f"--nnodes={nodes}", count, *where, *module]
    os.execvp(command[0], command)  # noqa: S606 - signals then go straight to it


def _first_node(nodes: int) -> tuple[str, str]:
    """Return the number of this Slurm job and the address of its first node."""
    job = os.environ.get("SLURM_JOB_ID")
    if not job:
        raise UserError(
            f"Resource `nodes` of rule `train` is {nodes}, but this is not a Slurm job: run "
            "`snakemake --profile profiles/slurm`, or leave out `nodes`."
        )
    found = _fields("job", job)
    if int(found["NumNodes"]) < nodes:
        raise UserError(
            f"Resource `nodes` of rule `train` is {nodes}, and Slurm job {job} has "
            f"{found['NumNodes']} ({found['NodeList']}): ask Slurm for as many."
        )
    return job, _fields("node", found["BatchHost"])["NodeAddr"]


def _fields(kind: str, name: str) -> dict[str, str]:
    """Return the fields that Slurm shows for a job or a node."""
    command = ["scontrol", "--oneliner", "show", kind, name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise UserError(f"Slurm does not answer about {kind} {name}: {done.stderr.strip()}")
    return dict(re.findall(r"(\S+?)=(\S+)", done.stdout))


def _free_port() -> int:
    """Return a port that is free on this machine, the first node."""
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])
