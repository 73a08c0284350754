"""Shapes of areas: containment by another rule, files in any CRS, the 180th meridian."""

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from matplotlib.path import Path as Outline
from pyproj import Geod

from witw.config import load
from witw.errors import UserError
from witw.ground import shapes
from witw.spec import build

STRIPS = {"strips": ["a.tif"]}
CORNERS = [[10.0, 50.0], [10.4, 50.1], [10.3, 50.4], [10.1, 50.2]]
RING = [*CORNERS, CORNERS[0]]
POLYGON = {"type": "Polygon", "coordinates": [RING]}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def area(**keys):
    return load({"aois": {"town": STRIPS | keys}}).aois["town"]


def spread(bbox_deg, count=4000):
    rng = np.random.default_rng(3)
    west, south, east, north = bbox_deg
    return rng.uniform(west - 0.1, east + 0.1, count), rng.uniform(south - 0.1, north + 0.1, count)


def written(name, crs=4326, **options):
    frame = geopandas.GeoDataFrame(geometry=[shapely.Polygon(CORNERS)], crs=4326).to_crs(crs)
    frame.to_file(name, **options)
    return name


@pytest.mark.parametrize(
    "given",
    [
        lambda: CORNERS,
        lambda: POLYGON,
        lambda: {"type": "Feature", "geometry": POLYGON, "properties": {}},
        lambda: written("a.geojson"),
        lambda: written("a.gpkg", 32632),
        lambda: written("a.shp", 3857),
    ],
)
def test_containment_equals_matplotlibs(given):
    ground = area(area=given()).ground
    assert ground.bbox_deg == pytest.approx((10.0, 50.0, 10.4, 50.4), abs=1e-7)
    lon, lat = spread(ground.bbox_deg)
    expected = Outline(RING).contains_points(np.stack([lon, lat], axis=1))
    assert 400 < expected.sum() < 1500
    assert np.array_equal(ground.holds(lon, lat), expected)


def test_several_boxes_are_their_union():
    ground = area(area=[[10, 50, 11, 51], [12, 50, 13, 51]]).ground
    lon, lat = spread((10, 50, 13, 51))
    expected = (lat > 50) & (lat < 51) & (((lon > 10) & (lon < 11)) | ((lon > 12) & (lon < 13)))
    assert np.array_equal(ground.holds(lon, lat), expected)


@pytest.mark.parametrize("lat", [0.0, 48.0, 70.0])
def test_a_buffer_is_metres_on_the_ground(lat):
    ground = area(area={"type": "Point", "coordinates": [10.0, lat]}, buffer_m=5000).ground
    geod = Geod(ellps="WGS84")
    for azimuth in range(0, 360, 15):
        for metres, inside in ((4950, True), (5050, False)):
            lon, here, _ = geod.fwd(10.0, lat, azimuth, metres)
            assert bool(ground.holds(lon, here)) is inside


def test_a_buffer_widens_a_box_too():
    ground = area(bbox_deg=[10, 50, 10.1, 50.1], buffer_m=1000).ground
    assert ground.holds(10.05, 50.1 + 0.9 / 111.2) and not ground.holds(10.05, 50.1 + 1.1 / 111.2)


@pytest.mark.parametrize(
    "keys",
    [
        {"bbox_deg": [179, -17, -179, -16]},
        {"bbox_deg": [179, -17, 181, -16]},
        {"area": [[179, -17, -179, -16]]},
        {"area": {"type": "MultiPolygon", "coordinates": [
            [[[179, -17], [180, -17], [180, -16], [179, -16], [179, -17]]],
            [[[-180, -17], [-179, -17], [-179, -16], [-180, -16], [-180, -17]]],
        ]}},
    ],
)  # fmt: skip
def test_an_area_may_cross_the_180th_meridian(keys):
    town = area(**keys)
    assert town.bbox_deg == (179, -17, 181, -16)
    lon = np.array([178.9, 179.1, 180.0, -180.0, -179.1, -178.9, 0.0])
    expected = [False, True, True, True, True, False, False]
    assert town.ground.holds(lon, np.full(7, -16.5)).tolist() == expected
    assert shapes.boxes(town.bbox_deg) == [(179, -17, 180, -16), (-180, -17, -179, -16)]
    assert town.utm_epsg in (32760, 32701)


