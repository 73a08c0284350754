"""The data stages of a small synthetic city, run for real, with tools to disturb them.

The suite draws its disturbances from seeds, so that a failure can be repeated::

    .venv/bin/python -m pytest -m faults tests/faults    part of `make test-long`: two minutes
    make faults SEEDS=30                                 everything, under 30 seeds

Tests that need root (a small disk, a read-only one) are skipped elsewhere with the reason.
"""

import os
import random
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from made_town import StandIn, fresh_town

SEEDS = int(os.environ.get("WITW_FAULT_SEEDS") or 0)
# The part in `make test-long`: a disturbed run and its rerun take ten seconds to a minute, and
# tests/workflow/test_runs.py covers killed jobs there.
SHORT = {
    "test_the_second_of_two_runs_is_refused_in_a_sentence",
    "test_damaged_inputs_are_reported_or_harmless",
}


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(SEEDS or 1))


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.workflow)
            item.add_marker(pytest.mark.long)
            if not SEEDS and item.originalname not in SHORT:
                item.add_marker(pytest.mark.skip(reason="in make faults alone"))


@pytest.fixture(scope="session")
def free_port():
    """Return a port for this suite alone, because its stand-in outlives other suites' starts."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def fresh(tmp_path_factory, free_port):
    return fresh_town(tmp_path_factory, free_port)


@pytest.fixture(scope="session")
def standin(fresh, free_port):
    server = StandIn(fresh.folder, free_port)
    yield server
    server.kill()


@pytest.fixture(scope="session")
def calm(fresh, standin, tmp_path_factory):
    """Return the town in which everything has run undisturbed."""
    town = fresh.copy(tmp_path_factory.mktemp("calm") / "run")
    town.finish()
    return town


@pytest.fixture
def town(fresh, standin, tmp_path):
    """Return a town in which nothing has run."""
    return fresh.copy(tmp_path / "town")


@pytest.fixture
def finished(calm, tmp_path):
    """Return a town in which everything has run."""
    return calm.copy(tmp_path / "town")


@pytest.fixture
def rng(seed):
    return random.Random(f"faults {seed}")


@pytest.fixture
def mounts():
    """Mount a small disk: ``mounts(folder, kilobytes)``; skip if that is not permitted."""
    made = []

    def call(*command):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stderr.strip() if done.returncode else ""

    def mount(folder, kilobytes):
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() or not shutil.which("mount"):
            pytest.skip("mounting a small disk needs root")
        options = f"size={kilobytes}k,mode=0755"
        if problem := call("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)):
            pytest.skip(f"a small disk cannot be mounted here: {problem}")
        made.append(folder)

        def again(options):
            problem = call("mount", "-o", f"remount,{options}", str(folder))
            assert not problem, problem

        return again

    yield mount
    for folder in made:
        call("umount", "-l", str(folder))
