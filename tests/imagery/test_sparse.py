"""`extent: photos`: only the parts needed by the photos' chips are read and written."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_photos import write_photos
from made_strips import write_tif
from osgeo import gdal, osr
from pyproj import Transformer
from servers import ranges

from witw.imagery import mosaic, sparse
from witw.imagery.strip import source
from witw.imagery.strip.vrt import Raster
from witw.imagery.warp.target_grid import TargetGrid

BOX = [2.9, 35.9, 3.1, 36.1]
LON, LAT, STEP = 3.0, 36.0, 2.7e-6
PLACE = (LON, STEP, 0, LAT, 0, -STEP)
SIDE = 3072
CHIP = 128
SPOTS = [(700.0, 700.0), (720.0, 640.0), (10.0, 2990.25)]
STRETCH = {"kind": "linear", "low": [0] * 3, "high": [2000] * 3}


def photos_at(spots):
    lon, lat = np.array(spots).T
    ids = [str(n) for n in range(len(spots))]
    return pd.DataFrame({"id": ids, "lon": LON + lon * STEP, "lat": LAT - lat * STEP})


@pytest.fixture(scope="module")
def strip(tmp_path_factory):
    """Return a strip like published ones: 512 px blocks, interleaved bands, compressed."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(200, 1500, (4, SIDE // 16, SIDE // 16), "u2")
    data = coarse.repeat(16, 1).repeat(16, 2) + rng.integers(0, 99, (4, SIDE, SIDE), "u2")
    blocks = {"TILED": "YES", "BLOCKXSIZE": 512, "BLOCKYSIZE": 512}
    how = {"COMPRESS": "DEFLATE", "ZLEVEL": 1, "INTERLEAVE": "PIXEL", "NUM_THREADS": 2}
    path = tmp_path_factory.mktemp("served") / "big.tif"
    return Path(write_tif(path, data, PLACE, epsg=4326, nodata=0, **blocks, **how))


def town_of(area, path, extent, **keys):
    keys = {"bands": [4, 2, 1], "chips": {"size_px": CHIP}} | keys
    return area([path], BOX, extent=extent, **keys)


def made(town, photos, stretch=STRETCH):
    """Return chips of photos with a given stretch: table, and bytes of each file."""
    write_photos(town.root / "photos.parquet", photos)
    town.root.joinpath("stretch.json").write_text(json.dumps(stretch))
    mosaic.run(
        town.spec("mosaic"), [town.utm(name) for name in town.names], town.root / "mosaic.vrt"
    )
    rows = town.chips(photos)
    files = [Path(p).read_bytes() if p is not None else b"" for p in rows["chip_path"]]
    return rows.reset_index(), files


def test_chips_are_those_of_the_whole_strip_at_a_fraction_of_the_bytes(area, strip, capsys):
    photos, read, found = photos_at(SPOTS), {}, {}
    with ranges(strip.parent) as server:
        for extent in ("all", "photos"):
            town = town_of(area, f"{server.url}/big.tif", extent)
            server.taken()
            found[extent] = made(town, photos)
            read[extent] = server.taken()["sent"]
            mosaic_ds = gdal.Open(str(town.root / "mosaic.vrt"))
            mask = mosaic_ds.GetRasterBand(1).GetMaskBand().ReadAsArray()
            found[extent] += (np.count_nonzero(mask),)
    (rows, files, covered), (few_rows, few_files, few_covered) = found["all"], found["photos"]
    assert len(files) == 3 and all(files) and files == few_files
    pd.testing.assert_frame_equal(rows, few_rows)
    whole = strip.stat().st_size
    with capsys.disabled():
        print(f"\n3 photos: {read['photos'] / whole:.1%} of the strip's bytes are read")
    assert read["all"] >= 0.95 * whole
    assert read["photos"] <= 0.45 * whole
    assert 0 < few_covered < 0.3 * covered


def test_only_the_shape_is_written_and_chips_on_its_edge_are_full(area, strip):
    corners = np.array([(600.0, 600.0), (1100.0, 700.0), (900.0, 1000.0)])
    photos = photos_at([*corners, *(corners + np.roll(corners, 1, axis=0)) / 2])
    shape = np.stack([photos["lon"], photos["lat"]], axis=1)[:3]
    # Slightly wider, so that photos on the edge are inside.
    shape = (shape.mean(axis=0) + (shape - shape.mean(axis=0)) * 1.0001).tolist()
    whole = made(town_of(area, str(strip), "all"), photos)
    keys = {"bands": [4, 2, 1], "chips": {"size_px": CHIP}}
    town = area([str(strip)], None, area=shape, **keys)
    rows, files = made(town, photos)
    assert all(files) and files == whole[1]
    pd.testing.assert_frame_equal(rows, whole[0])
    mosaic_ds = gdal.Open(str(town.root / "mosaic.vrt"))
    mask = mosaic_ds.GetRasterBand(1).GetMaskBand().ReadAsArray()
    # 500 x 400 px of 3072 x 3072, in tiles of 512.
    assert 0 < np.count_nonzero(mask) < 0.25 * SIDE * SIDE


