"""Access to a Slurm cluster for tests: its job records, and Snakemake runs on it."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

REPO = Path(__file__).parents[2]
SECRET = "a1b2c3d4e5f60718293a4b5c6d7e8f90"


def command(*args):
    """Return the output of one of Slurm's programs."""
    done = subprocess.run(args, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def accounting():
    """Return whether this Slurm keeps its records in a database."""
    kind = re.search(r"AccountingStorageType\s*=\s*(\S+)", command("scontrol", "show", "config"))
    return kind[1] != "accounting_storage/none"


def records(folder):
    """Return the fields of every job submitted from a folder that the controller remembers."""
    lines = command("scontrol", "--oneliner", "show", "job").splitlines()
    jobs = [dict(re.findall(r"([\w/:]+)=(\S+)", line)) for line in lines if "JobId=" in line]
    own = [job for job in jobs if Path(job["WorkDir"]).resolve() == folder.resolve()]
    return {int(job["JobId"]): job for job in own}


def booked():
    """Return the fields of every job in the database, in the controller's words, by number."""
    fields = "jobidraw,state,reqtres,timelimitraw,partition,comment"
    # A requeued job has a record for each start; the last one is shown.
    text = command("sacct", "-X", "-n", "-P", "--starttime=now-1hours", "-o", fields)
    names = ["JobId", "JobState", "TRES", "Minutes", "Partition", "Comment"]
    rows = [dict(zip(names, line.split("|"), strict=True)) for line in text.splitlines()]
    return {int(row["JobId"]): row for row in rows}


def rule_of(job):
    """Return a job's rule from Snakemake's comment; '' without one."""
    found = re.match(r"(?:rule|group)_([a-z0-9]+)", job.get("Comment", ""))
    return found[1] if found else ""


def asked(job):
    """Return memory [MB], time limit [minutes], cores and GPUs of a job."""
    tres = dict(part.split("=") for part in job["TRES"].split(","))
    limit = int(job["Minutes"]) if "Minutes" in job else minutes(job["TimeLimit"])
    gpus = re.search(r"gpu[:=](\d+)", job.get("TresPerJob", "") + job["TRES"])
    memory = float(tres["mem"][:-1]) * {"M": 1, "G": 1024}[tres["mem"][-1]]
    return memory, limit, int(tres["cpu"]), int(gpus[1]) if gpus else 0


def minutes(limit):
    days, _, clock = limit.rpartition("-")
    hours, mins, _ = map(int, clock.split(":"))
    return (int(days or 0) * 24 + hours) * 60 + mins


def environment(**more):
    """Return the environment of a user who has activated the project's environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    passive = {"OMP_WAIT_POLICY": "PASSIVE"}  # jobs request eight threads on any machine
    return os.environ | {"FLICKR_API_KEY": SECRET, "PATH": path} | passive | more


def arguments(*targets):
    """Return Snakemake's arguments after the profile."""
    # The profile's waiting times are for a busy cluster; a cluster of one node responds at once.
    waits = ["--latency-wait", "20", "--slurm-init-seconds-before-status-checks", "2"]
    snakefile = ["--snakefile", str(REPO / "Snakefile")]
    return [*targets, *snakefile, "--jobs", "4", *waits]


def heed_interrupts():
    """Undo a shell's setting that makes background processes ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def started(folder, *more, **variables):
    """Run Snakemake in a folder, stopping it at the end; its output goes to snakemake.txt."""
    profile = ["--profile", str(REPO / "profiles" / "slurm")]
    with (folder / "snakemake.txt").open("a") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--printshellcmds", *more, *profile],
            cwd=folder,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            preexec_fn=heed_interrupts,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def wait_for(what, process=None, seconds=600):
    """Call until the result is true and return it; stop when a process ends."""
    for _ in range(seconds * 5):
        if found := what():
            return found
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the run ended ({process.returncode}) before {what.__name__}")
        time.sleep(0.2)
    raise AssertionError(f"{what.__name__}: not within {seconds} s")
