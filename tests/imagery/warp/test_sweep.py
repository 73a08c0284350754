import itertools
import zlib

import numpy as np
import pytest
from osgeo import gdal
from pyproj import Transformer

from witw.geo import utm_epsg
from witw.imagery import utm
from witw.imagery.strip import blocks, single_file, source
from witw.imagery.warp import cog, kernel, sweep
from witw.imagery.warp.target_grid import TargetGrid

BOX = [2.9, 36.0, 3.1, 36.2]
METRES = (500_000, 0.3, 0, 4_000_000, 0, -0.3)
STEP = 2.7e-6


def read(path):
    ds = gdal.Open(str(path))
    return ds.ReadAsArray().astype(int), ds.GetRasterBand(1).GetMaskBand().ReadAsArray() > 0


def both(town, name=None):
    """Return RGB and mask by the sweep and by GDAL."""
    town.stretch()
    swept = read(town.utm(name))
    spec = town.spec("utm", name or town.names[0])
    spec["utm"]["engine"] = "gdal"
    path = town.strip(name or town.names[0], "utm.tif")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utm, "MAX_SHIFT_PX", 0)  # every position by PROJ
        utm.run(spec, town.root / "stretch.json", path)
    return swept, read(path)


def loaded(town):
    """Return the first strip of an area."""
    return source.load("town", town.spec("stats", town.names[0])["strip"])


def grid_of(path, epsg):
    """Return the target grid of a file."""
    strip = {"name": "a", "path": path, "bands": [1, 1, 1], "nodata": "auto"}
    return TargetGrid(source.load("town", strip), epsg, 0.3)


def eroded(mask, by):
    """Return pixels further than `by` from any blank pixel and from the raster's edge."""
    whole = np.pad(mask, 1)
    for _ in range(by):
        inner = whole.copy()
        for axis in (0, 1):
            inner &= np.roll(whole, 1, axis) & np.roll(whole, -1, axis)
        whole = inner
    return whole[1:-1, 1:-1]