@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_gdals_engine_writes_no_more(area, tif, rng, dtype):
    data = rng.integers(10, 250, (3, 500, 500)).repeat(4, 1).repeat(4, 2).astype(dtype)
    blocks = {"TILED": "YES", "BLOCKXSIZE": 128, "BLOCKYSIZE": 128}
    path = tif("served/big.tif", data, PLACE, epsg=4326, COMPRESS="DEFLATE", **blocks)
    photos = photos_at([(300, 300)])
    found, read = [], []
    for extent in ("all", "photos"):
        # Another server, about which nothing is cached.
        with ranges("served") as server:
            keys = {"bands": [1, 2, 3], "utm": {"engine": "gdal"}}
            town = town_of(area, f"{server.url}/big.tif", extent, **keys)
            stretch = {"kind": "keep"} if dtype == "u1" else STRETCH | {"high": [250] * 3}
            _, files = made(town, photos, stretch)
            assert all(files)
            read.append(server.taken()["sent"])
            ds = gdal.Open(str(town.strip("big", "utm.tif")))
            valid = ds.GetRasterBand(1).GetMaskBand().ReadAsArray() > 0
            found.append((ds.ReadAsArray().astype(int), valid, ds.GetGeoTransform()))
    assert read[1] < 0.5 * Path(path).stat().st_size <= 0.5 * read[0]
    (whole, there, place), (few, needed, corner) = found
    x, y = round((corner[0] - place[0]) / 0.3), round((place[3] - corner[3]) / 0.3)
    cut = np.s_[y : y + needed.shape[0], x : x + needed.shape[1]]
    # Interpolated positions use different neighbours, so a level may differ occasionally.
    assert needed.sum() > 100_000 and np.array_equal(needed, there[cut])
    assert np.abs(whole[:, *cut] - few)[:, needed].max() <= 1


def test_the_stretch_is_that_of_a_sample_whatever_the_photos(area, strip, monkeypatch):
    monkeypatch.setattr(sparse, "SAMPLE", 6)
    whole = town_of(area, str(strip), "all").stretch()
    with ranges(strip.parent) as server:
        town = town_of(area, f"{server.url}/big.tif", "photos")
        sampled = town.stretch()
        assert server.taken()["sent"] < 0.3 * strip.stat().st_size
        write_photos(town.root / "photos.parquet", photos_at(SPOTS))
        assert town.stretch() == sampled
    assert sampled["low"] == pytest.approx(whole["low"], abs=40)
    assert sampled["high"] == pytest.approx(whole["high"], abs=40)


@pytest.mark.parametrize("dtype", ["u2", "i4"])
def test_a_blank_sample_is_followed_by_the_rest(tif, area, monkeypatch, dtype):
    monkeypatch.setattr(sparse, "SAMPLE", 4)
    data = np.zeros((3, 2048, 2048), dtype)
    data[:, 1900:, 1900:] = 77
    path = tif("a.tif", data, PLACE, epsg=4326, nodata=0, TILED="YES", COMPRESS="DEFLATE")
    town = area([path], BOX, extent="photos", bands=[1, 2, 3])
    assert town.stretch()["low"] == [77, 77, 77]


def test_a_strip_without_photos_is_blank(area, strip):
    town = town_of(area, str(strip), "photos")
    write_photos(town.root / "photos.parquet", photos_at([(-9000.0, -9000.0)]))
    town.mosaic()
    rows = town.chips(photos_at([(700.0, 700.0)]))
    assert rows["blank_fraction"].tolist() == [1] and rows["chip_path"].isna().all()


def test_only_the_tiles_of_a_set_that_are_needed_are_opened(tif, area, rng):
    for row in range(3):
        for col in range(3):
            data = rng.integers(1, 200, (3, 700, 700), "u1")
            place = (LON + col * 700 * STEP, STEP, 0, LAT - row * 700 * STEP, 0, -STEP)
            tif(f"set/{row}{col}.tif", data, place, epsg=4326)
    keys = {"bands": [1, 2, 3], "chips": {"size_px": 64}}
    town = town_of(area, "set/*.tif", "photos", **keys)
    write_photos(town.root / "photos.parquet", photos_at([(1900.0, 1900.0)]))
    town.stretch()
    with ranges("set") as server:
        town = town_of(area, f"{server.url}/*.tif", "photos", **keys)
        source.load("town", town.spec("stats", town.names[0])["strip"])
        server.taken()
        town.utm()
        found = {name for name in server.taken()["asked"] if name.endswith(".tif")}
    assert found == {"/11.tif", "/12.tif", "/21.tif", "/22.tif"}  # tiles are 512 px


