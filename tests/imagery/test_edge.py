"""Distance to ground without imagery, compared with that to a known outline."""

import numpy as np
import pytest
import rasterio
from rasterio.enums import MaskFlags
from rasterio.transform import from_origin

from witw.imagery.edge import distance_m

LEFT, TOP, GSD, SIDE = 500_000.0, 6_000_000.0, 0.5, 3000  # 1,500 m


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    """Return a square with a hole of 100 m in its middle."""
    path = tmp_path_factory.mktemp("edge") / "mosaic.tif"
    options = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "uint8"}
    place = from_origin(LEFT, TOP, GSD, GSD)
    mask = np.full((SIDE, SIDE), 255, np.uint8)
    mask[1400:1600, 1400:1600] = 0
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", crs=32632, transform=place, **options) as file,
    ):
        file.write(np.full((1, SIDE, SIDE), 50, np.uint8))
        file.write_mask(mask)
        assert MaskFlags.per_dataset in file.mask_flag_enums[0]
    return path


@pytest.mark.parametrize("reach_m", [50, 200])
def test_the_distance_is_to_the_outline_and_to_holes(raster, reach_m):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 1500, (2, 300))
    found = distance_m(raster, LEFT + x, TOP - y, reach_m)
    outline = np.minimum.reduce([x, y, 1500 - x, 1500 - y])
    out_of_hole = np.hypot(np.maximum(np.abs(x - 750) - 50, 0), np.maximum(np.abs(y - 750) - 50, 0))
    right = np.minimum(outline, out_of_hole)
    # A pixel of the map is an eighth of the requested distance; the error is its diagonal at most.
    assert np.abs(found - right).max() < 1.5 * reach_m / 8


def test_outside_the_imagery_the_distance_is_0(raster):
    found = distance_m(
        raster, np.array([LEFT - 50, LEFT + 750, np.nan]), np.array([TOP, TOP - 750, 0.0]), 100
    )
    assert found[:2].tolist() == [0, 0]
    assert np.isnan(found[2])
