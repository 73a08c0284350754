"""Shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data():
    """Folder of the real recordings, tiles and photographs; skips where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("WITW_REAL_DATA") or default)
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is absent (set WITW_REAL_DATA)")
    return folder