pixels = st.integers(-900, 1800)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 1700), st.integers(1, 1700)),
    side=st.integers(1, 800),
    corners=st.lists(st.tuples(pixels, pixels), max_size=4),
)
def test_tiles_equal_a_check_of_every_pixel(shape, side, corners):
    first = np.array(corners, float).reshape(-1, 2)
    shown = np.zeros(shape, bool)
    for x, y in corners:
        shown[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)] = True
    found = sparse.touched(first, first + side, shape)
    for row, col in np.ndindex(found.shape):
        part = shown[row * 512 : (row + 1) * 512, col * 512 : (col + 1) * 512]
        assert found[row, col] == part.any()


@settings(max_examples=40, deadline=None)
@given(
    columns=st.integers(1, 40),
    rows=st.integers(1, 40),
    count=st.integers(1, 80),
)
def test_a_sample_is_even_and_leaves_the_rest(columns, rows, count):
    areas = [(x * 5, y * 7, 5, 7) for y in range(rows) for x in range(columns)]
    parts = sparse.sampled(areas, count)
    assert sorted(area for part in parts for area in part) == sorted(areas)
    if columns * rows <= count:
        assert parts == [areas]
        return
    chosen = parts[0]
    assert count / 2 <= len(chosen) <= count
    if count >= 8 and rows >= 4:  # some in each quarter of the rows
        quarters = {int(4 * y / 7 / rows) for _, y, _, _ in chosen}
        assert quarters == {0, 1, 2, 3}


@settings(max_examples=30, deadline=None)
@given(
    spot=st.tuples(st.floats(-300, 2300), st.floats(-300, 2300)),
    side=st.integers(16, 800),
    lat=st.sampled_from([36.0, -22.9, 60.2]),
)
def test_the_tiles_of_a_chip_hold_its_window(spot, side, lat):
    wkt, place = osr.SpatialReference(), (LON, STEP, 0, lat, 0, -STEP)
    wkt.ImportFromEPSG(4326)
    raster = Raster((), (2000, 2000), place, wkt.ExportToWkt(), "2,1", "Byte", (1, 2, 3))
    epsg = 32631 if lat > 0 else 32731
    grid = TargetGrid(raster, epsg, 0.3)
    lon, lat = np.array([LON + spot[0] * STEP]), np.array([lat - spot[1] * STEP])
    found = sparse.Need(lon, lat, side).tiles(grid)
    east, north = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon[0], lat[0])
    # The window of `chips`, whose mosaic may start at any pixel of the grid.
    left = np.floor(east / 0.3 - side / 2 + 0.5) - round(grid.bounds[0] / 0.3)
    top = np.floor(-north / 0.3 - side / 2 + 0.5) + round(grid.bounds[3] / 0.3)
    height, width = grid.shape
    for x in (left, left + side - 1):
        for y in (top, top + side - 1):
            if 0 <= x < width and 0 <= y < height:
                assert found[int(y) // 512, int(x) // 512]


def test_memory_and_size_grow_with_the_photos_and_not_with_the_scene(area, tif, tmp_path):
    """A scene of 110 km, 366,000 x 366,000 pixels of 0.3 m, of which two photos need little."""
    n = 1100
    y, x = np.mgrid[:n, :n]
    data = np.stack([x % 251, y % 251, (x + y) % 251]).astype("u1")
    east, north = 445_000, 4_035_000
    path = tif("s2.tif", data, (east, 100, 0, north, 0, -100), TILED="YES")
    lon, lat = Transformer.from_crs(32631, 4326, always_xy=True).transform(
        [east + 50_050, east + 50_950], [north - 49_950, north - 50_850]
    )
    photos = pd.DataFrame({"id": ["0", "1"], "lon": lon, "lat": lat})
    town = town_of(area, path, "photos", bands=[1, 2, 3])
    town.stretch()
    write_photos(town.root / "photos.parquet", photos)
    code = (
        "import json, re, sys; from pathlib import Path; from witw.imagery import utm;"
        "utm.run(json.loads(sys.argv[1]), *map(Path, sys.argv[2:4]), 2, Path(sys.argv[4]));"
        # Not ru_maxrss, because a child's value starts with its parent's memory.
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) >> 10)"
    )
    spec, out = json.dumps(town.spec("utm", "s2")), town.strip("s2", "utm.tif")
    words = [spec, str(town.root / "stretch.json"), str(out), str(town.root / "photos.parquet")]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 900  # MB; imports account for half of it
    ds = gdal.Open(str(out))
    assert max(ds.RasterXSize, ds.RasterYSize) <= 9 * 512
    mosaic.run(town.spec("mosaic"), [out], town.root / "mosaic.vrt")
    rows = town.chips(photos)
    assert (rows["blank_fraction"] == 0).all()
    # Pixels of 100 m: a photo in the middle of one has a chip of its colour.
    for name, (column, row) in (("0", (500, 499)), ("1", (509, 508))):
        chip = gdal.Open(rows.loc[name, "chip_path"]).ReadAsArray().astype(int)
        middle = chip[:, CHIP // 2, CHIP // 2]
        assert np.abs(middle - data[:, row, column]).max() <= 2
