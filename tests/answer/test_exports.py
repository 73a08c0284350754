"""The files for a GIS, read back by libraries other than those that wrote them."""

import json
import math
import subprocess
import sys
import xml.etree.ElementTree as ET

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from made_answer import EPSG, answer, grid, hills
from pyproj import Transformer
from rasterio.warp import transform_geom

from witw.answer import content, exports, regions
from witw.cvig.grid import Grid
from witw.cvig.scoring.calibration import STEPS, Calibration


@pytest.fixture
def found(tmp_path):
    return answer(tmp_path)


def test_the_raster_holds_probabilities_and_levels(found, tmp_path):
    exports.write_tif(tmp_path / "p.tif", found)
    with rasterio.open(tmp_path / "p.tif") as raster:
        probability, entry = raster.read()
        assert raster.crs.to_epsg() == EPSG
        assert np.isnan(raster.nodata)
        assert float(raster.tags()["presence"]) == pytest.approx(0.7)
        row, column = np.unravel_index(np.nanargmax(probability), probability.shape)
        best = found.places(1)[0]
        assert raster.xy(row, column) == pytest.approx((best.easting, best.northing))
    assert np.nansum(probability) == pytest.approx(1, abs=1e-5)
    assert np.isfinite(probability).sum() == len(found.grid.cells)
    inside = entry < 80
    assert 0.8 <= np.nansum(np.where(inside, probability, 0)) < 0.85
    assert np.nanmin(probability[inside]) >= np.nanmax(np.where(inside, np.nan, probability))


def test_places_lie_at_their_coordinates(found):
    told = exports.places(found)
    assert [f["properties"]["rank"] for f in told["features"]] == list(range(1, 11))
    to_metres = Transformer.from_crs(4326, EPSG, always_xy=True)
    for feature in told["features"]:
        at = feature["properties"]
        east, north = to_metres.transform(*feature["geometry"]["coordinates"])
        assert (east, north) == pytest.approx((at["easting"], at["northing"]), abs=0.02)
        assert at["probability_absolute"] == pytest.approx(0.7 * at["probability"], rel=1e-4)
    json.dumps(told, allow_nan=False)


def test_unknown_values_are_null(tmp_path):
    found = answer(tmp_path, here=math.nan)
    blind = answer(tmp_path, here=math.nan, heading_deg=np.full_like(found.heading_deg, math.nan))
    told = json.loads(json.dumps(exports.places(blind), allow_nan=False))
    assert told["presence"] is None
    assert told["features"][0]["properties"]["heading_deg"] is None
    assert "nan" not in exports.kml(blind).lower()


def test_regions_are_valid_nested_and_of_the_stated_size(found, tmp_path):
    path = tmp_path / "r.geojson"
    path.write_text(json.dumps(exports.region_features(found)))
    table = geopandas.read_file(path)
    assert table.crs.to_epsg() == 4326
    assert table["level_pct"].tolist() == [95, 80, 50]
    assert table.geometry.is_valid.all()
    shapes = dict(zip(table["level_pct"], table.geometry, strict=True))
    # Corners are rounded to a centimetre, 1e-7 degrees.
    assert shapes[95].buffer(2e-7).contains(shapes[80])
    assert shapes[80].buffer(2e-7).contains(shapes[50])
    metres = table.to_crs(EPSG).geometry.area / 1e6
    assert metres.tolist() == pytest.approx(table["area_km2"].tolist(), rel=1e-3)
    for _, row in table.iterrows():
        assert row["map_pct"] >= row["level_pct"]
        for polygon in shapely.get_parts(row.geometry):
            # RFC 7946: outer rings anticlockwise, holes clockwise.
            assert polygon.exterior.is_ccw
            assert not any(ring.is_ccw for ring in polygon.interiors)


def test_cells_that_touch_at_corners_only_are_valid():
    of = grid(6, 6, ())
    chess = (np.add(*np.divmod(np.arange(36), 6)) % 2).astype(bool)
    ring = np.ones(36, bool)
    ring[[7, 14, 21, 28]] = False  # holes that touch at corners, and the outside
    ring[35] = False
    for inside in (chess, ring, np.zeros(36, bool), np.ones(36, bool)):
        shape = regions.polygons(inside, of)
        assert shape.is_valid
        if not inside.any():
            assert shape.is_empty
            continue
        back = transform_geom("EPSG:4326", f"EPSG:{EPSG}", shapely.geometry.mapping(shape))
        assert shapely.geometry.shape(back).area == pytest.approx(
            inside.sum() * of.step_m**2, rel=1e-3
        )


