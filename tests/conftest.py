"""Shared by all tests."""

import os
import socket
import sys
from pathlib import Path

import pytest

# Waiting threads of torch sleep, also in the processes that tests start. Spinning threads would
# take the cores from other tests: a training on two busy cores takes twice as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_collection_modifyitems(items):
    """Run the files with snakemake first: started last, a single one would outlast all others."""
    items.sort(key=lambda item: item.get_closest_marker("workflow") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    """Drop the plugin of Hypothesis if no test used it: its summary costs an import of 1.5 s."""
    plugins = session.config.pluginmanager
    alone = not plugins.has_plugin("dsession")  # with xdist, the workers import it
    if alone and "hypothesis" not in sys.modules and plugins.has_plugin("hypothesispytest"):
        plugins.unregister(name="hypothesispytest")


@pytest.fixture(scope="session")
def real_data():
    """Return the folder of the real recordings, tiles and photographs; skip if it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("WITW_REAL_DATA") or default)
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is absent (set WITW_REAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def free_port():
    """Return an unused port of 127.0.0.1: tests run in parallel, and the demo's port is fixed."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture(autouse=True)
def own_environment():
    """Restore the environment variables that a command set for its jobs."""
    before = {key: value for key, value in os.environ.items() if key.startswith("WITW_")}
    yield
    for key in [key for key in os.environ if key.startswith("WITW_")]:
        if key not in before:
            del os.environ[key]
    os.environ.update(before)