def test_a_buffered_polygon_may_cross_the_180th_meridian():
    town = area(area=[[179.9, 0], [180.1, 0], [180.1, 0.2], [179.9, 0.2]], buffer_m=1000)
    assert town.ground.holds([179.95, -179.95, 179.892, 179.8], [0.1] * 4).tolist() == [
        True, True, True, False,
    ]  # fmt: skip


def test_a_changed_file_changes_its_readers_specs():
    raw = {"aois": {"bern": STRIPS | {"bbox_deg": [7, 46, 8, 47]}, "town": STRIPS}}
    raw["aois"]["town"] = STRIPS | {"area": written("a.geojson")}

    def specs():
        config = load(raw)
        stages = ("search", "stats", "utm", "chips", "index", "pairs", "dataset")
        joint = ("dataset",)
        return {
            (stage, aoi): build(config, stage, None if stage in joint else aoi, "a")
            for stage in stages
            for aoi in ("bern", "town")
        }

    before = specs()
    assert "shape" not in json.loads(before["search", "bern"])
    told = json.loads(before["utm", "town"])["shape"]
    assert told["area"] == "a.geojson" and len(told["sha256"]) == 64
    # Saving the file unchanged reruns nothing; a move by a centimetre reruns its readers.
    text = Path("a.geojson").read_text()
    Path("a.geojson").write_text(text)
    assert specs() == before
    Path("a.geojson").write_text(text.replace("10.1", "10.1000001"))
    after = specs()
    changed = {key for key in before if after[key] != before[key]}
    assert changed == {("search", "town"), ("utm", "town"), ("index", "town")} | {
        ("dataset", "bern"), ("dataset", "town"),
    }  # fmt: skip
    # A job planned before the change stops.
    with pytest.raises(UserError, match=r"'town': `area` a\.geojson has changed"):
        shapes.ground(json.loads(before["search", "town"]))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"area": "no.geojson"}, "`area` no.geojson does not exist"),
        ({"area": []}, "is missing"),
        ({"area": [[1, 2, 3]]}, "`area` is not a shape"),
        ({"area": {"type": "Blob"}}, "not a GeoJSON geometry"),
        ({"area": {"type": "Point", "coordinates": [1, 1]}}, "contains no polygon"),
        ({"area": CORNERS, "bbox_deg": [1, 1, 2, 2]}, "give one of the two"),
        ({"area": [[-170, 1], [170, 1], [170, 2]]}, "more than half of the Earth"),
        ({"area": [[1, 85], [2, 85], [2, 86]]}, "UTM's latitude"),
        ({"bbox_deg": [1, 1, 2, 2], "buffer_m": -1}, "`buffer_m`"),
        ({"bbox_deg": [10.8, 1, 10.7, 2]}, "west 10.8 is not less than east 10.7"),
    ],
)
def test_an_invalid_area_gives_one_sentence(keys, words):
    with pytest.raises(UserError, match=words) as caught:
        area(**keys)
    assert "'town'" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_without_a_shape_gives_one_sentence():
    Path("a.csv").write_text("a,b\n1,2\n")
    Path("b.geojson").write_text("{")
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        geopandas.GeoDataFrame(geometry=[shapely.Polygon(CORNERS)]).to_file("c.gpkg")
    for name, words in (("a.csv", "contains no shapes"), ("b.geojson", "cannot be read"),
                        ("c.gpkg", "has no CRS")):  # fmt: skip
        with pytest.raises(UserError, match=words) as caught:
            area(area=name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_splits_are_compared_by_their_real_shapes():
    def config(split, other):
        return load({"aois": {
            "a": STRIPS | {"area": [[10, 50], [11, 50], [10, 51]]},
            "b": STRIPS | {"area": other, "split": split},
        }})  # fmt: skip

    apart = [[11, 50.01], [11, 51], [10.01, 51]]  # their boxes overlap
    touching = [[11, 50.0], [11, 51], [10.0, 51]]
    into = [[11, 49.9], [11, 51], [9.9, 51]]
    config("test", apart)
    config("test", touching)
    config("train", into)
    with pytest.raises(UserError, match=r"'a' \(train\) and area 'b' \(test\) overlap"):
        config("test", into)
