"""A small synthetic city in a run folder, with Snakemake and tools to disturb it."""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from witw.demo.build import build
from witw.demo.city.cities import CHECKPOINT

REPO = Path(__file__).parents[1]
KEY = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
AREA = "alder"  # two strips, two shards
WORLD = {"cities": 1, "photos": 10, "half_m": 50.0}
TWO_CITIES = {"cities": 2, "photos": 12, "half_m": 70}
PAIRS = f"results/{AREA}/pairs.parquet"
TREES = ("results", "photos")
PATIENCE_S = 400


class Done:
    """Result of a command: exit code, output, and the logs of the jobs that failed."""

    def __init__(self, returncode, text):
        self.returncode, self.text = returncode, text

    @property
    def complaints(self):
        return sorted(set(re.findall(r"^\s*(witw: .*)$", self.text, re.M)))

    def assert_told(self, *words):
        """Check that it ended with a sentence, not a traceback, that contains all words."""
        assert self.returncode != 0, self.text[-3000:]
        assert "Traceback" not in self.text, self.text[-5000:]
        assert self.complaints, self.text[-3000:]
        told = [line for line in self.complaints if all(word in line for word in words)]
        assert told, (words, self.complaints)


def heed_interrupts():
    """Undo a shell's setting that makes background processes ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Town:
    """A run folder with the synthetic city's world."""

    def __init__(self, folder):
        self.folder = folder

    def start(self, *args, env=None, targets=(PAIRS,)):
        """Start snakemake; its output goes to a file, because nobody reads it meanwhile."""
        out = self.folder / "snakemake.txt"
        with out.open("w") as file:
            command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPO / "Snakefile")]
            command += ["--directory", str(self.folder), "--cores", "2"]
            command += ["--set-threads", "utm=1", "scenes=1", "stats=1", *args, "--", *targets]
            return subprocess.Popen(
                command,
                env=self.environment(env),
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=heed_interrupts,
            )

    def environment(self, env=None):
        own = {"FLICKR_API_KEY": KEY, "XDG_STATE_HOME": str(self.folder.parent / "state")}
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLICKR_", "PYTEST_"))}
        return kept | own | {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONHASHSEED": "0"} | (env or {})

    def wait(self, process):
        process.wait(PATIENCE_S)
        return Done(process.returncode, (self.folder / "snakemake.txt").read_text())

    def run(self, *args, **kwargs):
        return self.wait(self.start(*args, **kwargs))

    def finish(self, *args, **kwargs):
        """Run to the end and check that it succeeds."""
        done = self.run(*args, **kwargs)
        assert done.returncode == 0, done.text[-4000:]

    def digest(self):
        """Return the bytes of all results and stored photos, except hidden leftovers of a kill."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for top in TREES
            for path in sorted((self.folder / top).rglob("*"))
            if path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(self.folder).parts)
        }

    def copy(self, folder):
        """Copy the folder: the world is linked, the rest is copied with its times."""
        folder.mkdir(parents=True)
        for path in self.folder.iterdir():
            if path.name in ("world", "models"):
                shutil.copytree(path, folder / path.name, copy_function=os.link)
            elif path.is_dir():
                shutil.copytree(path, folder / path.name)
            else:
                shutil.copy2(path, folder)
        return Town(folder)


def jobs(process):
    """Return the processes of the jobs that a snakemake is running, by their pid."""
    found = {}
    try:
        below = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return found
    for child in below:
        try:
            words = child.cmdline()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        # The check of the strips before the first job is not a job.
        if words[1:2] == ["-m"] and words[2].startswith("witw.") and "--spec" in words:
            found[child.pid] = words[2]
    return found


def kill_a_job(process, rng, first=8):
    """SIGKILL one of the next jobs of a run at a random moment of its life.

    Most last half a second to two. If a job ends before its moment, another one is chosen.

    Returns:
        Its module, or '' if the run ended before.
    """
    pass_by, seen = rng.randrange(first), set()
    while process.poll() is None:
        for pid, module in jobs(process).items():
            if pid in seen:
                continue
            seen.add(pid)
            if len(seen) <= pass_by:
                continue
            time.sleep(rng.uniform(0, 1.5))
            if jobs(process).get(pid) == module:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return module
        time.sleep(0.02)
    return ""


def end(process):
    """SIGKILL a run and all its descendants."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class StandIn:
    """The Flickr stand-in as a separate process, so that it can be killed."""

    def __init__(self, folder, port, *options):
        self.port = port
        world = folder / "world"
        self.command = [sys.executable, "-m", "witw.demo.fake_flickr", "--port", str(port)]
        self.command += ["--catalog", str(world / "catalog.parquet")]
        self.command += ["--photos", str(world / "pictures"), *options]
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, "the stand-in ended"
            time.sleep(0.1)
        raise AssertionError("the stand-in does not answer")

    def kill(self):
        self.process.kill()
        self.process.wait()


@contextmanager
def shared(tmp_path_factory, name):
    """Yield a folder shared by all processes of a test run, held by this one alone."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield folder


def shared_world(tmp_path_factory, world):
    """Return a run folder with a synthetic world, built once for all processes of a test run."""
    name = "_".join(str(world[key]) for key in ("cities", "photos", "half_m"))
    with shared(tmp_path_factory, "made_worlds") as folder:
        models = folder / name / "models"
        if not models.exists():
            models.mkdir(parents=True)
            # The checkpoint is the same in all of them, and takes longest.
            for other in folder.glob(f"*/models/{CHECKPOINT}"):
                os.link(other, models / CHECKPOINT)
                break
        build(folder / name, **world)
    return folder / name


def lay(tmp_path_factory, folder, port, world):
    """Put a synthetic world into a new run folder whose config names a port of this process."""
    source = shared_world(tmp_path_factory, world)
    folder.mkdir(exist_ok=True)
    for name in ("world", "models"):
        shutil.copytree(source / name, folder / name, copy_function=os.link)
    return build(folder, **world, port=port)


def fresh_town(tmp_path_factory, port):
    """Return a town whose config names a port of this process."""
    folder = tmp_path_factory.mktemp("fresh") / "run"
    lay(tmp_path_factory, folder, port, WORLD)
    return Town(folder)
