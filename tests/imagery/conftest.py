"""Each test of imagery runs in an empty run folder."""

import numpy as np
import pytest
from made_strips import Area, write_tif

from witw.imagery.strip import source


@pytest.fixture(autouse=True)
def _run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source.configure()


@pytest.fixture
def tif():
    return write_tif


@pytest.fixture
def area():
    return Area


@pytest.fixture
def rng():
    return np.random.default_rng(7)
