"""Run folders of a small workflow, empty or finished."""

import pytest
from workplace import PLANNER, Workplace

from made_town import shared


@pytest.fixture(scope="module")
def module_workplace(tmp_path_factory):
    """Return a workplace for fixtures of a whole file."""
    return Workplace(tmp_path_factory.mktemp("workplace"))


@pytest.fixture
def workplace(tmp_path):
    return Workplace(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def planner_ends():
    yield
    PLANNER.close()


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory):
    """Return a finished workplace, made once for all processes of a test run."""
    with shared(tmp_path_factory, "finished_workplace") as folder:
        place = Workplace(folder / "run")
        if not (folder / "done").exists():
            # Without hooks: the strips are empty, and preflight would check them.
            done = place.snakemake("--cores", 2, "--no-hooks")
            assert done.returncode == 0, done.stderr
            (folder / "done").touch()
    return place


@pytest.fixture(scope="module")
def finished(finished_once, tmp_path_factory):
    """Return a workplace in which everything has run, with Snakemake's own records of it."""
    return finished_once.copy(tmp_path_factory.mktemp("finished") / "run")
