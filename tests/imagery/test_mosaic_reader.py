"""Squares compared with the mosaic's VRT as shown by GDAL."""

from contextlib import ExitStack

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from witw.imagery.mosaic_reader import Squares, Strip

BOX = [2.9, 36.0, 3.1, 36.2]
EAST, NORTH = 500_100.0, 3_990_000.0  # a multiple of 0.3
TILE_BYTES = 3 * 512 * 512


def strip(tif, rng, name, first, size):
    """Return a strip of noise with a blank disc and specks, with its first pixel at ``first``."""
    (col, row), (width, height) = first, size
    data = rng.integers(1, 256, (3, height, width)).astype("u1")
    y, x = np.mgrid[:height, :width]
    disc = np.hypot(x - width * 0.6, y - height * 0.4) < 0.3 * min(size)
    data[:, disc | (rng.random((height, width)) < 0.01)] = 0
    place = (EAST + col * 0.3, 0.3, 0, NORTH - row * 0.3, 0, -0.3)
    return tif(f"{name}.tif", data, place, nodata=0)


@pytest.fixture
def mosaic(tif, area, rng):
    """Return three overlapping strips with differently placed tiles; path and rasters."""
    made = [
        strip(tif, rng, "one", (0, 300), (700, 500)),
        strip(tif, rng, "two", (450, 0), (650, 1100)),
        strip(tif, rng, "three", (130, 70), (1000, 900)),
    ]
    town = area(made, BOX, bands=[1, 2, 3])
    return town.mosaic(), {name: town.strip(name, "utm.tif") for name in town.names}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    at=st.tuples(st.integers(-260, 1200), st.integers(-260, 1200)),
    size=st.sampled_from([1, 64, 257, 750]),
    tiles=st.sampled_from([1, 5, 100]),
)
def test_a_square_equals_the_mosaic(mosaic, at, size, tiles):
    path, tifs = mosaic
    with ExitStack() as stack:
        whole = stack.enter_context(rasterio.open(path))
        strips = [
            Strip.of(name, stack.enter_context(rasterio.open(tif)), whole)
            for name, tif in tifs.items()
        ]
        squares = Squares(strips, size, tiles * TILE_BYTES)
        window = rasterio.windows.Window(*at, size, size)
        shown = whole.read((1, 2, 3), window=window, boundless=True, fill_value=0)
        mask = whole.read_masks(1, window=window, boundless=True) > 0
        for _ in range(2):  # the second time from the cache
            rgb, valid = squares.read(*at)
            assert mask.all() if valid is None else np.array_equal(valid, mask)
            assert np.array_equal(rgb, np.where(mask, shown, 0).transpose(1, 2, 0))
            assert len(squares.tiles) <= tiles


def test_the_owner_of_a_pixel_is_the_topmost_strip_that_shows_it(mosaic, rng):
    path, tifs = mosaic
    with ExitStack() as stack:
        whole = stack.enter_context(rasterio.open(path))
        rasters = {name: stack.enter_context(rasterio.open(tif)) for name, tif in tifs.items()}
        strips = [Strip.of(name, raster, whole) for name, raster in rasters.items()]
        squares = Squares(strips, 64, 100 * TILE_BYTES)
        places = {name: (strip.first, rasters[name].read_masks(1) > 0)
                  for name, strip in zip(rasters, strips, strict=True)}  # fmt: skip
        seen = set()
        for col, row in rng.integers(-50, 1200, (400, 2)):
            expected = ""
            for name, ((left, top), mask) in places.items():
                y, x = row - top, col - left
                if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x]:
                    expected = name
                    break
            assert squares.owner(col, row) == expected
            seen.add(expected)
        assert seen == {"", "one", "two", "three"}
