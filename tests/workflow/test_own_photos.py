"""A new user's run: own photos, own imagery, three lines of YAML, one command, no key."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

from made_town import WORLD, shared_world
from witw import tables
from witw.demo.city.cities import CHECKPOINT
from witw.demo.fake_flickr.server import load_catalog

pytestmark = [pytest.mark.workflow, pytest.mark.long]
REPO = Path(__file__).parents[2]
CONFIG = """\
aois: {mine: {photos: {folder: pics}, strips: [east.tif, west.tif], shards: 2}}
defaults: {scenes: {checkpoint: places.pth.tar}}
"""
GPS = 0x8825
STRIPS = ("east.tif", "west.tif")


def dms(value):
    value = abs(value)
    return int(value), int(value % 1 * 60), value * 60 % 1 * 60


def with_position(source, target, lat, lon):
    """Copy a photo, adding a position to its EXIF data."""
    with Image.open(source) as picture:
        exif = picture.getexif()
        refs = {1: "N" if lat >= 0 else "S", 3: "E" if lon >= 0 else "W"}
        exif.get_ifd(GPS).update(refs | {2: dms(lat), 4: dms(lon)})
        picture.save(target, exif=exif, quality=95)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a user's folder: photos, one GeoTIFF, a checkpoint, a config."""
    world = shared_world(tmp_path_factory, WORLD)
    place = tmp_path_factory.mktemp("own")
    strips = sorted((world / "world" / "strips").glob("*.tif"))
    for name, strip in zip(STRIPS, strips, strict=True):
        shutil.copy(strip, place / name)
    shutil.copy(world / "models" / CHECKPOINT, place / "places.pth.tar")
    (place / "pics" / "summer").mkdir(parents=True)
    for number, photo in enumerate(load_catalog(world / "world" / "catalog.parquet")):
        picture = world / "world" / "pictures" / f"{photo.id}.jpg"
        if picture.is_file():
            name = f"{'summer/' if number % 2 else ''}IMG {photo.id}.JPG"
            with_position(picture, place / "pics" / name, photo.lat, photo.lon)
    with Image.new("RGB", (300, 200), "red") as plain:
        plain.save(place / "pics" / "no position.png")
    (place / "config.yaml").write_text(CONFIG)
    return place


def snakemake(folder, *args):
    """Run the command as typed, without any service's key."""
    secret = ("FLICKR_", "MAPILLARY_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(secret)}
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPO / "Snakefile")]
    done = subprocess.run(
        [*command, "--cores", "2", "--set-threads", "utm=1", "scenes=1", "--", *args],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished(folder):
    snakemake(folder, "results/dataset/pairs.parquet", "results/report/report.html")
    return folder


def pairs_of(folder):
    return tables.read(folder / "results" / "mine" / "pairs.parquet", "pairs")


def test_own_photos_become_pairs(finished):
    pairs = pairs_of(finished)
    photos = [p for p in (finished / "pics").rglob("*") if p.suffix.lower() in (".jpg", ".png")]
    assert len(pairs) == len(photos)
    counts = pairs["status"].value_counts()
    assert counts["no_position"] == 1
    assert counts["paired"] >= 3
    paired = pairs[pairs["status"] == "paired"]
    for row in paired.itertuples():
        with Image.open(finished / row.photo_path) as photo:
            assert max(photo.size) <= 500
            assert not photo.getexif().get_ifd(GPS)
        with Image.open(finished / row.chip_path) as chip:
            assert chip.size == (750, 750)
    assert set(pairs["source"]) == {"folder"}


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in snakemake(finished, "results/dataset/pairs.parquet")


def test_flickr_is_not_mentioned(finished):
    card = (finished / "results" / "dataset" / "README.md").read_text()
    card = card[: card.index("## Columns")]  # those of every data set
    page = (finished / "results" / "report" / "report.html").read_text()
    croissant = json.loads((finished / "results" / "dataset" / "croissant.json").read_text())
    assert "Flickr" not in card
    assert "Flickr" not in page
    assert "Flickr" not in croissant["description"]


def test_a_new_photo_reruns_the_area(finished, tmp_path):
    place = tmp_path / "place"
    shutil.copytree(finished, place)
    before = pairs_of(place)
    first = next((place / "pics").glob("*.JPG"))
    shutil.copy(first, place / "pics" / "one more.jpg")
    snakemake(place, "results/mine/pairs.parquet")
    after = pairs_of(place)
    assert len(after) == len(before) + 1
    assert set(before["id"]) < set(after["id"])


def test_a_folder_and_a_table_together_and_the_list_of_ids_builds_them_again(finished, tmp_path):
    """The table names photos of the subfolder; a colleague has the list and the photos."""
    place = tmp_path / "place"
    place.mkdir()
    for name in (*STRIPS, "places.pth.tar"):
        shutil.copy(finished / name, place)
    shutil.copytree(finished / "pics", place / "pics")
    shutil.move(place / "pics" / "summer", place / "summer")
    told = pairs_of(finished)
    inside = told[told["photo_url"].fillna("").str.contains("summer")]
    rows = {"path": [f"summer/{Path(url).name}" for url in inside["photo_url"]]}
    rows |= {"lat": inside["lat"], "lon": inside["lon"], "license": "CC BY-SA 4.0", "owner": "Bo"}
    pd.DataFrame(rows).to_csv(place / "mine.csv", index=False)
    config = yaml.safe_load(CONFIG)
    config["aois"]["mine"]["photos"] = [{"folder": "pics"}, {"table": "mine.csv"}]
    (place / "config.yaml").write_text(yaml.safe_dump(config))
    snakemake(place, "results/dataset/pairs.parquet")
    both = pairs_of(place)
    assert both["source"].value_counts().to_dict() == {
        "folder": len(told) - len(inside),
        "table": len(inside),
    }
    assert both["status"].value_counts().to_dict() == told["status"].value_counts().to_dict()
    by_table = both[both["source"] == "table"]
    assert by_table["credit"].str.contains("by Bo, CC BY-SA 4.0").all()

    colleague = tmp_path / "colleague"
    colleague.mkdir()
    for name in (*STRIPS, "places.pth.tar"):
        shutil.copy(finished / name, colleague)
    for name in ("pics", "summer"):
        shutil.copytree(place / name, colleague / name)
    shutil.copy(place / "results" / "dataset" / "ids.csv", colleague)
    config["aois"]["mine"]["photos"] = {"ids": "ids.csv"}
    (colleague / "config.yaml").write_text(yaml.safe_dump(config))
    snakemake(colleague, "results/dataset/pairs.parquet")
    pd.testing.assert_frame_equal(pairs_of(colleague), both)
    for chip in both["chip_path"].dropna():
        assert (colleague / chip).read_bytes() == (place / chip).read_bytes()