def scene(rng, bands, n, dtype, top):
    coarse = rng.normal(0, 1, (bands, n // 8 + 1, n // 8 + 1)).repeat(8, 1).repeat(8, 2)[:, :n, :n]
    data = coarse + 0.4 * rng.normal(0, 1, (bands, n, n))
    return np.clip(top / 2 + data * top / 6, 1, top).astype(dtype)


@pytest.mark.parametrize("seed", range(10))
def test_any_strip_equals_gdals_to_one_grey_level(tif, area, seed):
    rng = np.random.default_rng(seed)
    n, bands = int(rng.integers(180, 420)), int(rng.choice([1, 3, 4, 8]))
    dtype, top = [("u1", 255), ("u2", 2047), ("i2", 2047), ("f4", 2047)][seed % 4]
    data = scene(rng, bands, n, dtype, top)
    lon, lat = float(rng.uniform(-170, 170)), float(rng.uniform(-60, 70))
    epsg = utm_epsg(lon, lat)
    kind = ["degrees", "metres", "fine", "web", "turned"][seed % 5]
    east, north = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    place, code = {
        "degrees": ((lon, STEP, 0, lat, 0, -STEP), 4326),
        "metres": ((east, 0.4, 0, north, 0, -0.4), epsg),
        "fine": ((east, 0.13, 0, north, 0, -0.17), epsg),
        "web": ((lon * 111_319.49, 0.5, 0, 0, 0, -0.5), 3857),
        "turned": ((east, 0.35, 0.12, north, 0.1, -0.37), epsg),
    }[kind]
    if kind == "web":
        y = Transformer.from_crs(4326, 3857, always_xy=True).transform(lon, lat)[1]
        place = (*place[:3], y, *place[4:])
    nodata = None
    if seed % 2:
        nodata = 0
        for _ in range(3):
            (a, b), (h, w) = rng.integers(0, n - 40, 2), rng.integers(1, n // 3, 2)
            data[:, a : a + h, b : b + w] = 0
    tiled = {"TILED": "YES", "BLOCKXSIZE": 64, "BLOCKYSIZE": 64} if seed % 3 else {}
    path = tif("a.tif", data, place, epsg=code, nodata=nodata, **tiled)
    box = [lon - 0.02, lat - 0.02, lon + 0.02, lat + 0.02]
    chosen = {1: [1, 1, 1], 3: [3, 2, 1], 4: [3, 2, 1], 8: [5, 3, 2]}[bands]
    (rgb, mask), (other, other_mask) = both(area([path], box, bands=chosen))
    assert mask.shape == other_mask.shape
    assert (mask != other_mask).sum() <= 4 + mask.size // 20_000
    inside = eroded(mask & other_mask, 8)
    assert inside.sum() > 1000
    off = np.abs(rgb - other)[:, inside]
    assert off.max() <= 1 and (off == 0).mean() >= 0.999


@pytest.mark.parametrize("kind", ["tiles", "masked", "floats"])
def test_strips_that_are_not_plain_are_read_in_layers(tif, area, rng, kind):
    data = rng.integers(1, 250, (3, 150, 300)).astype("f8" if kind == "floats" else "u1")
    if kind == "tiles":
        tif("t/a.tif", data[..., :160], METRES)
        tif("t/b.tif", data[..., 150:], (METRES[0] + 150 * 0.3, *METRES[1:]))
        town = area(["t/*.tif"], BOX, bands=[1, 2, 3])
    else:
        mask = np.where(np.arange(300) < 40, 0, 255).astype("u1") * np.ones((150, 1), "u1")
        mask = mask if kind == "masked" else None
        town = area([tif("a.tif", data, METRES, mask=mask)], BOX, bands=[1, 2, 3])
    (rgb, mask), (other, other_mask) = both(town)
    assert single_file.plain(loaded(town)) is None
    assert np.array_equal(mask, other_mask) and mask.mean() > 0.8
    assert np.abs(rgb - other)[:, eroded(mask, 8)].max() <= 1


@pytest.mark.parametrize(("dtype", "nodata"), [("u2", None), ("u2", 0), ("i2", -7), ("u1", 255)])
def test_a_plain_strip_equals_its_vrt(tif, area, rng, dtype, nodata):
    data = rng.integers(0, 250, (4, 70, 90)).astype(dtype)
    if nodata is not None:
        data[:, 20:40, :30] = nodata
        data[2, 50] = nodata
    town = area([tif("a.tif", data, METRES, nodata=nodata)], BOX, bands=[4, 1, 3])
    town.stretch()
    vrt = town.rgb8()
    raster = loaded(town)
    found = single_file.plain(raster)
    assert found is not None and found.signed == (dtype == "i2")
    with blocks.opened(raster, 1, source.eight_bit(raster, town.root / "stretch.json")) as reader:
        found = reader.rgba((0, 0))
    shown = gdal.Open(str(vrt)).ReadAsArray()
    valid = shown[3] > 0
    assert valid.mean() == pytest.approx(1 if nodata is None else 1 - 600 / 6300)
    assert np.array_equal(found[..., 3], valid)
    assert np.array_equal(found[valid][:, :3], shown[:3, valid].T) and not found[~valid].any()


def test_only_a_few_rows_of_blocks_are_held(tif, area, rng):
    counts = []
    for height in (3000, 9000):
        data = rng.integers(1, 250, (3, height, 700)).astype("u1")
        path = tif("a.tif", data, METRES, TILED="YES", BLOCKXSIZE=256, BLOCKYSIZE=256)
        grid = grid_of(path, 32631)
        counts.append(sweep.SweepPlan(grid, kernel.taps("lanczos", (1, 1)), (512, 512)).peak_bytes)
    assert counts[0] == counts[1]


def test_positions_are_exact_to_a_ten_thousandth_of_a_pixel(tif):
    path = tif("a.tif", np.ones((1, 900, 900), "u1"), (5.9, STEP, 0, 56.1, 0, -STEP), epsg=4326)
    grid = grid_of(path, 32632)
    step = grid.step()
    rows = [grid.nodes(step, row) for row in range(-(-grid.shape[0] // 512))]
    # The last corners of a row of tiles are the first of the next one.
    assert all(np.array_equal(a[-1], b[0]) for (a, _), (b, _) in itertools.pairwise(rows))
    x, y = (np.concatenate([row[i][:-1] for row in rows]) for i in (0, 1))
    rng = np.random.default_rng(0)
    r, c = rng.uniform(0, grid.shape[0], 500), rng.uniform(0, grid.shape[1], 500)
    i, j = (r // step).astype(int), (c // step).astype(int)
    v, u = r / step - i, c / step - j
    for nodes, exact in zip((x, y), grid.source_px(c, r), strict=True):
        top = nodes[i, j] * (1 - u) + nodes[i, j + 1] * u
        low = nodes[i + 1, j] * (1 - u) + nodes[i + 1, j + 1] * u
        assert np.abs(top * (1 - v) + low * v - exact).max() <= 1e-4


def test_a_strip_far_finer_than_the_grid_is_left_to_gdal(tif, area, rng, caplog):
    data = rng.integers(1, 250, (3, 400, 400)).astype("u1")
    town = area(
        [tif("a.tif", data, (500_000, 0.005, 0, 4_000_000, 0, -0.005))], BOX, bands=[1, 2, 3]
    )
    town.stretch()
    with caplog.at_level("INFO", "witw"):
        _, mask = read(town.utm())
    assert mask.any() and "GDAL warps" in caplog.text


def test_overviews_are_means_of_pixels_with_data(tif, area, rng):
    data = rng.integers(1, 250, (3, 1300, 700)).astype("u1")
    data[:, :300] = 0
    data[:, 700:703, 100:105] = 0
    on_grid = (300 * 1700.0, 0.3, 0, 300 * 13_000.0, 0, -0.3)
    town = area([tif("a.tif", data, on_grid, nodata=0)], BOX, bands=[1, 2, 3])
    town.stretch()
    ds = gdal.Open(str(town.utm()))
    rgb, valid = ds.ReadAsArray().astype(float), ds.GetRasterBand(1).GetMaskBand().ReadAsArray() > 0
    for level in range(ds.GetRasterBand(1).GetOverviewCount()):
        high, wide = (-(-s // 2) for s in valid.shape)
        rgb, valid = (
            np.pad(
                a,
                [(0, 0)] * (a.ndim - 2)
                + [(0, 2 * high - a.shape[-2]), (0, 2 * wide - a.shape[-1])],
            )
            for a in (rgb, valid)
        )
        count = valid.reshape(high, 2, wide, 2).sum((1, 3))
        total = (rgb * valid).reshape(3, high, 2, wide, 2).sum((2, 4))
        rgb, valid = np.floor(total / np.maximum(count, 1) + 0.5), count > 0
        bands = [ds.GetRasterBand(b).GetOverview(level) for b in (1, 2, 3)]
        assert np.array_equal(bands[0].GetMaskBand().ReadAsArray() > 0, valid)
        for band, want in zip(bands, rgb, strict=True):
            assert np.array_equal(band.ReadAsArray()[valid], want[valid])


def test_tiles_that_are_not_needed_are_blank_and_cost_no_read(
    tif, area, rng, tmp_path, monkeypatch
):
    data = rng.integers(1, 250, (3, 1500, 1500)).astype("u1")
    tiled = {"TILED": "YES", "BLOCKXSIZE": 256, "BLOCKYSIZE": 256}
    town = area([tif("a.tif", data, METRES, **tiled)], BOX, bands=[1, 2, 3])
    town.stretch()
    whole, _ = read(town.utm())
    units, usual = set(), blocks.Reader.rgba

    def seen(reader, unit):
        units.add(unit)
        return usual(reader, unit)

    monkeypatch.setattr(blocks.Reader, "rgba", seen)

    raster = loaded(town)
    grid = TargetGrid(raster, 32631, 0.3)
    wanted = np.zeros([-(-side // 512) for side in grid.shape], bool)
    wanted[1, 2] = True
    out = tmp_path / "few.tif"
    to_8_bit = source.eight_bit(raster, town.root / "stretch.json")
    sweep.run(raster, to_8_bit, grid, "lanczos", 2, tmp_path, out, wanted)
    rgb, mask = read(out)
    one = np.s_[512:1024, 1024:1536]
    assert np.array_equal(rgb[:, *one], whole[:, *one]) and mask[one].any()
    mask[one] = False
    assert not mask.any() and len(units) == 6


@pytest.mark.parametrize("blank", [0, 1, 512 * 512])
def test_a_tiles_streams_are_what_zlib_reads(rng, blank):
    tile = np.full((512, 512, 4), 255, np.uint8)
    tile[..., :3] = rng.integers(0, 9, (512, 512, 3)).cumsum(axis=1)
    tile.reshape(-1, 4)[:blank] = 0
    made = cog.encode(tile)
    if blank == 512 * 512:
        assert made.colours == made.mask == b""
        return
    steps = np.frombuffer(zlib.decompress(made.colours), np.uint8).reshape(512, 512, 3)
    assert np.array_equal(steps.cumsum(axis=1, dtype=np.uint8), tile[..., :3])
    mask = np.unpackbits(np.frombuffer(zlib.decompress(made.mask), np.uint8))
    assert np.array_equal(mask.reshape(512, 512), tile[..., 3] > 0)
