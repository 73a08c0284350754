"""Synthetic areas and a small training on a real Slurm, checked against its job records.

The training is preempted on the way (`scontrol requeue`, as a job of higher priority would). Then
it is done again over two nodes, of which one loses its processes.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from cluster import (
    SECRET,
    accounting,
    arguments,
    asked,
    booked,
    command,
    environment,
    records,
    rule_of,
    started,
    wait_for,
)

from witw import tables
from witw.config import load
from witw.demo.build import build, served

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

# Rule -> its request in rules/*.smk: memory [MB], time limit [minutes], cores, GPUs.
ASKED = {
    "search": (2000, 600, 1, 0),
    "download": (1000, 240, 1, 0),
    "scenes": (3000, 120, 2, 0),
    "stats": (2000, 240, 4, 0),
    "utm": (4000, 480, 4, 0),
    "chips": (2000, 120, 2, 0),
    "pack": (4000, 240, 4, 0),
    "train": (24000, 2880, 8, 1),
}
# Each job's own log.
LOGS = {"search": "*/search.log", "pack": "pack/*.log", "train": "train.log"}
LOCAL = ("shards", "stretch", "rgb8", "mosaic", "pairs", "dataset")


@pytest.fixture(scope="module")
def run(slurm, tmp_path_factory, free_port):
    """Return the run folder, the areas, and Slurm's records of this run's jobs."""
    folder = tmp_path_factory.mktemp("run")
    areas = [city.name for city in build(folder, cities=3, photos=12, port=free_port)]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["train"] |= {"epochs": 40, "batch": 4, "checkpoint_minutes": 1e-9}
    config["train"] |= {"learning_rate": 2e-4}  # at more, roundings grow to other losses
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    strip = load(config, "config.yaml").aois[areas[0]].strips[0].name
    for_gis = f"results/{areas[0]}/strips/{strip}.rgb8.vrt"  # no stage reads it
    targets = arguments("results/model/trained.safetensors", for_gis)
    with served(folder), started(folder, *targets) as process:

        def trains():
            log = folder / "logs" / "train.log"
            text = log.read_text() if log.is_file() else ""
            jobs = [n for n, job in records(folder).items() if rule_of(job) == "train"]
            return jobs if "epoch" in text else []

        (training,) = wait_for(trains, process)
        command("scontrol", "requeue", str(training))
        code = process.wait()
    assert code == 0, (folder / "snakemake.txt").read_text()[-5000:]
    return folder, areas, records(folder)


def losses(folder):
    lines = (folder / "results" / "model" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def kill_training_on(node, folder):
    """End a training's processes on one node, which all run on this machine, as its loss would."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            here = (process / "cwd").readlink() == folder.resolve()
            variables = (process / "environ").read_bytes().split(b"\0")
            trains = b"witw.cvig.train" in (process / "cmdline").read_bytes()
        except OSError:
            continue
        if here and trains and f"SLURMD_NODENAME={node}".encode() in variables:
            os.kill(int(process.name), signal.SIGKILL)


@pytest.fixture(scope="module")
def over_nodes(run):
    """Losses of one node, the run folder, what was said when a node was lost, and the jobs."""
    folder, _, before = run
    if "witw2" not in command("sinfo", "-h", "-N", "-o", "%N").split():
        pytest.skip("this Slurm is not the one of two nodes (tests/slurm/cluster.sh)")
    one = losses(folder)
    for kept in ("results/model", "checkpoints"):
        shutil.rmtree(folder / kept)
    log = folder / "logs" / "train.log"
    log.unlink()
    asked = ["train:nodes=2", "train:gpu=2", "train:slurm_partition=gpu"]
    target = arguments("results/model/trained.safetensors")

    def trains():
        return log.is_file() and '"epoch": 5' in log.read_text()

    def other_node_speaks():
        return [line for line in log.read_text().splitlines() if line.startswith("witw: ")]

    with started(folder, *target, "--set-resources", *asked) as process:
        wait_for(trains, process)
        kill_training_on("witw2", folder)
        said = wait_for(other_node_speaks, process, seconds=60)
        code = process.wait()
    assert code == 0, (folder / "snakemake.txt").read_text()[-5000:]
    jobs = [job for n, job in sorted(records(folder).items()) if n not in before]
    return one, folder, said, jobs