def test_a_region_across_the_180th_meridian_is_cut_there():
    # Fiji, zone 60 south: its eastern edge is the meridian.
    east, north = Transformer.from_crs(4326, 32760, always_xy=True).transform(180.0, -17.0)
    of = Grid(32760, 100.0, east - 500.0, north + 500.0, 10, 10, np.arange(100))
    shape = regions.polygons(np.ones(100, bool), of)
    assert shape.is_valid
    parts = list(shapely.get_parts(shape))
    assert len(parts) == 2
    assert all(p.bounds[2] - p.bounds[0] < 0.1 for p in parts)
    assert {round(p.bounds[0]) for p in parts} == {-180, 180}


def test_coverage_recounted_from_the_exported_regions(tmp_path):
    """Exported regions keep their coverage for places drawn from maps that are too sharp."""
    of = grid(24, 24, ())
    rng = np.random.default_rng(0)
    to_degrees = Transformer.from_crs(EPSG, 4326, always_xy=True)

    def drawn(count):
        """Return a map that is too sharp, and a place drawn from the true one."""
        for _ in range(count):
            true = hills(of, seed=int(rng.integers(1 << 30)), height=4.0)
            sharp = true**1.6
            yield sharp / sharp.sum(), rng.choice(len(true), p=true)

    plain = Calibration(0.05, 0.0)
    before = []
    for sharp, cell in drawn(400):
        falling = sharp[sharp > sharp[cell]].sum()
        before.append(falling)
    held = tuple(float(v) for v in np.quantile(before, np.array(STEPS) / 100))
    fitted = Calibration(0.05, 0.0, held)
    hits = {50: 0, 80: 0, 95: 0}
    naive = 0
    for sharp, cell in drawn(300):
        found = answer(tmp_path, sharp, of, calibration=fitted)
        east, north = of.centres()[cell] + rng.uniform(-13, 13, 2)
        point = shapely.Point(*to_degrees.transform(east, north))
        for feature in exports.region_features(found)["features"]:
            shape = shapely.from_geojson(json.dumps(feature["geometry"]))
            hits[feature["properties"]["level_pct"]] += shape.contains(point)
        naive += plain.entry_pct(sharp)[cell] < 50
    for level, count in hits.items():
        assert 100 * count / 300 == pytest.approx(level, abs=5), level
    assert 100 * naive / 300 < 42


def test_the_kml_has_the_structure_that_earth_viewers_read(found, tmp_path):
    evil = answer(tmp_path, name="<b>&.jpg")
    (tmp_path / "a.kml").write_text(exports.kml(evil))
    root = ET.parse(tmp_path / "a.kml").getroot()
    names = [e.text for e in root.iter("{http://www.opengis.net/kml/2.2}name")]
    assert names[0] == "<b>&.jpg"
    assert names[1:4] == ["95 % region", "80 % region", "50 % region"]
    table = geopandas.read_file(tmp_path / "a.kml")
    shape = table[table["Name"] == "80 % region"].geometry.iloc[0]
    told = exports.region_features(evil)["features"][1]
    assert shape.equals_exact(
        shapely.from_geojson(json.dumps(told["geometry"])), 1e-6, normalize=True
    )
    first = table[table["Name"] == "1"].geometry.iloc[0]
    best = evil.places(1)[0]
    assert (first.x, first.y) == pytest.approx((best.lon, best.lat), abs=1e-6)


def test_gdal_opens_them(found, tmp_path):
    from witw.answer import write

    paths = write.files_of(tmp_path / "out", found)
    assert [p.name for p in paths] == list(write.NAMES)
    for path in paths[1:3]:
        done = subprocess.run(
            [sys.executable, "-c", f"from osgeo import ogr; d = ogr.Open({str(path)!r}); "
             "print(d.GetLayer().GetFeatureCount())"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert int(done.stdout) in (3, 10)


def test_sentences_have_two_digits():
    values = (0.0, 0.00004, 0.00123, 0.029, 0.03, 0.0996, 0.1234, 0.9951, 1.0)
    told = ["0 %", "below 0.01 %", "0.12 %", "2.9 %", "3.0 %", "10 %", "12 %", "over 99 %", "100 %"]
    assert [content.percent(v) for v in values] == told
