import json

import numpy as np
import pytest
from osgeo import gdal

from witw.errors import UserError
from witw.imagery.stretch import percentile
from witw.imagery.strip.eight_bit import steps, table

BOX = [2.9, 36.0, 3.1, 36.2]
PLACE = (500_000, 0.3, 0, 4_000_000, 0, -0.3)
BESIDE = (500_100, 0.3, 0, 4_000_000, 0, -0.3)


def test_percentiles_of_merged_strips_are_numpys_to_the_last_bit(tif, area, rng):
    one = rng.gamma(4, 90, (3, 71, 93)).astype("u2") + 1
    two = rng.gamma(6, 50, (3, 40, 55)).astype("u2") + 1
    one[:, :9] = 0
    town = area(
        [tif("one.tif", one, PLACE, nodata=0), tif("two.tif", two, BESIDE)],
        BOX,
        bands=[3, 2, 1],
        stretch={"low_pct": 2.3, "high_pct": 97.7},
    )
    found = town.stretch()
    for band, number in enumerate((2, 1, 0)):
        valid = np.concatenate([one[number, 9:].ravel(), two[number].ravel()])
        assert found["low"][band] == np.percentile(valid, 2.3)
        assert found["high"][band] == np.percentile(valid, 97.7)


@pytest.mark.parametrize("seed", range(20))
def test_any_percentile_of_any_counts_is_numpys(seed):
    rng = np.random.default_rng(seed)
    values = np.unique(rng.integers(-500, 3000, rng.integers(1, 60)))
    counts = rng.integers(1, 30, len(values))
    for pct in (0, 2, 50, 98, 100, *rng.uniform(0, 100, 30)):
        assert percentile(values, counts, pct) == np.percentile(np.repeat(values, counts), pct)


def test_the_table_is_the_published_rounding():
    values = np.arange(0, 3000)
    low, high = 100.25, 2047.5
    expected = [
        min(255, max(0, int((v - low) * 255 / (high - low) + 0.5))) if v > low else 0
        for v in values
    ]
    assert table(values, low, high).tolist() == expected
    assert table([0, 1, 255], 0, 255).tolist() == [0, 1, 255]
    assert table([0.5, 1.5, 2.5], 0, 255).tolist() == [1, 2, 3]  # halves up, never to even


@pytest.mark.parametrize(
    ("low", "high"), [(0, 255), (101.3, 1833.7), (-5.5, 3), (7, 7), (0.1, 0.2)]
)
def test_steps_are_the_first_values_of_each_level(low, high):
    starts = steps(low, high)
    levels = np.arange(1, 256)
    assert (table(starts, low, high) >= levels).all()
    assert (table(np.nextafter(starts, -np.inf), low, high) < levels).all()


def test_a_band_of_one_value_is_mid_grey(tif, area):
    assert table([6, 7, 8], 7, 7).tolist() == [0, 128, 255]
    town = area([tif("a.tif", np.full((3, 9, 9), 7, "u2"), PLACE)], BOX, bands=[1, 2, 3])
    assert town.stretch()["low"] == town.stretch()["high"] == [7, 7, 7]


def test_eight_bit_strips_are_kept_by_default(tif, area, rng):
    bytes_ = rng.integers(50, 90, (3, 50, 50)).astype("u1")
    words = rng.integers(500, 900, (3, 50, 50)).astype("u2")
    one, two = tif("one.tif", bytes_, PLACE), tif("two.tif", words, BESIDE)
    assert area([one], BOX, bands=[1, 2, 3]).stretch() == {"kind": "keep"}
    mixed = area([one, two], BOX, bands=[1, 2, 3]).stretch()
    assert mixed["low"][0] == np.percentile(words[0], 2)  # the 8-bit strip has no say
    told = area([one], BOX, bands=[1, 2, 3], stretch={"eight_bit": "stretch"}).stretch()
    assert (told["kind"], told["high"][1]) == ("linear", np.percentile(bytes_[1], 98))


