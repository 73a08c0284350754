"""Shared by all tests."""

import os
import socket
import sys
from pathlib import Path

import pytest

# Threads of torch that wait for work sleep, also in the processes that tests start: awake, they
# take the processors from the other tests, and a training on two busy cores takes twice as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_collection_modifyitems(items):
    """Files that run snakemake come first: begun last, one alone would outlast all others."""
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    """Where no test uses Hypothesis, its plugin would import it for an empty summary: 1.5 s."""
    plugins = session.config.pluginmanager
    alone = not plugins.has_plugin("dsession")  # with xdist it is the workers that import it
    if alone and "hypothesis" not in sys.modules and plugins.has_plugin("hypothesispytest"):
        plugins.unregister(name="hypothesispytest")


@pytest.fixture(scope="session")
def real_data():
    """Folder of the real recordings, tiles and photographs; skips where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("WITW_REAL_DATA") or default)
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is absent (set WITW_REAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def free_port():
    """A port of 127.0.0.1 nobody uses: tests run side by side, and the demo's own is one."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture(autouse=True)
def own_environment():
    """What a command tells its jobs through the environment ends with the test."""
    before = {key: value for key, value in os.environ.items() if key.startswith("WITW_")}
    yield
    for key in [key for key in os.environ if key.startswith("WITW_")]:
        if key not in before:
            del os.environ[key]
    os.environ.update(before)
