import math

import numpy as np
import pytest
from made_index import shot_with_heading
from PIL import Image
from pyproj import Proj

from witw import tables
from witw.cvig.metrics import values
from witw.cvig.scoring import heading
from witw.dataset import pack


@pytest.mark.parametrize(
    ("written", "reference", "expected"),
    [(123.45, "T", 123.45), (360.0, "T", 0.0), (12.0, None, 12.0), (123.0, "M", math.nan)],
)
def test_only_headings_from_true_north_are_read(tmp_path, written, reference, expected):
    path = tmp_path / "1.jpg"
    shot_with_heading(path, written, reference)
    assert heading.true_heading(path) == pytest.approx(expected, abs=0.01, nan_ok=True)


def test_an_unreadable_heading_is_unknown(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe1\x00\x10Exif\0\0II*\0")
    for name in ("plain.jpg", "broken.jpg", "absent.jpg"):
        assert math.isnan(heading.true_heading(tmp_path / name))


def test_headings_are_turned_to_grid_north(tmp_path):
    """East of 9 degrees, a camera that faces true north faces west of grid north."""
    path = tmp_path / "1.jpg"
    shot_with_heading(path, 0.0, "T")
    lon, lat = np.array([11.5]), np.array([48.0])
    got = heading.grid_headings([str(path)], lon, lat, np.array([32632]))[0]
    (x0, y0), (x1, y1) = (Proj(32632)(11.5, 48.0 + d) for d in (0, 0.001))
    assert got == pytest.approx(math.degrees(math.atan2(x1 - x0, y1 - y0)) % 360, abs=0.01)
    assert 357 < got < 359


def test_errors_are_measured_the_short_way_round():
    error = heading.error_deg(np.array([350.0, 10.0, 90.0]), np.array([10.0, 350.0, 270.0]))
    assert error.tolist() == [-20, 20, -180]


def test_figures_stand_beside_chance():
    found = values(heading.metrics(np.array([-5.0, 14.0, 20.0, -29.0, 100.0, np.nan])))
    assert found["within_15deg"] == pytest.approx(100 * 2 / 6, abs=1e-3)
    assert found["within_30deg"] == pytest.approx(100 * 4 / 6, abs=1e-3)
    assert found["median_error_deg"] == 24.5
    guessed = heading.error_deg(np.random.default_rng(0).uniform(0, 360, 40_000), np.zeros(40_000))
    for name, value in heading.chance().items():
        assert values(heading.metrics(guessed))[name] == pytest.approx(value, abs=1)


def test_histogram_counts_every_photo():
    counted = heading.histogram(np.array([-180.0, -1.0, 0.0, 14.9, 179.0]))
    assert sum(counted["photos"]) == 5
    assert dict(zip(counted["from_deg"], counted["photos"], strict=True))[0] == 2


def test_the_input_of_training_does_not_depend_on_the_heading(tmp_path, monkeypatch):
    """Packed photos, chips and table have the same bytes for any recorded heading."""
    monkeypatch.chdir(tmp_path)
    packed = []
    for degrees in (10.0, 250.0):
        shot_with_heading(tmp_path / "1.jpg", degrees)
        Image.new("RGB", (64, 64), (9, 90, 200)).save(tmp_path / "chip.jpg")
        row = dict.fromkeys(tables.PAIRS) | {
            "id": "1", "aoi": "made", "split": "train", "status": "paired", "lon": 3.0, "lat": 45.0,
            "easting": 5e5, "northing": 5e6, "photo_path": "1.jpg", "chip_path": "chip.jpg",
        }  # fmt: skip
        tables.write_geo(tmp_path / "pairs.parquet", "pairs", [row])
        out = [tmp_path / f"{n}{degrees}" for n in ("pictures.arrow", "pairs.parquet")]
        spec = {"pack": {"photo_px": 16, "chip_px": 16}}
        pack.run(spec, "train", tmp_path / "pairs.parquet", *out)
        packed.append([path.read_bytes() for path in out])
    assert packed[0] == packed[1]