def test_an_area_without_a_valid_pixel_is_reported(tif, area):
    path = tif("a.tif", np.zeros((3, 9, 9), "u2"), PLACE, nodata=0)
    with pytest.raises(UserError, match="Area 'town': no strip has a valid pixel"):
        area([path], BOX, bands=[1, 2, 3]).stretch()


def test_a_blank_strip_beside_a_good_one_does_no_harm(tif, area):
    blank = tif("a.tif", np.zeros((3, 9, 9), "u2"), PLACE, nodata=0)
    good = tif("b.tif", np.arange(243, dtype="u2").reshape(3, 9, 9), BESIDE)
    found = area([blank, good], BOX, bands=[1, 2, 3]).stretch()
    assert found["low"][0] == np.percentile(np.arange(81), 2)


def test_stretch_json_is_plain_and_repeatable(tif, area, rng):
    town = area(
        [tif("a.tif", rng.integers(0, 99, (3, 9, 9)).astype("u2"), PLACE)], BOX, bands=[1, 2, 3]
    )
    found = town.stretch()
    text = (town.root / "stretch.json").read_text()
    assert json.loads(text).items() >= found.items()
    assert set(found) == {"kind", "low", "high", "eight_bit"}
    town.stretch()
    assert (town.root / "stretch.json").read_text() == text


def declared(path, scale, offset):
    """Write a scale and an offset into a file."""
    ds = gdal.Open(path, gdal.GA_Update)
    for number in range(1, ds.RasterCount + 1):
        ds.GetRasterBand(number).SetScale(scale)
        ds.GetRasterBand(number).SetOffset(offset)
    return path


def shown(town, name):
    """Return RGB of a strip's UTM raster, and of its VRT."""
    rgb = [gdal.Open(str(p)).ReadAsArray()[:3] for p in (town.utm(name), town.rgb8(name))]
    return [a.astype(int) for a in rgb]


@pytest.mark.parametrize(
    "kinds",
    [("u2", "u2"), pytest.param(("u2", "f4"), marks=pytest.mark.long), ("f4", "f4")],
)
def test_strips_of_different_declared_scale_meet_without_a_seam(tif, area, rng, kinds):
    """The same ground twice: reflectance times 10,000, and in Sentinel-2's encoding since 2022."""
    on_grid = (300 * 1700.0, 0.3, 0, 300 * 13_000.0, 0, -0.3)
    truth = rng.integers(200, 4000, (3, 60, 80))
    old = declared(tif("old.tif", truth.astype(kinds[0]), on_grid), 1e-4, 0)
    new = declared(tif("new.tif", (truth + 1000).astype(kinds[1]), on_grid), 1e-4, -0.1)
    town = area([old, new], [2.9, 35.0, 3.3, 35.4], bands=[1, 2, 3])
    found = town.stretch()
    both = np.concatenate([truth, truth], axis=1).reshape(3, -1) / 10_000
    assert found["low"] == pytest.approx(np.percentile(both, 2, axis=1), rel=1e-6)
    assert found["high"] == pytest.approx(np.percentile(both, 98, axis=1), rel=1e-6)
    expected = np.stack(
        [table(truth[b] / 10_000, found["low"][b], found["high"][b]) for b in range(3)]
    ).astype(int)
    for name in ("old", "new"):
        for rgb in shown(town, name):
            # A value on the border of two levels may fall on either side.
            assert np.abs(rgb - expected).max() <= 1 and (rgb == expected).mean() > 0.99


def test_tiles_of_one_set_that_declare_different_scales_are_refused(tif, area, rng):
    data = rng.integers(200, 4000, (3, 20, 20)).astype("u2")
    declared(tif("t/a.tif", data, PLACE), 1e-4, 0)
    declared(tif("t/b.tif", data, BESIDE), 1e-4, -0.1)
    with pytest.raises(UserError, match=r"'town'.*t/\*\.tif.*different scales or offsets"):
        area(["t/*.tif"], BOX, bands=[1, 2, 3]).stretch()


