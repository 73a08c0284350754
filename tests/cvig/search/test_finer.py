"""Positions between cells: their chips are those of the grid, and errors become smaller."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from made_city import CENTRE, shoot

from witw.cvig.grid import Grid, pictures
from witw.cvig.locating.locator import Locator
from witw.cvig.scoring.calibration import Calibration
from witw.cvig.search import finer


@pytest.fixture(scope="module")
def locator(trained, city):
    files = trained / "model.pt", city / "cells.safetensors", city / "mosaic.tif"
    return replace(Locator.open(*files, "made", Calibration(0.05, 20.0)), finer=True)


def test_chips_between_cells_equal_those_of_a_finer_grid(locator):
    pixel_m, chip_px = 225 / 32, 32
    fine = Grid(locator.grid.epsg, pixel_m, *CENTRE, 3, 3, np.arange(9))
    with rasterio.open(locator.mosaic) as mosaic:
        ((_, expected), *rest) = list(pictures(mosaic, fine, chip_px, pixel_m))
        expected = np.concatenate([expected, *(chips for _, chips in rest)])
        middle = fine.centres()[4]
        chips, places = finer.chips_around(mosaic, middle, 1, 1, chip_px, pixel_m)
    np.testing.assert_array_equal(chips, expected)
    np.testing.assert_allclose(places, fine.centres())


def test_a_second_stage_reduces_the_errors_of_found_photos(locator, tmp_path):
    rng = np.random.default_rng(3)
    truth, paths = rng.uniform(-300, 200, (24, 2)) + CENTRE, []
    for n, place in enumerate(truth):
        shoot(tmp_path / f"{n}.jpg", place, rng.uniform(0, 360))
        paths.append(tmp_path / f"{n}.jpg")
    fine, plain = locator.locate(paths), replace(locator, finer=False).locate(paths)

    def error_m(found):
        best = [one.places(1)[0] for one in found]
        return np.hypot(*(np.array([[p.easting, p.northing] for p in best]) - truth).T)

    right = error_m(plain) < 50
    assert right.sum() > 12
    assert np.median(error_m(fine)[right]) < 0.85 * np.median(error_m(plain)[right])
    for one, old in zip(fine, plain, strict=True):
        np.testing.assert_array_equal(one.probability, old.probability)
        assert [p.cell for p in one.places(9)] == [p.cell for p in old.places(9)]
        assert set(one.finer_m) == {p.cell for p in old.places(5)}


def test_photos_of_one_place_get_one_finer_position(locator, tmp_path):
    place, headings = CENTRE + np.array([10, 120]), (20.0, 110.0, 200.0, 290.0)
    paths = [tmp_path / f"{heading}.jpg" for heading in headings]
    for path, heading in zip(paths, headings, strict=True):
        shoot(path, place, heading)
    (found,) = locator.locate(paths, together=True)
    best = found.places(1)[0]
    assert np.hypot(best.easting - place[0], best.northing - place[1]) < 40
    turned = (np.array(best.heading_deg) - headings + 180) % 360 - 180
    assert np.median(np.abs(turned)) < 20
