"""A small workflow, planned with the real rules and run with a stub `python`."""

import copy
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from planner import Planner

REPO = Path(__file__).parents[2]
KEY = "FLICKR_API_KEY"
# A job's command is `python -m witw.<stage> ... paths ...`. Snakemake removes outputs before a job,
# so the paths in a command line that do not exist yet are the outputs.
STUB = """#!/bin/sh
for path; do
    case $path in results/*|models/*) ;; *) continue ;; esac
    test -e "$path" && continue
    mkdir -p "$(dirname "$path")"
    case ${path##*/} in
        photos.parquet) head -c 2000000 /dev/zero > "$path" ;;
        *.*) echo made > "$path" ;;
        *) mkdir "$path" ;;
    esac
done
echo "key: ${FLICKR_API_KEY:+present}" >&2
"""
BASE = {
    # No server listens there: the key cannot be checked, and need not be.
    "flickr": {"api_url": "http://127.0.0.1:9/services/rest/"},
    "defaults": {"shards": 2, "scenes": {"checkpoint": "places.pth.tar"}},
    "aois": {
        "oslo": {"bbox_deg": [10.7, 59.9, 10.8, 59.95], "strips": ["strips/oslo.tif"]},
        "bern": {
            "bbox_deg": [7.4, 46.9, 7.5, 46.97],
            "strips": ["strips/bern_1.tif", "strips/bern_2.tif"],
            "split": "val",
        },
        "lima": {
            "bbox_deg": [-77.1, -12.1, -77.0, -12.0],
            "strips": ["strips/lima.tif"],
            "split": "test",
        },
    },
    "pack": {"chip_px": 128, "photo_px": 96},
}
PLANNER = Planner()


@dataclass(frozen=True)
class Run:
    """Result of a snakemake command: exit code, both outputs, and Snakemake's own log."""

    returncode: int
    stdout: str
    stderr: str
    log: str = ""

    @property
    def jobs(self):
        """Return `rule` or `rule:aoi` of every planned or run job, except `all`.

        Every other rule has a message that ends with them (rules/common.smk, `says`).
        """
        found = set()
        for rule, wildcards in re.findall(r"^ {4}rule: (\w+) (.*)$", self.text + self.log, re.M):
            aoi = re.search(r"\baoi=(\w+)", wildcards)
            found.add(f"{rule}:{aoi[1]}" if aoi else rule)
        return found

    @property
    def text(self):
        return self.stdout + self.stderr

    @property
    def complaints(self):
        return [line for line in self.stderr.splitlines() if line.startswith("witw: ")]


class Workplace:
    """A run folder with empty strips and a checkpoint, and Snakemake in it."""

    def __init__(self, folder):
        self.folder = folder
        self.bin = folder / "bin"
        if not folder.joinpath("config.yaml").exists():
            self._make()

    def _make(self):
        for name in ("oslo", "bern_1", "bern_2", "lima", "graz"):
            self.touch(f"strips/{name}.tif")
        self.touch("places.pth.tar")
        self.bin.mkdir()
        (self.bin / "python").write_text(STUB)
        (self.bin / "python").chmod(0o755)
        self.configure()

    def copy(self, folder):
        """Copy the folder with its times and Snakemake's records."""
        shutil.copytree(self.folder, folder)
        return Workplace(folder)

    def touch(self, name):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def configure(self, change=None, name="config.yaml"):
        """Write the config, after ``change`` has edited a copy of it in place."""
        config = copy.deepcopy(BASE)
        if change:
            change(config)
        path = self.folder / name
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path

    def environment(self, key="top-secret"):
        """Return the environment with the stub first on PATH; ``key`` None leaves the key unset."""
        environ = {k: v for k, v in os.environ.items() if not k.startswith("FLICKR_")}
        environ["PATH"] = f"{self.bin}:{Path(sys.executable).parent}:{environ['PATH']}"
        if key is not None:
            environ[KEY] = key
        return environ

    def snakemake(
        self,
        *args,
        key="top-secret",
        cwd=None,
        env=None,
        snakefile=REPO / "Snakefile",
        program=None,
    ):
        """Run snakemake as a user does, or a program that calls it."""
        environ = self.environment(key)
        command = [sys.executable, *([str(program)] if program else ["-m", "snakemake"])]
        if snakefile:
            command += ["--snakefile", str(snakefile)]
        before = set(self.logs())
        done = subprocess.run(
            [*command, *map(str, args)],
            cwd=cwd or self.folder,
            env=environ | (env or {}),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        log = "".join(path.read_text() for path in self.logs() if path not in before)
        return Run(done.returncode, done.stdout, done.stderr, log)

    def logs(self):
        """Return Snakemake's own log files of runs in the folder."""
        return sorted(self.folder.glob(".snakemake/log/*.log"))

    def plan(self, change=None, env=None):
        """Return the jobs that would run after ``change`` is made to the config."""
        path = self.configure(change, "changed.yaml")
        args = ["--snakefile", str(REPO / "Snakefile"), "-n", "--configfile", str(path)]
        args += ["--no-hooks"]  # the strips are empty
        done = Run(*PLANNER.run(args, self.folder, self.environment() | (env or {})))
        assert done.returncode == 0, done.stderr
        return done.jobs
