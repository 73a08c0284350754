"""An area without a box takes the extent of its local strips."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_bounds, from_origin
from rasterio.warp import transform_bounds

from witw.config import load
from witw.errors import UserError
from witw.ground import extent

LEFT, TOP = 465_000, 5_248_000


def write(path, left=LEFT, count=3):
    options = {"driver": "GTiff", "width": 40, "height": 30, "count": count, "dtype": "uint8"}
    place = from_origin(left, TOP, 10, 10)
    with rasterio.open(path, "w", crs=32632, transform=place, **options) as file:
        file.write(np.full((count, 30, 40), 9, np.uint8))


def box(*lefts):
    """Return the box around all strips, computed by another library."""
    boxes = [transform_bounds(32632, 4326, x, TOP - 300, x + 400, TOP) for x in lefts]
    west, south, east, north = zip(*boxes, strict=True)
    return [min(west), min(south), max(east), max(north)]


def area(**keys):
    body = {"photos": {"folder": "pics"}, "strips": ["a.tif"], "bands": [1, 2, 3]} | keys
    return load({"aois": {"mine": body}}).aois["mine"]


@pytest.fixture
def strips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    extent._looked.cache_clear()
    write("a.tif")
    write("b.tif", LEFT + 2000)


@pytest.mark.usefixtures("strips")
def test_the_box_encloses_the_strips():
    assert area().bbox_deg == pytest.approx(box(LEFT), abs=2e-7)
    assert area(strips=["a.tif", {"path": "b.tif"}]).bbox_deg == pytest.approx(
        box(LEFT, LEFT + 2000), abs=2e-7
    )


@pytest.mark.usefixtures("strips")
def test_a_given_box_takes_precedence():
    assert area(bbox_deg=[8, 47, 8.1, 47.1]).bbox_deg == (8, 47, 8.1, 47.1)


@pytest.mark.usefixtures("strips")
def test_another_file_moves_the_box():
    before = area().bbox_deg
    write("a.tif", LEFT + 5000, count=4)
    assert area().bbox_deg != before


@pytest.mark.usefixtures("strips")
def test_imagery_without_an_extent_is_reported(tmp_path):
    (tmp_path / "a.tif").write_text("no raster")
    with pytest.raises(UserError, match=r"no `bbox_deg`, and .* Area 'mine': strip file a.tif"):
        area()


@pytest.mark.parametrize("path", ["s3://bucket/a.tif", "https://a.example/a.tif", "none.tif"])
def test_remote_and_missing_imagery_is_not_opened(path):
    with pytest.raises(UserError, match="the key `bbox_deg` is missing"):
        area(strips=[path])


@pytest.mark.parametrize("bands", [[1], [1, 1, 1]])
def test_a_strip_of_one_band_gives_its_areas_extent(tmp_path, bands):
    path = tmp_path / "pan.tif"
    box = (3.0, 36.0, 3.1, 36.05)
    with rasterio.open(
        path, "w", driver="GTiff", width=8, height=4, count=1, dtype="uint16", crs="EPSG:4326",
        transform=from_bounds(*box, 8, 4),
    ) as file:  # fmt: skip
        file.write(np.ones((1, 4, 8), "uint16"))
    config = load({"aois": {"town": {"strips": [{"path": str(path), "bands": bands}]}}})
    assert config.aois["town"].bbox_deg == pytest.approx(box, abs=1e-6)
