"""Two made areas on a real Slurm: what its own records say of every job."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from witw import tables
from witw.demo.build import build, served

REPO = Path(__file__).parents[2]
SECRET = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
pytestmark = [pytest.mark.slurm, pytest.mark.workflow]

# rule -> what its job asks for, as rules/*.smk say: memory [MB], time limit [minutes], cores.
ASKED = {
    "search": (2000, 600, 1),
    "download": (1000, 240, 1),
    "scenes": (3000, 120, 2),
    "stats": (2000, 240, 4),
    "utm": (4000, 480, 4),
    "chips": (2000, 120, 1),
}
LOCAL = ("shards", "stretch", "rgb8", "mosaic", "pairs")


@pytest.fixture(scope="module")
def slurm():
    """Skips where no Slurm answers."""
    if not shutil.which("sinfo"):
        pytest.skip("no Slurm here: sinfo is not installed (tests/slurm/cluster.sh start)")
    done = subprocess.run(["sinfo", "-h"], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode or not done.stdout.strip():
        pytest.skip("no Slurm here: sinfo does not answer (tests/slurm/cluster.sh start)")


@pytest.fixture(scope="module")
def run(slurm, tmp_path_factory, free_port):
    """The run folder, the areas, and Slurm's records of the jobs this run submitted."""
    folder = tmp_path_factory.mktemp("run")
    areas = [city.name for city in build(folder, cities=2, photos=12, port=free_port)]
    before = set(records())
    with served(folder):
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--snakefile", REPO / "Snakefile"]
            + [f"results/{area}/pairs.parquet" for area in areas]
            # The profile's waits are for a busy cluster; a cluster of one node answers at once.
            + ["--profile", REPO / "profiles" / "slurm", "--jobs", "4", "--latency-wait", "20"]
            + ["--slurm-init-seconds-before-status-checks", "2"],
            cwd=folder,
            env=os.environ | {"FLICKR_API_KEY": SECRET},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (folder / "snakemake.txt").write_text(done.stdout + done.stderr)
    jobs = {number: job for number, job in records().items() if number not in before}
    return folder, areas, jobs


def records():
    """Number -> fields of every job Slurm remembers; a fresh cluster remembers none."""
    shown = subprocess.run(
        ["scontrol", "--oneliner", "show", "job"], capture_output=True, text=True, check=True
    ).stdout
    lines = [line for line in shown.splitlines() if line.startswith("JobId=")]
    return {
        int(line.split()[0].removeprefix("JobId=")): dict(re.findall(r"([\w/]+)=(\S+)", line))
        for line in lines
    }


def rule_of(job):
    return re.match(r"rule_([a-z0-9]+)", job["Comment"])[1]


def minutes(limit):
    days, _, clock = limit.rpartition("-")
    hours, mins, _ = map(int, clock.split(":"))
    return (int(days or 0) * 24 + hours) * 60 + mins


def test_both_areas_have_their_pairs(run):
    folder, areas, _ = run
    for area in areas:
        pairs = tables.read(folder / f"results/{area}/pairs.parquet", "pairs")
        assert (pairs["status"] == "paired").any()


def test_every_job_that_is_not_local_ran_on_slurm(run):
    folder, areas, jobs = run
    assert {job["JobState"] for job in jobs.values()} == {"COMPLETED"}
    ran = [rule_of(job) for job in jobs.values()]
    for rule in ASKED:
        assert ran.count(rule) == len(set((folder / "logs").glob(f"*/{rule}*/*.log"))) + len(
            set((folder / "logs").glob(f"*/{rule}.log"))
        ), rule
    for area in areas:
        assert [job for job in jobs.values() if area in job["Comment"] and rule_of(job) == "utm"]
    assert set(ran) == set(ASKED)
    text = (folder / "snakemake.txt").read_text()
    assert not [rule for rule in LOCAL if not re.search(rf"localrule {rule}", text)]


def test_every_job_had_the_resources_its_rule_asks_for(run):
    _, _, jobs = run
    for job in jobs.values():
        memory, runtime, cores = ASKED[rule_of(job)]
        asked = dict(part.split("=") for part in job["TRES"].split(","))
        assert asked["mem"] == f"{memory}M", job["Comment"]
        assert asked["cpu"] == str(cores), job["Comment"]
        assert minutes(job["TimeLimit"]) == runtime, job["Comment"]


def test_the_key_is_found_nowhere_in_the_run_folder(run):
    folder, _, _ = run
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert (folder / "logs").is_dir()
    assert (folder / ".snakemake").is_dir()
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