def test_all_areas_have_their_pairs(run):
    folder, areas, _ = run
    for area in areas:
        pairs = tables.read(folder / f"results/{area}/pairs.parquet", "pairs")
        assert (pairs["status"] == "paired").any()


def test_every_job_that_is_not_local_ran_on_slurm(run):
    folder, areas, jobs = run
    assert {job["JobState"] for job in jobs.values()} == {"COMPLETED"}
    ran = [rule_of(job) for job in jobs.values()]
    for rule in ASKED:
        logs = list((folder / "logs").glob(LOGS.get(rule, f"*/{rule}/*.log")))
        assert logs and ran.count(rule) == len(logs), rule
    for area in areas:
        assert [job for job in jobs.values() if area in job["Comment"] and rule_of(job) == "utm"]
    assert set(ran) == set(ASKED)
    text = (folder / "snakemake.txt").read_text()
    assert not [rule for rule in LOCAL if not re.search(rf"^    rule: {rule}", text, re.M)]


def test_every_job_had_the_resources_its_rule_asks_for(run):
    _, _, jobs = run
    for job in jobs.values():
        assert asked(job) == ASKED[rule_of(job)], job["Comment"]
        assert job["Partition"] == ("gpu" if rule_of(job) == "train" else "main"), job["Comment"]


def test_the_database_says_the_same(run):
    if not accounting():
        pytest.skip("this Slurm keeps no database (tests/slurm/cluster.sh start accounting)")
    _, _, jobs = run
    kept = booked()
    for number, job in jobs.items():
        assert kept[number]["JobState"] == "COMPLETED"
        assert kept[number]["Partition"] == job["Partition"]
        assert rule_of(kept[number]) == rule_of(job)
        assert asked(kept[number]) == asked(job)


def test_a_preempted_training_resumes_from_its_checkpoint(run):
    folder, _, jobs = run
    (training,) = [job for job in jobs.values() if rule_of(job) == "train"]
    assert int(training["Restarts"]) == 1
    assert "going on" in (folder / "logs" / "train.log").read_text()


def test_the_key_is_found_nowhere_in_the_run_folder(run):
    folder, _, _ = run
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert (folder / "logs").is_dir()
    assert (folder / ".snakemake").is_dir()
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_a_training_over_two_nodes_is_one_job_on_both(over_nodes):
    _, _, _, jobs = over_nodes
    assert [(rule_of(job), job["NumNodes"], job["Partition"]) for job in jobs] == [
        ("train", "2", "gpu")
    ] * 2
    assert jobs[-1]["NodeList"] == "witw[1-2]"
    assert jobs[-1]["TresPerNode"] == "gres:gpu:1"


def test_a_lost_node_fails_the_job_and_the_next_goes_on_to_the_same_end(over_nodes):
    one, folder, said, jobs = over_nodes
    assert [job["JobState"] for job in jobs] == ["FAILED", "COMPLETED"]
    assert "Another process of this training ended" in said[0]
    assert "going on from" in (folder / "logs" / "train.log").read_text()
    # Another order of summation: equal to 2e-6 in the first nine epochs, those after the loss of a
    # node among them. Every step lets the difference grow, on one CPU to 3e-3 by epoch 35.
    assert losses(folder)[:8] == pytest.approx(one[:8], rel=1e-4)
    assert losses(folder) == pytest.approx(one, rel=1e-2)


def test_more_nodes_than_the_job_has_are_refused(slurm, tmp_path):
    train = "python -m witw.cvig.train --nodes 2 --processes 0"
    arguments = ["sbatch", "--wait", "--nodes=1", "--mem=1000", f"--output={tmp_path}/log"]
    command_line = [*arguments, f"--chdir={tmp_path}", f"--wrap={train}"]
    done = subprocess.run(command_line, env=environment(), capture_output=True, check=False)
    assert done.returncode == 1
    assert (
        "witw: Resource `nodes` of rule `train` is 2, and Slurm job"
        in (tmp_path / "log").read_text()
    )
