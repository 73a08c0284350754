import json
from pathlib import Path

import numpy as np
import pytest

from witw.errors import UserError
from witw.imagery import stats
from witw.imagery.strip import blocks, source

BOX = [2.9, 36.0, 3.1, 36.2]
PLACE = (500_000, 0.3, 0, 4_000_000, 0, -0.3)


def histogram(area):
    path = area.strip(area.names[0], "stats.json")
    stats.run(area.spec("stats", area.names[0]), path)
    return json.loads(path.read_text())


def values(found, band):
    pairs = np.array(found["histogram"][band]).reshape(-1, 2)
    return np.repeat(pairs[:, 0], pairs[:, 1].astype(int))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "f4", "f8"])
def test_whole_numbers_of_any_type_are_counted_exactly(tif, area, rng, dtype):
    low = -300 if dtype == "int16" else 0
    data = rng.integers(low, 250, (5, 70, 90)).astype(dtype)
    found = histogram(area([tif("a.tif", data, PLACE)], BOX, bands=[5, 3, 2], nodata="none"))
    assert not found["binned"]
    assert found["valid"] == found["pixels"] == 70 * 90
    for band, number in enumerate((5, 3, 2)):
        assert np.array_equal(values(found, band), np.sort(data[number - 1].ravel()))


def test_fractions_are_counted_to_a_65536th_of_their_size_and_the_ends_exactly(tif, area, rng):
    data = rng.uniform(0, 1, (3, 70, 90)).astype("f4")
    found = histogram(area([tif("a.tif", data, PLACE)], BOX, bands=[1, 2, 3]))
    for band in range(3):
        expected = np.sort(data[band].ravel()).astype(float)
        assert (np.abs(values(found, band) - expected) <= expected / 65_536).all()
        assert values(found, band)[[0, -1]].tolist() == expected[[0, -1]].tolist()


@pytest.mark.parametrize("declared", [True, False])
def test_a_pixel_is_blank_only_if_all_three_bands_are(tif, area, rng, declared):
    data = rng.integers(1, 500, (4, 60, 60)).astype("u2")
    data[:, :20] = 0
    data[0, 30] = 0  # dark in one band: valid
    data[1:3, 31] = 0  # in two
    data[3, :20] = 9  # a band that is not asked
    path = tif("a.tif", data, PLACE, nodata=0 if declared else None)
    found = histogram(area([path], BOX, bands=[1, 2, 3], nodata="auto" if declared else 0))
    assert found["valid"] == 40 * 60
    for band in range(3):
        assert np.array_equal(values(found, band), np.sort(data[band, 20:].ravel()))


def test_nodata_none_takes_every_pixel(tif, area):
    path = tif("a.tif", np.zeros((3, 10, 10), "u2"), PLACE, nodata=0)
    assert histogram(area([path], BOX, bands=[1, 2, 3], nodata="none"))["valid"] == 100


def test_a_configured_nodata_replaces_the_declared_one(tif, area):
    data = np.full((3, 10, 10), 7, "u2")
    data[:, 0] = 0
    path = tif("a.tif", data, PLACE, nodata=0)
    assert histogram(area([path], BOX, bands=[1, 2, 3], nodata=7))["valid"] == 10


def test_a_mask_and_an_alpha_band_are_respected(tif, area, rng):
    data = rng.integers(0, 500, (3, 40, 40)).astype("u2")
    mask = np.full((40, 40), 255, "u1")
    mask[:, :15] = 0
    masked = tif("m.tif", data, PLACE, mask=mask)
    rgba = np.concatenate([data, mask[None].astype("u2")])
    alpha = tif("a.tif", rgba, PLACE, PHOTOMETRIC="RGB", ALPHA="YES")
    for path in (masked, alpha):
        found = histogram(area([path], BOX, bands=[3, 2, 1]))
        assert found["valid"] == 40 * 25
        assert np.array_equal(values(found, 0), np.sort(data[2, :, 15:].ravel()))


