"""Fixtures of the tests on a real Slurm."""

import shutil
import subprocess

import pytest


@pytest.fixture(scope="session")
def slurm():
    """Skip if no Slurm responds."""
    if not shutil.which("sinfo"):
        pytest.skip("no Slurm here: sinfo is not installed (tests/slurm/cluster.sh start)")
    done = subprocess.run(["sinfo", "-h"], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode or not done.stdout.strip():
        pytest.skip("no Slurm here: sinfo does not answer (tests/slurm/cluster.sh start)")
