"""The imagery below a map's dots: pixels and corners where another library puts them."""

import io

import numpy as np
import pandas as pd
import pytest
import rasterio
from osgeo import gdal
from PIL import Image
from pyproj import Transformer
from rasterio.transform import from_origin

from witw.report import ground, maps

gdal.UseExceptions()
WEST, NORTH, GSD = 450_000.0, 5_411_000.0, 0.5
SIDE = 400  # px of a strip; two lie side by side
TO_DEG = Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True).transform


@pytest.fixture
def mosaic(tmp_path):
    """Return a red strip to the west of a blue one, as a VRT by GDAL's own builder."""
    paths = []
    for number, color in enumerate(((200, 0, 0), (0, 0, 200))):
        path = tmp_path / f"strip_{number}.utm.tif"
        transform = from_origin(WEST + number * SIDE * GSD, NORTH, GSD, GSD)
        shape = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8"}
        with rasterio.open(path, "w", crs="EPSG:32631", transform=transform, **shape) as out:
            out.write(np.full((SIDE, SIDE, 3), color, np.uint8).transpose(2, 0, 1))
        paths.append(str(path))
    gdal.BuildVRT(str(tmp_path / "mosaic.vrt"), paths).FlushCache()
    return tmp_path / "mosaic.vrt"


def box():
    """Return west, south, east, north [degrees] with a blank rim."""
    west, south = TO_DEG(WEST - 50, NORTH - SIDE * GSD - 50)
    east, north = TO_DEG(WEST + 2 * SIDE * GSD + 50, NORTH + 50)
    return [west, south, east, north]


def color_at(picture, bbox, lon, lat):
    image = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    west, south, east, north = bbox
    x = int((lon - west) / (east - west) * image.shape[1])
    y = int((north - lat) / (north - south) * image.shape[0])
    return image[y, x]


def test_the_imagery_lies_where_it_is(mosaic):
    picture = ground.picture(mosaic, box(), 200, 120)
    assert Image.open(io.BytesIO(picture)).size == (200, 120)
    red = color_at(picture, box(), *TO_DEG(WEST + 60, NORTH - 100))
    blue = color_at(picture, box(), *TO_DEG(WEST + 340, NORTH - 100))
    none = color_at(picture, box(), *TO_DEG(WEST - 30, NORTH - 100))
    assert red[0] > red[2] + 60 and blue[2] > blue[0] + 60
    assert np.abs(none - ground.PAPER).max() <= 4


def test_strips_have_their_corners(mosaic):
    found = ground.footprints(mosaic)
    assert set(found) == {"strip_0", "strip_1"}
    expected = TO_DEG(WEST + SIDE * GSD, NORTH)
    assert found["strip_1"][0] == pytest.approx(expected, abs=1e-9)
    expected = TO_DEG(WEST + 2 * SIDE * GSD, NORTH - SIDE * GSD)
    assert found["strip_1"][2] == pytest.approx(expected, abs=1e-9)


def test_unreadable_imagery_leaves_the_map_blank(tmp_path, caplog):
    path = tmp_path / "mosaic.vrt"
    path.write_text("<VRTDataset")
    assert ground.picture(path, box(), 20, 20) is None
    assert ground.footprints(path) == {}
    assert "is not shown" in caplog.text
    rows = pd.DataFrame({"lat": [48.0], "lon": [2.0], "status": ["paired"]})
    svg = maps.photo_map(rows, [1.9, 47.9, 2.1, 48.1], "map", maps.Below(path))
    assert svg.count("<image") == 1


def test_only_the_leaves_of_the_search_are_drawn():
    cells = pd.DataFrame(
        {
            "west": [0.0, 0.0, 1.0],
            "south": [0.0, 0.0, 0.0],
            "east": [2.0, 1.0, 2.0],
            "north": [1.0, 1.0, 1.0],
            "is_leaf": pd.array([False, True, True], dtype="boolean"),
        }
    )
    assert ground.boxes(cells) == [(0.0, 0.0, 1.0, 1.0), (1.0, 0.0, 2.0, 1.0)]
    rows = pd.DataFrame({"lat": [0.5], "lon": [0.5], "status": ["paired"]})
    svg = maps.photo_map(rows, [0, 0, 2, 1], "map", maps.Below(boxes=ground.boxes(cells)))
    width = maps.MAP_PX
    assert f"M{width / 2:.1f} 0.0L{width:.1f} 0.0L" in svg  # the eastern box's upper edge
