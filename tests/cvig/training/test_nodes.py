"""Two nodes of one training, each a torchrun of its own, on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from made_pairs import SMALL, SPEC

from witw.cvig import train
from witw.cvig.training import nodes
from witw.cvig.training.distributed import Machine, check
from witw.errors import UserError

# Average, mined batches, buckets, parts; every step is saved.
CHANGES = {"ema": 0.9, "hard_every": 1, "bucket_m": 900.0, "epochs": 4, "batch": 12}
CHANGES |= {"micro_batch": 3, "checkpoint_minutes": 1e-9}
SPEC_TEXT = json.dumps(SPEC | {"train": SMALL.model_copy(update=CHANGES).model_dump()})
WITHOUT_A_WORD = "witw: Another process of this training ended without saying why"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Node:
    """A node's torchrun with one process."""

    def __init__(self, folder, rank, port):
        self.log = folder / f"node{rank}.log"
        argv = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
        argv += [f"--node-rank={rank}", "--master-addr=127.0.0.1", f"--master-port={port}"]
        argv += ["-m", "witw.cvig.train", "--threads", "1", "--spec", SPEC_TEXT]
        files = {"train": "train", "val": "val", "model": "m.pt", "metrics": "m.jsonl"}
        for name, value in files.items():
            argv += [f"--{name}", str(folder / value)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(argv, stderr=log, cwd=folder)

    @property
    def text(self):
        return self.log.read_text()

    def end(self, seconds=300):
        """Exit status, and what it wrote."""
        return self.process.wait(seconds), self.text

    def kill(self):
        """As if the node lost its power, but that its connections are closed."""
        agent = self.process.pid
        workers = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
        for pid in (agent, *map(int, workers)):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def two_nodes(folder):
    port = free_port()
    both = [Node(folder, 0, port), Node(folder, 1, port)]
    try:
        yield both
    finally:
        for node in both:
            if node.process.poll() is None:
                node.kill()


def wait_until_trained(node, epochs):
    for _ in range(3000):
        if f'"epoch": {epochs}' in node.text:
            return
        assert node.process.poll() is None, node.text
        time.sleep(0.1)
    raise AssertionError(node.text)


def finish(folder):
    """Train on two nodes to the end; what the first wrote."""
    with two_nodes(folder) as both:
        ends = [node.end() for node in both]
    assert [code for code, _ in ends] == [0, 0], ends
    return ends[0][1]


def losses(path):
    return [json.loads(line)["loss"] for line in path.read_text().splitlines()]


@pytest.fixture
def expected(packs):
    """Losses of one process alone, whose result is not taken by the nodes."""
    settings = SMALL.model_copy(update=CHANGES | {"micro_batch": 0}).model_dump()
    outputs = packs / "one.pt", packs / "one.jsonl"
    train.run(SPEC | {"train": settings}, packs / "train", packs / "val", *outputs)
    return losses(outputs[1])


@pytest.mark.long
def test_two_nodes_train_as_one_process(packs, expected):
    text = finish(packs)
    assert losses(packs / "m.jsonl") == pytest.approx(expected, rel=2e-3)
    assert text.count('"epoch": 4') == 1


@pytest.mark.long
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_node_ends_the_other_and_the_next_start_goes_on(packs, expected, lost):
    with two_nodes(packs) as both:
        wait_until_trained(both[0], 2)
        both[lost].kill()
        code, text = both[1 - lost].end(seconds=120)
    assert code == 1
    assert WITHOUT_A_WORD in text
    assert not (packs / "m.jsonl").exists()
    assert "going on from" in finish(packs)
    assert losses(packs / "m.jsonl") == pytest.approx(expected, rel=2e-3)


@pytest.mark.long
def test_one_node_that_is_told_to_stop_stops_both_at_one_step(packs, expected):
    with two_nodes(packs) as both:
        wait_until_trained(both[0], 2)
        both[1].process.send_signal(signal.SIGTERM)
        ends = [node.end(seconds=120) for node in both]
    assert all(code for code, _ in ends)
    assert "stopped; the next run goes on from" in ends[0][1]
    assert "witw: " not in ends[0][1] + ends[1][1]
    (saved,) = (packs / "checkpoints").glob("*.pt")
    step = torch.load(saved, weights_only=True)["step"]
    assert f"at step {step} of " in finish(packs)
    assert losses(packs / "m.jsonl") == pytest.approx(expected, rel=2e-3)


SILENT = """
import os, signal, sys
from witw import stage
from witw.cvig.training import distributed, heartbeat
heartbeat.PULSE_S, heartbeat.SILENCE_S = 0.2, 4.0
def main():
    with distributed.connect() as processes:
        processes.any(False)
        if processes.rank == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGSTOP)
        processes.any(False)
stage.execute(main)
"""

FAILING = """
import sys
from witw import stage
from witw.cvig.training import distributed
from witw.errors import UserError
def main():
    with distributed.connect() as processes:
        processes.any(False)
        if processes.rank == 1:
            raise UserError("No bread.") if sys.argv[1] == "told" else KeyError("bread")
        processes.any(False)
stage.execute(main)
"""

APART = """
import os, sys
from pathlib import Path
from witw import stage
from witw.cvig.training import checkpoint, distributed
checkpoint.LATE_S = 0.0
def main():
    os.chdir(sys.argv[1 + int(os.environ["RANK"])])
    with distributed.connect() as processes:
        print(checkpoint.is_found(Path("checkpoints/a.pt"), processes))
stage.execute(main)
"""


def two_processes(script, *argv):
    """Start two processes of a training that know of each other, without torchrun."""
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    return [
        subprocess.Popen(
            [sys.executable, "-c", script, *map(str, argv)],
            env=os.environ | where | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


@pytest.mark.parametrize("silent", [pytest.param(0, marks=pytest.mark.long), 1])
def test_a_machine_that_falls_silent_ends_the_others(silent):
    """The first also holds what they tell each other by."""
    both = two_processes(SILENT, silent)
    try:
        _, text = both[1 - silent].communicate(timeout=120)
        assert both[1 - silent].returncode == 1
        assert f"witw: Nothing was heard for 4 s from {socket.gethostname()}" in text
    finally:
        both[silent].kill()
        both[silent].communicate()


def test_where_one_process_fails_the_others_say_why():
    for how, sentence in (("told", "No bread."), ("bug", "Process 1 on ")):
        both = two_processes(FAILING, how)
        ends = [process.communicate(timeout=120)[1] for process in both]
        assert [process.returncode for process in both] == [1, 1]
        assert f"witw: {sentence}" in ends[0]
    assert "failed: KeyError: 'bread'" in ends[0]
    assert "Traceback" in ends[1]


def test_nodes_without_a_common_folder_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
    (tmp_path / "a" / "checkpoints" / "a.pt").write_bytes(b"state")
    both = two_processes(APART, tmp_path / "a", tmp_path / "b")
    ends = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [1, 1]
    assert all("must lie on a disk that all of them share" in text for text in ends)
    both = two_processes(APART, tmp_path / "a", tmp_path / "a")
    assert [process.communicate(timeout=120)[0] for process in both] == ["True\n"] * 2


def test_nodes_with_too_few_gpus_are_named():
    check([Machine("a", 0, 1), Machine("b", 0, 1)])
    check([Machine("a", 4, 4), Machine("b", 8, 4)])
    with pytest.raises(UserError, match="b has 2 GPUs for 4 processes"):
        check([Machine("a", 4, 4), Machine("b", 2, 4)])
    with pytest.raises(UserError, match="b has 0 GPUs for 1 processes"):
        check([Machine("a", 1, 1), Machine("b", 0, 1)])


def test_nodes_share_out_gpus_and_batch():
    one = {"nodes": 1}
    assert nodes.resources("train", {}, 64) == one
    assert nodes.resources("train", {"gpu": 3, "nodes": 1}, 64) == one
    spread = nodes.resources("train", {"nodes": 2, "gpu": 8}, 64)
    assert spread["slurm_extra"] == "--gpus-per-node=4"
    assert "slurm_extra" not in nodes.resources("train", {"nodes": 2, "gpu": 0}, 64)
    with pytest.raises(UserError, match="`gpu` of rule `train` is 1, which 2 nodes cannot share"):
        nodes.resources("train", {"nodes": 2}, 64)
    with pytest.raises(UserError, match="66 cannot be shared out among the 8 processes"):
        nodes.resources("train", {"nodes": 2, "gpu": 8}, 66)
    with pytest.raises(UserError, match="`nodes` of rule `train` must be a whole number"):
        nodes.resources("train", {"nodes": "two"}, 64)


def test_nodes_need_a_slurm_job(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(UserError, match="this is not a Slurm job"):
        nodes.launch(0, 2, 8, [])
