import json
import math

import numpy as np
import pytest
import rasterio
import torch
from made_city import CENTRE, EPSG, shoot
from PIL import Image
from rasterio.warp import transform

from witw import tables
from witw.cvig import locate
from witw.cvig.heat import encode_photos, heat
from witw.cvig.locate import Query
from witw.cvig.network.model import Model
from witw.cvig.search import index_file, two_steps
from witw.cvig.search.index_file import Index
from witw.errors import UserError
from witw.images.photo import open_photo
from witw.images.resize import letterbox

OUTPUTS = ("heatmap.tif", "heatmap.png", "top.geojson")
SPEC = {"stage": "locate", "version": 1, "aoi": "made"}
PLACES = [(-180, -150, 30), (60, -200, 200), (-100, 40, 290), (10, 120, 120), (190, -30, 75)]


def place_photo(trained, city, out, query):
    inputs = [trained / "model.pt", city / "cells.safetensors", city / "mosaic.tif"]
    out.mkdir(exist_ok=True)
    return locate.run("made", query, *inputs, *(out / name for name in OUTPUTS))


def test_finds_photos_and_their_headings_in_a_city_never_seen(trained, city, tmp_path):
    model = Model.load(trained / "model.pt", torch.device("cpu"))
    centres = Index.open(city / "cells.safetensors").grid.centres()
    distance_m, turned = [], []
    for *offset, heading in PLACES:
        shoot(tmp_path / "photo.jpg", CENTRE + offset, heading)
        square, *size = letterbox(open_photo(tmp_path / "photo.jpg"), 24)
        code = encode_photos(model, [square], [tuple(size)], [math.nan])
        index = Index.open(city / "cells.safetensors")
        found = heat(model, code, index, locate.fitted(None, model))
        best = found.order[0]
        distance_m.append(np.hypot(*(centres[best] - CENTRE - offset)))
        turned.append(abs((found.heading_deg[best] - heading + 180) % 360 - 180))
    # Chance of a cell within 60 m is 1.4 %.
    assert np.median(distance_m) < 60
    assert np.median(turned) < 25


@pytest.fixture
def placed(trained, city, tmp_path):
    shoot(tmp_path / "photo.jpg", CENTRE, 100)
    query = Query(
        tmp_path / "photo.jpg", tuple(CENTRE + 9), 3, 40, r"5$ a \frac{ for 6$ by its owner, CC BY"
    )
    return place_photo(trained, city, tmp_path / "out", query), tmp_path / "out"


def test_the_raster_holds_the_probabilities(placed, city):
    found, out = placed
    grid = Index.open(city / "cells.safetensors").grid
    with rasterio.open(out / "heatmap.tif") as raster:
        values = raster.read(1)
        assert raster.dtypes == ("float32",)
        assert raster.crs.to_epsg() == EPSG
        assert np.isnan(raster.nodata)
        row, column = np.unravel_index(np.nanargmax(values), values.shape)
        assert raster.xy(row, column) == pytest.approx(grid.centres()[found.order[0]])
    assert np.nansum(values) == pytest.approx(1, abs=1e-5)
    assert np.isfinite(values).sum() == len(grid.cells)


def test_the_ten_best_cells_as_geojson(placed, city):
    found, out = placed
    grid = Index.open(city / "cells.safetensors").grid
    content = json.loads((out / "top.geojson").read_text())
    assert content["type"] == "FeatureCollection"
    assert [f["properties"]["rank"] for f in content["features"]] == list(range(1, 11))
    shares = [f["properties"]["probability"] for f in content["features"]]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(found.probability.max(), rel=1e-5)
    picks = []
    for feature in content["features"]:
        lon, lat = feature["geometry"]["coordinates"]
        (east,), (north,) = transform("EPSG:4326", f"EPSG:{EPSG}", [lon], [lat])
        distance_m = np.hypot(*(grid.centres() - [east, north]).T)
        assert distance_m.min() < 0.05
        picks.append(distance_m.argmin())
        assert found.probability[picks[-1]] == pytest.approx(
            feature["properties"]["probability"], rel=1e-4
        )
        assert 0 <= feature["properties"]["heading_deg"] < 360
    # The next is the likeliest of all cells that are not within 50 m of one already named.
    left = np.ones(len(grid.cells), bool)
    for cell in picks:
        assert found.probability[cell] == found.probability[left].max()
        left &= np.hypot(*(grid.centres() - grid.centres()[cell]).T) >= 50


def test_a_calibration_of_the_evaluation_is_used(placed, trained, city, tmp_path):
    (tmp_path / "m.json").write_text('{"calibration": {"temperature": 0.2, "sigma_m": 40.0}}')
    inputs = [trained / "model.pt", city / "cells.safetensors", city / "mosaic.tif"]
    outputs = [tmp_path / name for name in OUTPUTS]
    query = Query(tmp_path / "photo.jpg")
    soft = locate.run("made", query, *inputs, *outputs, tmp_path / "m.json").probability
    sharp = placed[0].probability
    assert soft.sum() == pytest.approx(1)
    assert soft.max() < sharp.max() / 2
    grid = Index.open(city / "cells.safetensors").grid
    # Blurred: neighbours are alike as they were not before.
    assert np.nanstd(np.diff(np.log(grid.raster(soft)))) < 0.5 * np.nanstd(
        np.diff(np.log(grid.raster(sharp) + 1e-30))
    )
    (tmp_path / "m.json").write_text('{"model": {}}')
    with pytest.raises(UserError, match="holds no calibration"):
        locate.run("made", query, *inputs, *outputs, tmp_path / "m.json")


