"""Faults on a cluster, on one synthetic area, and a rerun that gives the same tables.

One run meets, in this order: `scancel` of a job, Ctrl-C of Snakemake, and, resumed as a job
(profiles/slurm/run.sbatch), a job that is killed for its memory. The scores of two shards run as
one job, a group.
"""

import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from cluster import (
    REPO,
    arguments,
    asked,
    command,
    environment,
    records,
    rule_of,
    started,
    wait_for,
)

from witw.demo.build import build, served

pytestmark = [pytest.mark.slurm, pytest.mark.workflow]
GROUPED = ["--groups", "scenes=scenes", "--group-components", "scenes=2"]


def tables_of(folder):
    """Return the bytes of every table of the results, and of the chips, by name."""
    results = folder / "results"
    kinds = [path for kind in ("parquet", "jpg", "tif") for path in results.rglob(f"*.{kind}")]
    return {str(path.relative_to(results)): path.read_bytes() for path in kinds}


def local_run(folder, target):
    """Run the same without faults and without Slurm."""
    done = subprocess.run(
        ["snakemake", "--cores", "2", "--snakefile", REPO / "Snakefile", target],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def trouble(slurm, tmp_path_factory, free_port):
    """Return the run folder, one without faults, and the jobs of each part of the run."""
    smooth, folder = tmp_path_factory.mktemp("smooth"), tmp_path_factory.mktemp("run")
    (area,) = [city.name for city in build(smooth, cities=1, photos=12, port=free_port)]
    config = yaml.safe_load((smooth / "config.yaml").read_text())
    config["aois"][area] |= {"shards": 2, "strips": config["aois"][area]["strips"][:1]}
    (smooth / "config.yaml").write_text(yaml.safe_dump(config))
    shutil.copytree(smooth, folder, dirs_exist_ok=True)
    target, marks = f"results/{area}/pairs.parquet", tmp_path_factory.mktemp("marks")
    variables = {"PYTHONPATH": str(Path(__file__).parent / "trouble"), "WITW_TROUBLE": str(marks)}

    def utm_runs():
        waits = (marks / "witw.imagery.utm").exists()
        jobs = [n for n, job in records(folder).items() if rule_of(job) == "utm"]
        return jobs if waits else []

    def utm_is_done_and_download_runs():
        done = (folder / f"results/{area}/mosaic.vrt").exists()
        return done and (marks / "witw.sources.download").exists()

    def nothing_runs():
        alive = ("PENDING", "RUNNING", "COMPLETING")
        return not [job for job in records(folder).values() if job["JobState"] in alive]

    with served(smooth):
        with started(folder, *arguments(target), *GROUPED, **variables) as process:
            (stopped,) = wait_for(utm_runs, process)
            command("scancel", str(stopped))
            wait_for(utm_is_done_and_download_runs, process)
            process.send_signal(signal.SIGINT)
            interrupted = process.wait(timeout=120)
        wait_for(nothing_runs)
        first = records(folder)
        script = REPO / "profiles" / "slurm" / "run.sbatch"
        profile = {"WITW_PROFILE": str(REPO / "profiles" / "slurm")}
        done = subprocess.run(
            ["sbatch", "--wait", script, *arguments(target), *GROUPED],
            cwd=folder,
            env=environment(**profile, **variables),
            stdin=subprocess.DEVNULL,
            check=False,
        )
        logs = [path.read_text() for path in folder.glob("witw-*.log")]
        assert done.returncode == 0, logs
        local_run(smooth, target)
    second = {n: job for n, job in records(folder).items() if n not in first}
    return folder, smooth, interrupted, stopped, first, second


def test_a_cancelled_job_is_retried(trouble):
    _, _, _, stopped, first, _ = trouble
    states = [job["JobState"] for number, job in first.items() if rule_of(job) == "utm"]
    assert first[stopped]["JobState"] in ("CANCELLED", "FAILED")
    assert states.count("COMPLETED") == 1


def test_an_interrupted_run_ends_its_jobs(trouble):
    _, _, interrupted, _, first, _ = trouble
    assert interrupted != 0
    (download,) = [job for job in first.values() if rule_of(job) == "download"]
    assert download["JobState"] in ("CANCELLED", "FAILED")


def test_a_job_killed_for_its_memory_is_retried_with_more(trouble):
    _, _, _, _, _, second = trouble
    jobs = [job for _, job in sorted(second.items()) if rule_of(job) == "chips"]
    killed = [asked(job)[0] for job in jobs if job["JobState"] in ("FAILED", "OUT_OF_MEMORY")]
    assert killed == [2000]
    assert sorted(asked(job)[0] for job in jobs if job["JobState"] == "COMPLETED") == [2000, 4000]


def test_short_jobs_can_run_as_one(trouble):
    folder, _, _, _, _, second = trouble
    assert [job["JobState"] for job in second.values() if rule_of(job) == "scenes"] == ["COMPLETED"]
    assert len(list(folder.glob("results/*/scenes/*.parquet"))) == 2


def test_snakemake_itself_ran_as_a_job(trouble):
    _, _, _, _, _, second = trouble
    (outer,) = [job for job in second.values() if job["JobName"] == "witw"]
    assert outer["JobState"] == "COMPLETED"


def test_the_rerun_ends_in_the_same_bytes(trouble):
    folder, smooth, *_ = trouble
    expected = tables_of(smooth)
    assert expected
    assert tables_of(folder) == expected


def test_nothing_half_written_is_left(trouble):
    folder, *_ = trouble
    names = {path.name for path in (folder / "results").rglob("*")}
    assert not [name for name in names if ".part" in name]
