"""Whole runs of the data stages on made cities: repeatable, exact, and not hurt by being killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from witw import tables
from witw.demo.build import build, served
from witw.demo.flickr_server import load_catalog

pytestmark = pytest.mark.workflow
REPO = Path(__file__).parents[2]
KEY = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
OPEN = set(range(1, 17))


def start(folder: Path, areas: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--snakefile", str(REPO / "Snakefile")]
        + ["--directory", str(folder), "--cores", "2", "--set-threads", "utm=1", "scenes=1", "--"]
        + [f"results/{area}/pairs.parquet" for area in areas],
        env=os.environ | {"FLICKR_API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(folder: Path, areas: list[str]) -> None:
    process = start(folder, areas)
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output[-4000:]


@pytest.fixture(scope="module")
def made(tmp_path_factory, free_port):
    """A made world and the same one in two run folders, one finished undisturbed."""
    calm = tmp_path_factory.mktemp("calm")
    made_cities = build(calm, cities=2, photos=12, half_m=70, port=free_port)
    areas = [city.name for city in made_cities]
    rough = tmp_path_factory.mktemp("rough")
    shutil.copytree(calm, rough, dirs_exist_ok=True)
    with served(calm):
        finish(calm, areas)
        yield calm, rough, areas


def test_every_listed_photo_has_one_status(made):
    calm, _, areas = made
    catalog = load_catalog(calm / "world" / "catalog.parquet")
    for area in areas:
        pairs = tables.read(calm / f"results/{area}/pairs.parquet", "pairs")
        west, south, east, north = box(calm, area)
        listed = {
            photo.id
            for photo in catalog
            if photo.license_id in OPEN
            and west <= photo.lon <= east
            and south <= photo.lat <= north
        }
        assert set(pairs["id"]) == listed
        assert len(pairs) == len(listed)
        assert set(pairs["status"]) <= set(tables.Status)


def box(folder: Path, area: str) -> list[float]:
    return yaml.safe_load((folder / "config.yaml").read_text())["aois"][area]["bbox_deg"]


def test_a_pair_has_its_two_files(made):
    calm, _, areas = made
    for area in areas:
        pairs = tables.read(calm / f"results/{area}/pairs.parquet", "pairs")
        paired = pairs[pairs["status"] == "paired"]
        assert len(paired) > 0
        for row in paired.itertuples():
            assert (calm / row.photo_path).stat().st_size == row.photo_bytes
            assert (calm / row.chip_path).is_file()


def test_runs_killed_again_and_again_end_in_the_same_bytes(made):
    """SIGKILL to Snakemake and all its jobs at several moments, then one run to the end."""
    calm, rough, areas = made
    for seconds in (4, 9, 15):
        process = start(rough, areas)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    finish(rough, areas)
    assert digest(rough) == digest(calm)
    assert not [path for path in rough.rglob("*.part*") if "photos" in path.parts]


def digest(folder: Path) -> dict[str, bytes]:
    """Every file of a run's results and photo store, but for what a killed job left hidden."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for top in ("results", "photos")
        for path in sorted((folder / top).rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def test_no_file_of_a_run_holds_the_key(made):
    calm, _, _ = made
    files = [path for path in calm.rglob("*") if path.is_file()]
    assert (calm / ".snakemake").is_dir()
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_finished_run_has_nothing_to_do(made):
    calm, _, areas = made
    process = start(calm, areas)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "Nothing to be done" in output


def test_tables_hold_what_the_world_knows(made):
    """Statuses against the truth the demo keeps for itself."""
    calm, _, areas = made
    catalog = {photo.id: photo for photo in load_catalog(calm / "world" / "catalog.parquet")}
    pairs = pd.concat(
        tables.read(calm / f"results/{area}/pairs.parquet", "pairs") for area in areas
    )
    for row in pairs.itertuples():
        assert (row.status == "gone") == bool(catalog[row.id].removed), row.id
        assert row.lat == pytest.approx(catalog[row.id].lat, abs=1e-6)
