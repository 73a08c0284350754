"""Users' habits around a run: another folder, --touch, --delete-all-output, odd folder names."""

import os
import shutil
import subprocess
import sys

import pytest
from workplace import REPO

from made_town import AREA, KEY, WORLD, lay

pytestmark = pytest.mark.workflow

ODD = 'it\'s my "Zürich" & 東京 $HOME; 2024'


def configured(place, name="config.yaml"):
    """Return the same config under another name, without config.yaml."""
    path = place.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    (place.folder / "config.yaml").rename(path)
    return path


def test_a_config_file_is_relative_to_the_working_folder(finished, tmp_path):
    """`-d RUN --configfile F`, typed in a third folder with F relative to it."""
    place = finished.copy(tmp_path / "run")
    stands = tmp_path / "notes"
    stands.mkdir()
    shutil.move(place.folder / "config.yaml", stands / "mine.yaml")
    done = place.snakemake("-n", "-d", "../run", "--configfile", "mine.yaml", cwd=stands)
    assert done.returncode == 0, done.stderr
    assert done.jobs == set()
    done = place.snakemake("-n", "-d", "../run", "--configfile", "none.yaml", cwd=stands)
    assert (done.returncode, len(done.complaints)) == (1, 1), done.stderr
    assert f"none.yaml does not exist (relative to {stands})" in done.complaints[0]
    assert [path.name for path in stands.iterdir()] == ["mine.yaml"]


def test_touch_finishes_everything_without_a_request(finished, tmp_path):
    """Without a key, and with strips that no GDAL would open."""
    place = finished.copy(tmp_path / "run")
    os.utime(place.folder / "strips/oslo.tif")
    (place.folder / "strips/oslo.tif").write_text("other bytes")
    before = digest(place)
    assert place.plan() != set()
    done = place.snakemake("--cores", 1, "--touch", key=None)
    assert done.returncode == 0, done.stderr
    assert place.plan() == set()
    assert digest(place) == before


@pytest.mark.long
def test_delete_all_output_removes_results_and_keeps_photos_and_strips(finished, tmp_path):
    place = finished.copy(tmp_path / "run")
    for kept in ("photos/oslo/12/12.jpg", "journal/oslo.sqlite", "results/notes.txt"):
        place.touch(kept)
    listed = place.snakemake("--delete-all-output", "-n", key=None)
    assert listed.returncode == 0, listed.stderr
    assert "Would delete" in listed.stdout + listed.stderr
    assert (place.folder / "results/oslo/pairs.parquet").is_file()
    done = place.snakemake("--delete-all-output", "--cores", 1, key=None)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    left = [p for p in (place.folder / "results").rglob("*") if p.is_file()]
    assert [path.name for path in left] == ["notes.txt"]
    for kept in ("photos/oslo/12/12.jpg", "journal/oslo.sqlite", "strips/oslo.tif"):
        assert (place.folder / kept).is_file()
    # Everything can be rebuilt.
    again = place.snakemake("--cores", 2, "--no-hooks")
    assert again.returncode == 0, again.stderr
    assert place.plan() == set()


def digest(place):
    return {
        str(path.relative_to(place.folder)): path.read_bytes()
        for path in sorted((place.folder / "results").rglob("*"))
        if path.is_file()
    }


def test_a_run_folder_may_have_any_name(finished, tmp_path):
    place = finished.copy(tmp_path / ODD)
    done = place.snakemake("-n", "-d", place.folder, cwd=REPO, snakefile=False)
    assert done.returncode == 0, done.stderr
    assert done.jobs == set()


@pytest.mark.long
def test_real_stages_run_in_a_folder_of_any_name(tmp_path_factory, tmp_path, free_port):
    """The imagery of a synthetic town in a folder whose name is full of shell characters."""
    folder = tmp_path / ODD / "run"
    folder.parent.mkdir()
    lay(tmp_path_factory, folder, free_port, WORLD)
    strips = folder.parent / "höhen & more.d"
    strips.mkdir()
    text = (folder / "config.yaml").read_text()
    for path in sorted((folder / "world").rglob("*.tif")):
        name = str(path.relative_to(folder))
        assert name in text
        path.rename(strips / path.name)
        text = text.replace(name, f"../{strips.name}/{path.name}")
    (folder / "my config.yaml").write_text(text)
    (folder / "config.yaml").unlink()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPO / "Snakefile")]
    command += ["--cores", "2", "--set-threads", "utm=1", "stats=1", "--directory", str(folder)]
    command += ["--configfile", str(folder / "my config.yaml"), "--"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("FLICKR_")}
    done = subprocess.run(
        [*command, f"results/{AREA}/mosaic.vrt"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert KEY not in done.stdout + done.stderr
    assert (folder / f"results/{AREA}/mosaic.vrt").is_file()
    command.insert(3, "-n")
    again = subprocess.run(
        [*command, f"results/{AREA}/mosaic.vrt"], cwd=tmp_path, env=env, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert "Nothing to be done" in again.stdout + again.stderr, again.stderr[-3000:]
