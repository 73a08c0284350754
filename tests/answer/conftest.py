"""Chromium and its driver."""

import shutil
from pathlib import Path

import pytest

PYTHON = Path(__file__).parents[2] / ".browser/bin/python"


@pytest.fixture(scope="session")
def browser():
    """Return the command that runs a script in Chromium; skip if it or its driver is missing."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no Chromium: `apt-get install chromium`, then `make test`")
    if not PYTHON.exists():
        pytest.skip("nothing to drive Chromium by: `make test` installs it into .browser")
    return [str(PYTHON)], found
