"""Usable-data masks beside strips: masked pixels are blank from the counts to the chips."""

import json
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from witw.errors import UserError
from witw.imagery.strip import source
from witw.paths import strip_files

PLACE = (500_000, 0.3, 0, 4_000_000, 0, -0.3)
BOX = [2.9, 36.0, 3.1, 36.2]


@pytest.fixture
def udm(tif, rng):
    """Return a strip and a UDM2 of eight bands; `clear` excludes the right third and a corner."""
    data = rng.integers(300, 2000, (4, 60, 90)).astype("u2")
    data[:, :, 60:] = 9000  # cloud
    data[:, :9, :9] = 0
    clear = np.ones((60, 90), "u1")
    clear[:, 60:] = 0
    clear[50:, :10] = 0
    other = rng.integers(0, 2, (7, 60, 90)).astype("u1")
    tif("s.tif", data, PLACE, nodata=0)
    tif("s_udm2.tif", np.concatenate([clear[None], other]), PLACE)
    tif("old_udm.tif", (1 - clear)[None] * 4, PLACE)
    return data, clear


@pytest.mark.parametrize("mask", ["s_udm2.tif", {"path": "old_udm.tif", "usable": 0}])
def test_masked_pixels_are_blank(udm, area, mask):
    data, clear = udm
    town = area([{"path": "s.tif", "bands": [3, 2, 1], "mask": mask}], BOX)
    stretch = town.stretch()
    told = json.loads(town.strip("s", "stats.json").read_text())
    seen = (clear > 0) & (data[:3] > 0).any(axis=0)
    assert told.get("value", told)["valid"] == seen.sum()
    # The stretch is that of the usable pixels, without cloud.
    low, high = np.percentile(data[2][seen], [2, 98])
    assert stretch["low"][0] == pytest.approx(low, abs=1)
    assert stretch["high"][0] == pytest.approx(high, abs=1)
    ds = gdal.Open(str(town.utm()))
    shown = ds.GetRasterBand(1).GetMaskBand().ReadAsArray() > 0
    # On the strip's own grid, up to the rounding to whole target pixels.
    assert abs(int(shown.sum()) - int(seen.sum())) < 0.03 * seen.sum()
    rgb8 = gdal.Open(str(town.rgb8()))
    assert np.array_equal(rgb8.GetRasterBand(4).ReadAsArray() > 0, seen)


def test_each_tile_has_its_own_mask(tif, area, rng):
    for number in (0, 1):
        place = (PLACE[0] + number * 3, *PLACE[1:])
        tif(f"t/{number}.tif", np.full((3, 10, 10), 7, "u1"), place)
        mask = np.zeros((1, 10, 10), "u1")
        mask[0, :, : 3 + number] = 1
        tif(f"m/{number}.tif", mask, place)
    town = area([{"path": "t/*.tif", "bands": [1, 2, 3], "mask": "m/*.tif"}], BOX)
    raster = source.load("town", town.spec("stats", town.names[0])["strip"])
    assert [part.usable[0] for part in raster.parts] == ["m/0.tif", "m/1.tif"]
    assert strip_files(town.config, "town", town.names[0]) == [
        "t/0.tif", "t/1.tif", "m/0.tif", "m/1.tif",
    ]  # fmt: skip
    Path("m/1.tif").unlink()
    with pytest.raises(UserError, match="has 2 files and 1 in `mask`"):
        source.load("town", town.spec("stats", town.names[0])["strip"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda tif: tif("m.tif", np.ones((1, 60, 91), "u1"), PLACE), "another pixel grid"),
        (lambda tif: tif("m.tif", np.ones((1, 60, 90), "u1"), (500_001, *PLACE[1:])), "another"),
        (lambda tif: Path("m.tif").write_text("none"), "cannot be read"),
        (lambda tif: None, "cannot be read"),
    ],
)
def test_a_misfit_mask_gives_one_sentence(udm, tif, area, make, words):
    make(tif)
    town = area([{"path": "s.tif", "bands": [3, 2, 1], "mask": "m.tif"}], BOX)
    with pytest.raises(UserError, match=words) as caught:
        source.load("town", town.spec("stats", "s")["strip"])
    assert "s.tif" in str(caught.value) and "m.tif" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="without a band 9"):
        source.load("town", town.spec("stats", "s")["strip"] | {
            "mask": {"path": "s_udm2.tif", "band": 9, "usable": 1}
        })  # fmt: skip
