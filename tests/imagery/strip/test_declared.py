"""Files whose headers contradict an image of the ground: one sentence, before any work."""

import numpy as np
import pytest
from osgeo import gdal

from witw.errors import UserError
from witw.imagery.strip import source

PLACE = (500_000, 0.3, 0, 4_000_000, 0, -0.3)
DATA = np.arange(300, dtype="u2").reshape(3, 10, 10)


def complaint(path):
    with pytest.raises(UserError) as caught:
        source.load("rio", {"name": "a", "path": path, "bands": [1, 2, 3], "nodata": "auto"})
    told = str(caught.value)
    assert f"Area 'rio': strip file {path}" in told and "\n" not in told
    return told


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("which", ["scale", "offset"])
def test_a_scale_that_is_no_number(tif, which, value):
    path = tif("a.tif", DATA, PLACE)
    with gdal.Open(path, gdal.GA_Update) as file:
        band = file.GetRasterBand(2)
        (band.SetScale if which == "scale" else band.SetOffset)(value)
    assert f"{which} [" in complaint(path) and str(value) in complaint(path)


@pytest.mark.parametrize(
    "place",
    [
        (500_000, 0, 0, 4_000_000, 0, 0),
        (500_000, 0.3, 0.3, 4_000_000, 0.3, 0.3),
        (500_000, float("nan"), 0, 4_000_000, 0, -0.3),
    ],
)
def test_pixels_without_an_area(tif, place):
    assert "pixels without an area; correct its geotransform" in complaint(
        tif("a.tif", DATA, place)
    )


def test_control_points_alone_are_named(tif):
    path = tif("a.tif", DATA, None)
    points = [
        gdal.GCP(500_000 + 3 * x, 4_000_000 - 3 * y, 0, 10 * x, 10 * y)
        for x, y in ((0, 0), (1, 0), (0, 1), (1, 1))
    ]
    with gdal.Open(path, gdal.GA_Update) as file:
        file.SetGCPs(points, 'LOCAL_CS["x"]')
    assert "is not georeferenced" in complaint(path) and "`gdalwarp`" in complaint(path)
    # Without these there is nothing to place it by.
    assert "give it a CRS and a geotransform" in complaint(tif("b.tif", DATA, None))