@pytest.mark.parametrize("nodata", ["auto", "none", -9999])
def test_nan_is_blank(tif, area, nodata):
    data = np.ones((3, 10, 10), "f4")
    data[:, :4] = np.nan
    data[:, 4] = -9999
    found = histogram(area([tif("a.tif", data, PLACE)], BOX, bands=[1, 2, 3], nodata=nodata))
    assert found["valid"] == (50 if nodata == -9999 else 60)
    assert set(values(found, 0)) == ({1} if nodata == -9999 else {1, -9999})


def test_one_band_serves_for_three(tif, area, rng):
    data = rng.integers(0, 500, (1, 30, 30)).astype("u2")
    found = histogram(area([tif("a.tif", data, PLACE)], BOX, bands=[1, 1, 1]))
    assert found["histogram"][0] == found["histogram"][1] == found["histogram"][2]
    assert np.array_equal(values(found, 2), np.sort(data.ravel()))


def test_a_set_of_tiles_counts_its_overlap_once_and_its_gaps_never(tif, area, rng):
    scene = rng.integers(1, 500, (3, 40, 100)).astype("u2")
    tif("t/a.tif", scene[:, :, :60], PLACE)
    tif("t/b.tif", scene[:, :, 50:90], (500_000 + 50 * 0.3, *PLACE[1:]))
    tif("t/c.tif", scene[:, :, 95:], (500_000 + 95 * 0.3, *PLACE[1:]))
    found = histogram(area(["t/*.tif"], BOX, bands=[1, 2, 3]))
    seen = np.delete(scene, np.s_[90:95], axis=2)
    assert (found["pixels"], found["valid"]) == (4000, 3800)
    assert np.array_equal(values(found, 1), np.sort(seen[1].ravel()))


def test_units_cover_a_raster_once_and_keep_to_its_blocks(tif):
    for size, tiling in (((1000, 700), 256), ((900, 40), 0), ((10, 10), 512), ((3000, 700), 0)):
        options = {"TILED": "YES", "BLOCKXSIZE": tiling, "BLOCKYSIZE": tiling} if tiling else {}
        path = tif("a.tif", np.ones((3, *size[::-1]), "u1"), PLACE, **options)
        strip = {"name": "a", "path": path, "bands": [1, 2, 3], "nodata": "auto"}
        seen = np.zeros(size[::-1], int)
        with blocks.opened(source.load("town", strip), 1) as reader:
            for window in map(reader.window, reader.units()):
                if tiling:
                    assert window.col_off % tiling == window.row_off % tiling == 0
                x, y = int(window.col_off), int(window.row_off)
                seen[y : y + window.height, x : x + window.width] += 1
        assert (seen == 1).all()


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_many_units_give_the_result_of_one(tif, area, rng, monkeypatch, dtype):
    data = rng.integers(0, 500, (3, 300, 300)).astype(dtype)
    whole = histogram(area([tif("a.tif", data, PLACE)], BOX, bands=[1, 2, 3]))
    monkeypatch.setattr(blocks, "UNIT_PX", 64)
    tiled = tif("a.tif", data, PLACE, TILED="YES", BLOCKXSIZE=64, BLOCKYSIZE=64)
    assert histogram(area([tiled], BOX, bands=[1, 2, 3])) == whole


def test_the_same_strip_gives_the_same_bytes(tif, area, rng):
    town = area(
        [tif("a.tif", rng.integers(0, 9, (3, 9, 9)).astype("u2"), PLACE)], BOX, bands=[1, 2, 3]
    )
    histogram(town)
    first = town.strip("a", "stats.json").read_bytes()
    histogram(town)
    assert town.strip("a", "stats.json").read_bytes() == first


def test_a_damaged_file_is_reported(tif, area, rng):
    data = rng.integers(0, 500, (3, 300, 300)).astype("u2")
    path = tif("a.tif", data, PLACE, COMPRESS="DEFLATE")
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"Area 'town': strip file a\.tif"):
        histogram(area([path], BOX, bands=[1, 2, 3]))
