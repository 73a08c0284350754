import hashlib
import io
import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.warp
import torch
import yaml
from PIL import Image

from witw.config import load
from witw.demo import __main__ as demo
from witw.demo import build as world_of
from witw.demo import places365
from witw.demo.build import build, served
from witw.demo.city.cities import ALL, CHECKPOINT, choose
from witw.demo.city.raster import rasterise
from witw.demo.city.world import World
from witw.demo.fake_flickr.server import load_catalog
from witw.demo.photos import plan
from witw.errors import UserError
from witw.geo import haversine_m
from witw.places365 import network

OPTIONS = {"cities": 4, "photos": 24, "half_m": 70.0, "cores": 2}
CITIES = [replace(city, half_m=70.0) for city in choose(4)]


def digests(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, free_port):
    folder = tmp_path_factory.mktemp("demo")
    build(folder, **OPTIONS, port=free_port)
    return folder


@pytest.fixture(scope="module")
def catalog(run_dir):
    return {photo.id: photo for photo in load_catalog(run_dir / "world" / "catalog.parquet")}


@pytest.fixture(scope="module")
def truth(run_dir):
    return pd.read_parquet(run_dir / "world" / "truth.parquet").set_index("id")


@pytest.mark.long
def test_same_seed_same_bytes(run_dir, tmp_path):
    (tmp_path / "models").mkdir()
    # The checkpoint has its own test.
    os.link(run_dir / "models" / CHECKPOINT, tmp_path / "models" / CHECKPOINT)
    build(tmp_path, **OPTIONS)
    assert digests(tmp_path / "world") == digests(run_dir / "world")


