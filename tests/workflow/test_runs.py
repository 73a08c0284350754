"""Whole runs of the data stages on synthetic cities: repeatable, exact, and robust to kills."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from made_town import TWO_CITIES, lay
from witw import status, tables
from witw.demo.build import served
from witw.demo.fake_flickr.server import load_catalog

pytestmark = pytest.mark.workflow
REPO = Path(__file__).parents[2]
KEY = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
OPEN = set(range(1, 17))


def targets(areas: list[str]) -> list[str]:
    return [f"results/{area}/pairs.parquet" for area in areas]


def command(folder: Path, *args: str) -> list[str]:
    place = ["--snakefile", str(REPO / "Snakefile"), "--directory", str(folder)]
    return [sys.executable, "-m", "snakemake", *place, *args]


def tool(folder: Path, *args: str) -> str:
    """Run a snakemake that must succeed; return its output."""
    done = subprocess.run(
        command(folder, *args),
        env=os.environ | {"FLICKR_API_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout + done.stderr


def start(folder: Path, areas: list[str]) -> subprocess.Popen:
    threads = ["--set-threads", "utm=1", "scenes=1"]
    return subprocess.Popen(
        command(folder, "--cores", "2", *threads, "--", *targets(areas)),
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
    """Return a synthetic world in two run folders, one of them finished undisturbed."""
    calm = tmp_path_factory.mktemp("calm")
    made_cities = lay(tmp_path_factory, calm, free_port, TWO_CITIES)
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
        assert set(pairs["status"]) <= set(status.Status)


def box(folder: Path, area: str) -> list[float]:
    return yaml.safe_load((folder / "config.yaml").read_text())["aois"][area]["bbox_deg"]


def test_each_pair_has_its_two_files(made):
    calm, _, areas = made
    for area in areas:
        pairs = tables.read(calm / f"results/{area}/pairs.parquet", "pairs")
        paired = pairs[pairs["status"] == "paired"]
        assert len(paired) > 0
        for row in paired.itertuples():
            photo, chip = ((calm / path).read_bytes() for path in (row.photo_path, row.chip_path))
            assert len(photo) == row.photo_bytes
            assert hashlib.sha256(photo).hexdigest() == row.photo_sha256
            assert hashlib.sha256(chip).hexdigest() == row.chip_sha256


@pytest.mark.long
def test_runs_killed_again_and_again_end_in_the_same_bytes(made):
    """SIGKILL to Snakemake and all its jobs at several moments, then one run to the end."""
    calm, rough, areas = made
    for seconds in (4, 9, 15):
        process = start(rough, areas)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    left = rough / "results" / areas[0] / "strips" / "left.decoded"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"what stats kept for utm")
    # A fast machine may have finished by now, and a run without jobs tidies nothing.
    (rough / targets(areas)[0]).unlink(missing_ok=True)
    finish(rough, areas)
    assert digest(rough) == digest(calm)
    assert not [path for path in rough.rglob("*.part*") if "photos" in path.parts]


def digest(folder: Path) -> dict[str, bytes]:
    """Return every file of a run's results and photo store, except leftovers of killed jobs."""
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
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0
    assert "Nothing to be done" in output


def test_a_rebuild_of_one_area_touches_only_planned_files(made, tmp_path):
    calm, _, areas = made
    folder = tmp_path / "place"
    shutil.copytree(calm, folder)  # with its times
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["aois"][areas[0]]["chips"] = {"jpeg_quality": 60}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    plan = tool(folder, "-n", *targets(areas))
    named = {
        path for line in re.findall(r"^    output: (.*)$", plan, re.M) for path in line.split()
    }
    shards = range(config["aois"][areas[0]].get("shards") or config["defaults"]["shards"])
    expected = {
        f"results/{areas[0]}/chips/{n:04d}{end}" for n in shards for end in ("", ".parquet")
    }
    assert named == expected | {f"results/{areas[0]}/pairs.parquet"}

    before = state(folder)
    finish(folder, areas)
    after = state(folder)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert {owner(path, named) for path in changed} == named
    pictures = [path for path in changed if path.endswith(".jpg")]
    assert pictures
    assert all(before[path][0] != after[path][0] for path in pictures)
    # The bytes of their chips tell later stages that they are out of date.
    assert f"results/{areas[0]}/pairs.parquet" in {
        path for path in changed if before[path][0] != after[path][0]
    }


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and time of every file of a run, except Snakemake's records and logs."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for top in ("results", "photos", "journal", "world", "models")
        for path in sorted((folder / top).rglob("*"))
        if path.is_file()
    }


def owner(path: str, outputs: set[str]) -> str:
    """Return the output that a file is or belongs to; the file itself if there is none."""
    return next((name for name in (path, str(Path(path).parent)) if name in outputs), path)


def test_a_search_run_again_with_the_same_result_leaves_everything_after_it_alone(made, tmp_path):
    """Run up to the shards first: the second plan compares contents and finds nothing to do."""
    calm, _, areas = made
    folder = tmp_path / "place"
    shutil.copytree(calm, folder)
    before = digest(folder)
    told = ["--printshellcmds", "--cores", "2"]  # every job, as Snakemake does
    said = tool(folder, *told, "-R", "search", "--until", "shards_2", "--", *targets(areas))
    assert "rule: search" in said
    assert digest(folder) == before
    assert "Nothing to be done" in tool(folder, "-n", *targets(areas))


def test_tables_match_the_truth(made):
    """Statuses are compared with the truth that the demo stores."""
    calm, _, areas = made
    catalog = {photo.id: photo for photo in load_catalog(calm / "world" / "catalog.parquet")}
    pairs = pd.concat(
        tables.read(calm / f"results/{area}/pairs.parquet", "pairs") for area in areas
    )
    for row in pairs.itertuples():
        assert (row.status == "gone") == bool(catalog[row.id].removed), row.id
        assert row.lat == pytest.approx(catalog[row.id].lat, abs=1e-6)
