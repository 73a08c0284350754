import json

import numpy as np
import pytest

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


def test_eight_bit_strips_are_kept_unless_told_otherwise(tif, area, rng):
    bytes_ = rng.integers(50, 90, (3, 50, 50)).astype("u1")
    words = rng.integers(500, 900, (3, 50, 50)).astype("u2")
    one, two = tif("one.tif", bytes_, PLACE), tif("two.tif", words, BESIDE)
    assert area([one], BOX, bands=[1, 2, 3]).stretch() == {"kind": "keep"}
    mixed = area([one, two], BOX, bands=[1, 2, 3]).stretch()
    assert mixed["low"][0] == np.percentile(words[0], 2)  # the 8-bit strip has no say
    told = area([one], BOX, bands=[1, 2, 3], stretch={"eight_bit": "stretch"}).stretch()
    assert (told["kind"], told["high"][1]) == ("linear", np.percentile(bytes_[1], 98))


def test_an_area_without_a_valid_pixel_is_named(tif, area):
    path = tif("a.tif", np.zeros((3, 9, 9), "u2"), PLACE, nodata=0)
    with pytest.raises(UserError, match="AOI 'town': no strip has a valid pixel"):
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