def test_validation_and_test_cities_may_have_more_photos(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(world_of, "_build_world", lambda *given: asked.extend(given[2]))
    (tmp_path / "world").mkdir()
    build(tmp_path, **OPTIONS | {"judged": 40})
    assert asked == [24, 24, 40, 40]
    with pytest.raises(UserError, match="with other settings"):
        build(tmp_path, **OPTIONS)


def test_a_finished_world_is_kept(run_dir):
    config = run_dir / "config.yaml"
    before = {p: p.stat().st_mtime_ns for p in run_dir.rglob("*")}
    kept = config.read_text()
    config.write_text(kept + "# mine\n")
    assert [city.name for city in build(run_dir, **OPTIONS)] == ["alder", "birch", "oak", "rowan"]
    assert config.read_text().endswith("# mine\n")
    config.write_text(kept)
    after = {p: p.stat().st_mtime_ns for p in run_dir.rglob("*")}
    assert {p for p in after if after[p] != before.get(p)} == {config}


def test_another_world_in_the_same_folder_is_refused(run_dir):
    with pytest.raises(UserError, match="with other settings"):
        build(run_dir, **{**OPTIONS, "seed": 1})


def test_the_config_is_valid_and_names_existing_files(run_dir):
    config = load(yaml.safe_load((run_dir / "config.yaml").read_text()), "config.yaml")
    assert list(config.aois) == ["alder", "birch", "oak", "rowan"]
    assert {a.split for a in config.aois.values()} == {"train", "val", "test"}
    for area in config.aois.values():
        assert all((run_dir / strip.path).is_file() for strip in area.strips)
        assert (run_dir / area.scenes.checkpoint).is_file()
    assert config.chip_m == pytest.approx(225)


def test_strips_are_real_eleven_bit_geotiffs_that_hold_every_chip(run_dir):
    strips = run_dir / "world" / "strips"
    for city in CITIES:
        for path in sorted(strips.glob(f"{city.name}*.tif")):
            with rasterio.open(path) as strip:
                assert strip.count == 8
                assert set(strip.dtypes) == {"uint16"}
                values = strip.read()
                assert 1800 > values[4].max() > 600
                assert values.max() <= 2047
                wanted = 4326 if city.imagery == "degrees" else city.epsg
                assert strip.crs.to_epsg() == wanted
                west, south, east, north = rasterio.warp.transform_bounds(
                    strip.crs, 4326, *strip.bounds
                )
            dx, dy = 120 / city.metres_per_degree
            box = city.bbox_deg
            assert south < box[1] - dy
            assert north > box[3] + dy
            if city.imagery != "two_strips":
                assert west < box[0] - dx
                assert east > box[2] + dx
                # No pixel is blank, not even at the corners.
                assert values.min() > 0
    pair = [rasterio.open(strips / f"alder_{side}.tif").bounds for side in ("west", "east")]
    assert pair[0].right - pair[1].left == pytest.approx(120, abs=5)


def test_wedge_is_declared_nodata(tmp_path):
    wedge = next(city for city in ALL if city.imagery == "wedge")
    code = (
        "from pathlib import Path; from witw.demo import strips;"
        "from witw.demo.city.raster import rasterise; from witw.demo.city.world import World;"
        "from dataclasses import replace; from witw.demo.city.cities import ALL;"
        "c = replace(next(c for c in ALL if c.imagery == 'wedge'), half_m=60.0);"
        f"strips.write_strips(c, rasterise(World(1), c.raster_half_m), Path({str(tmp_path)!r}), 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with rasterio.open(tmp_path / f"{wedge.name}.tif") as strip:
        assert strip.nodata == 0
        blank = (strip.read() == 0).all(axis=0)
    assert 0.02 < blank.mean() < 0.1
    assert blank[-1, -1]
    assert not blank[0].any()
    assert replace(wedge, half_m=60.0).epsg > 32700


def test_photos_are_ordinary_files_with_the_apis_sizes(run_dir, catalog, truth):
    modes = {}
    for photo_id, photo in catalog.items():
        with Image.open(run_dir / "world" / "pictures" / f"{photo_id}.jpg") as file:
            assert file.size == (photo.width, photo.height)
            assert max(file.size) == 500
            modes[photo_id] = file.mode
    grey = truth[truth["kind"] == "grey"].index
    assert {k for k, mode in modes.items() if mode == "L"} == set(grey)
    assert len({(p.width, p.height) for p in catalog.values()}) >= 5


def test_catalog_is_mixed(catalog):
    photos = list(catalog.values())
    assert len(photos) == 4 * 25
    assert sum(p.license_id == 0 for p in photos) == 4
    assert any(p.license_id > 10 for p in photos)
    assert {"404", ""} <= {p.removed for p in photos}
    assert any(not p.title.isascii() for p in photos)
    assert any("<b>" in p.title for p in photos)
    assert all(p.date_upload < 1793491200 for p in photos)  # before 2026-11-01


def test_geotags_scatter_about_the_truth_inside_the_box(catalog, truth):
    errors = []
    for city in CITIES:
        rows = truth[(truth["aoi"] == city.name) & (truth["kind"] != "outskirts")]
        tags = [catalog[photo_id] for photo_id in rows.index]
        lon, lat = np.array([t.lon for t in tags]), np.array([t.lat for t in tags])
        west, south, east, north = city.bbox_deg
        assert ((lon > west) & (lon < east) & (lat > south) & (lat < north)).all()
        true = city.geographic(rows["x"] - city.centre[0], rows["y"] - city.centre[1])
        errors += list(haversine_m(lon, lat, *true))
    # Sigma is 8 m in both axes.
    assert 6.5 < np.sqrt(np.mean(np.square(errors)) / 2) < 9.5


def test_outskirts_and_hot_spot():
    city = replace(next(c for c in ALL if c.outskirts_m), half_m=80.0)
    shots = plan(city, 3, rasterise(World(4), city.raster_half_m), 100, 0)
    x, _ = city.local(*(np.array([getattr(s.photo, k) for s in shots]) for k in ("lon", "lat")))
    out = np.array([s.kind == "outskirts" for s in shots])
    assert (x[out] > city.raster_half_m - 60).all()
    assert (x[out] > city.raster_half_m + 113).any()
    assert out.sum() == 7
    lon = np.array([s.photo.lon for s in shots])
    assert (lon[out] < city.bbox_deg[2]).all()
    tags = pd.Series([(s.photo.lon, s.photo.lat) for s in shots]).value_counts()
    assert tags.iloc[0] == city.hot_spot
    assert tags.iloc[1] == 1


def test_the_checkpoint_separates_unseen_rooms_and_streets(run_dir):
    net = network.load(run_dir / "models" / CHECKPOINT, "resnet18")
    images, indoor = places365.pictures(77, 60)
    pixels = np.stack([network.preprocess(i.convert("RGB"), "resnet18") for i in images])
    with torch.inference_mode():
        logits = net(network.normalise(torch.from_numpy(pixels))).numpy()
    share, _, top = network.vote(logits)
    assert np.mean((share < 0.5) == indoor) >= 0.97
    assert len(set(top)) > 10


def test_checkpoint_bytes_follow_from_the_seed(tmp_path):
    paths = [tmp_path / name for name in ("a.pth.tar", "b.pth.tar")]
    for path in paths:
        places365.make_checkpoint(path, count=8)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_served_stand_in_matches_the_config(run_dir, catalog):
    settings = yaml.safe_load((run_dir / "config.yaml").read_text())["flickr"]
    present = next(p for p in catalog.values() if not p.removed)
    with served(run_dir, faults=None) as server:
        assert server.api_url == settings["api_url"]
        address = f"{settings['photo_hosts'][0]}/{present.server}/{present.id}_{present.secret}.jpg"
        with urllib.request.urlopen(address) as answer:
            assert Image.open(io.BytesIO(answer.read())).size == (present.width, present.height)
        with pytest.raises(UserError, match="is taken"), served(run_dir):
            pass


def test_the_summary_shows_the_model_beside_chance(run_dir):
    results = run_dir / "results"
    (results / "dataset").mkdir(parents=True)
    (results / "evaluation").mkdir()
    pd.DataFrame({"status": ["paired"] * 5 + ["indoor"] * 2}).to_parquet(
        results / "dataset" / "pairs.parquet"
    )
    figures = {"recall_at_1": 12.0, "recall_at_10": 40.0, "median_percentile": 9.0}
    chips = {"n": 24, **figures, "chance": dict.fromkeys(figures, 4.2)}
    (results / "evaluation" / "metrics.json").write_text(
        json.dumps({"protocols": {"chips": chips}})
    )
    with served(run_dir, faults=None) as server:
        text = demo.summary(run_dir, choose(4), server)
    assert "4 synthetic cities (2 train, 1 val, 1 test)" in text
    assert "7 photos listed" in text
    assert "5   paired" in text
    assert "right at once         12.0    4.2 %" in text
