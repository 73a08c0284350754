"""Chromium, and what drives it."""

import shutil
from pathlib import Path

import pytest

PYTHON = Path(__file__).parents[2] / ".browser/bin/python"


@pytest.fixture(scope="session")
def browser():
    """Command that opens Chromium with a script; skips where it or its driver is not installed."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no Chromium: `apt-get install chromium`, then `make test`")
    if not PYTHON.exists():
        pytest.skip("nothing to drive Chromium by: `make test` installs it into .browser")
    return [str(PYTHON)], found