@pytest.mark.parametrize("told", [True, False])
def test_reflectance_beside_digital_numbers_is_refused_unless_declared(tif, area, rng, told):
    data = rng.integers(100, 2100, (3, 60, 60))
    numbers = tif("dn.tif", data.astype("u2"), PLACE)
    tif("re.tif", (data / 10_000).astype("f4"), BESIDE)
    town = area([numbers, "re.tif"], BOX, bands=[1, 2, 3])
    if not told:
        with pytest.raises(UserError, match=r"'town'.*strip 'dn'.*100 times.*'re'.*scale"):
            town.stretch()
        return
    declared(numbers, 1e-4, 0)
    town.stretch()
    means = [rgb.mean() for name in town.names for rgb in shown(town, name)]
    assert np.ptp(means) < 6 and 100 < means[0] < 155


def test_a_strip_that_comes_out_black_is_reported(tif, area, rng, caplog):
    data = rng.integers(1000, 2100, (3, 60, 60)).astype("u2")
    dark = tif("dark.tif", data[:, :9] // 30, BESIDE)
    town = area([tif("a.tif", data, PLACE), dark], BOX, bands=[1, 2, 3], stretch={"low_pct": 20})
    with caplog.at_level("WARNING", "witw"):
        town.stretch()
    assert "100 % of strip 'dark' is black" in caplog.text and "strip 'a'" not in caplog.text


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_a_negative_is_inverted(tif, area, rng, dtype):
    top = np.iinfo(dtype).max
    on_grid = (300 * 1700.0, 0.3, 0, 300 * 13_000.0, 0, -0.3)
    truth = rng.integers(0, top, (1, 60, 60), endpoint=True).astype(dtype)
    path = tif("neg.tif", top - truth, on_grid, PHOTOMETRIC="MINISWHITE")
    town = area([path], [2.9, 35.0, 3.3, 35.4], bands=[1, 1, 1])
    found = town.stretch()
    low, high = (0, 255) if dtype == "u1" else (found["low"][0], found["high"][0])
    assert dtype == "u1" or low == pytest.approx(np.percentile(truth, 2))
    for rgb in shown(town, "neg"):
        assert np.abs(rgb - table(truth[0], low, high).astype(int)).max() <= (dtype == "u2")


def test_numbers_of_a_palette_are_refused(tif, area, rng):
    path = tif("pal.tif", rng.integers(0, 9, (1, 20, 20)).astype("u1"), PLACE)
    ds = gdal.Open(path, gdal.GA_Update)
    colours = gdal.ColorTable()
    colours.SetColorEntry(1, (200, 10, 10))
    ds.GetRasterBand(1).SetColorTable(colours)
    ds = None
    with pytest.raises(UserError, match=r"'town'.*pal\.tif holds colour table numbers.*expand"):
        area([path], BOX, bands=[1, 1, 1]).stretch()


def test_a_float_strip_of_one_value_is_mid_grey(tif, area):
    town = area([tif("c.tif", np.full((3, 60, 60), 0.5, "f4"), PLACE)], BOX, bands=[1, 2, 3])
    assert town.stretch()["low"] == [0.5] * 3
    rgb, vrt = shown(town, "c")
    assert set(np.unique(rgb[:, 20:40, 20:40])) == set(np.unique(vrt)) == {128}


@pytest.mark.parametrize(
    "outlier",
    [
        -3.4028235e38,
        np.nan,
        pytest.param(1e4, marks=pytest.mark.long),
        pytest.param(np.inf, marks=pytest.mark.long),
    ],
)
def test_one_bad_float_does_no_harm(tif, area, rng, outlier):
    data = rng.gamma(4, 0.05, (3, 90, 90)).astype("f4")
    good = np.delete(data.reshape(3, -1), 50 * 90 + 50, axis=1).astype(float)
    data[:, 50, 50] = outlier
    found = area([tif("f.tif", data, PLACE)], BOX, bands=[1, 2, 3]).stretch()
    every = data.reshape(3, -1).astype(float) if np.isfinite(outlier) else good
    low, high = np.percentile(every, [2, 98], axis=1)
    assert np.abs(np.array(found["low"]) - low).max() <= 1e-4 * (high - low).min()
    assert np.abs(np.array(found["high"]) - high).max() <= 1e-4 * (high - low).min()