def test_the_picture_shows_photo_and_map(placed):
    with Image.open(placed[1] / "heatmap.png") as picture:
        assert picture.width > 1200
        pixels = np.asarray(picture.convert("RGB"), int)
    # The marks of geotag and best cell are on the map, the right-hand part.
    for colour in ((0x4A, 0xDE, 0x80), (0x22, 0xD3, 0xEE)):
        hits = np.argwhere(np.abs(pixels - colour).max(axis=2) < 12)
        assert (hits[:, 1] > pixels.shape[1] * 0.4).sum() > 20


def test_the_same_inputs_give_the_same_bytes(placed, trained, city, tmp_path):
    query = Query(
        tmp_path / "photo.jpg", tuple(CENTRE + 9), 3, 40, r"5$ a \frac{ for 6$ by its owner, CC BY"
    )
    place_photo(trained, city, tmp_path / "again", query)
    for name in OUTPUTS:
        assert (tmp_path / "again" / name).read_bytes() == (placed[1] / name).read_bytes()


def test_reading_cells_in_blocks_changes_nothing(placed, trained, city, tmp_path, monkeypatch):
    monkeypatch.setattr(index_file, "BLOCK", 100)
    monkeypatch.setattr(two_steps, "CELLS", 70)
    found = place_photo(trained, city, tmp_path / "b", Query(tmp_path / "photo.jpg"))
    np.testing.assert_allclose(found.probability, placed[0].probability, rtol=1e-3)


def rank_tables(folder, ranks, aoi="made"):
    ids = [str(n + 1) for n in range(len(ranks))]
    rows = [
        dict.fromkeys(tables.PAIRS)
        | {"id": i, "aoi": aoi, "easting": 5e5, "northing": 5e6, "lon": 3.0, "lat": 45.0}
        | {"photo_path": f"{i}.jpg", "credit": f"by {i}"}
        for i in ids
    ]
    tables.write_geo(folder / "pairs.parquet", "pairs", rows)
    table = [
        {"id": i, "aoi": aoi, "rank": r, "gallery": len(ranks), "heading_deg": 0.0}
        for i, r in zip(ids, ranks, strict=True)
    ]
    tables.write(folder / "ranks.parquet", "ranks", table)
    return folder / "pairs.parquet", folder / "ranks.parquet"


@pytest.mark.parametrize(
    ("ranks", "chosen"), [([5, 1, 3], "3"), ([4, 1, 9, 2], "4"), ([7], "1"), ([2, 2, 2], "2")]
)
def test_takes_the_photo_of_median_rank(tmp_path, ranks, chosen):
    query = locate.median_photo(*rank_tables(tmp_path, ranks), "made")
    rank = sorted(ranks)[(len(ranks) - 1) // 2]
    assert (query.path.stem, query.rank, query.credit) == (chosen, rank, f"by {chosen}")


def test_an_area_without_ranks_is_named(tmp_path):
    with pytest.raises(UserError, match=r"Area 'other': .* holds no photo of it"):
        locate.median_photo(*rank_tables(tmp_path, [1, 2]), "other")


def command(trained, city, out, *extra):
    argv = ["--spec", json.dumps(SPEC), "--model", str(trained / "model.pt")]
    for name, file in {"cells": "cells.safetensors", "mosaic": "mosaic.tif"}.items():
        argv += [f"--{name}", str(city / file)]
    for name, file in zip(("tif", "png", "geojson"), OUTPUTS, strict=True):
        argv += [f"--{name}", str(out / file)]
    locate.main([*argv, *map(str, extra)])


def test_command_line_of_the_rule_and_by_hand(trained, city, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shoot(tmp_path / "1.jpg", CENTRE, 10)
    pairs, ranks = rank_tables(tmp_path, [1])
    command(trained, city, tmp_path / "rule", "--pairs", pairs, "--ranks", ranks)
    command(trained, city, tmp_path / "hand", "--photo", "1.jpg")
    for name in ("heatmap.tif", "top.geojson"):
        rule, hand = (tmp_path / kind / name for kind in ("rule", "hand"))
        assert rule.read_bytes() == hand.read_bytes()


def test_mistakes_are_named(trained, city, tmp_path):
    with pytest.raises(UserError, match="Give `--photo"):
        command(trained, city, tmp_path)
    (tmp_path / "no.jpg").write_bytes(b"no")
    with pytest.raises(UserError, match=r"no\.jpg is not a readable photo: it is not a JPEG or"):
        command(trained, city, tmp_path, "--photo", tmp_path / "no.jpg")
    Image.new("RGB", (80, 60)).save(tmp_path / "a.gif")
    with pytest.raises(UserError, match=r"a\.gif is not a readable photo") as caught:
        command(trained, city, tmp_path, "--photo", tmp_path / "a.gif")
    assert "object at 0x" not in str(caught.value)
    Image.new("L", (8000, 6251)).save(tmp_path / "large.png", compress_level=1)
    with pytest.raises(UserError, match=r"large\.png is too large: 8000 x 6251 px.*50,000,000"):
        command(trained, city, tmp_path, "--photo", tmp_path / "large.png")
