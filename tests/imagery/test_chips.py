import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pyproj import Transformer

from witw import tables
from witw.imagery import chips
from witw.status import Outdoor, wants_chip

BOX = [2.9, 36.0, 3.1, 36.2]
EAST, NORTH = 500_100.0, 3_990_000.0  # a multiple of 0.3
SIZE = 64


def town_of(tif, area, **keys):
    """Return two adjacent strips, 300 x 200 px each: ramps of columns and rows; a blank corner."""
    rows, cols = np.mgrid[:200, :600]
    scene = np.stack([cols % 250, rows, np.full_like(rows, 90)]).astype("u1") + 1
    one, two = scene[..., :300], scene[..., 300:].copy()
    two[:, 120:, 200:] = 0
    beside = (EAST + 90, 0.3, 0, NORTH, 0, -0.3)
    strips = [
        tif("left.tif", one, (EAST, 0.3, 0, NORTH, 0, -0.3)),
        tif("right.tif", two, beside, nodata=0),
    ]
    keys = {"chips": {"size_px": SIZE, "jpeg_quality": 100}} | keys
    town = area(strips, BOX, bands=[1, 2, 3], **keys)
    town.mosaic()
    return town


def photos_at(*offsets):
    """Return photos at offsets in pixels east and south of the mosaic's corner."""
    to_deg = Transformer.from_crs(32631, 4326, always_xy=True)
    rows = []
    for number, (x, y) in enumerate(offsets):
        lon, lat = to_deg.transform(EAST + x * 0.3, NORTH - y * 0.3)
        rows.append({"id": str(100 + number), "lon": lon, "lat": lat})
    return pd.DataFrame(rows)


def cut(town, photos, table="chips.parquet", threads=1):
    folder = town.root / "chips/0000"
    tifs = [town.strip(name, "utm.tif") for name in town.names]
    mosaic = town.root / "mosaic.vrt"
    chips.run(town.spec("chips"), photos, mosaic, tifs, folder, Path(table), threads)
    return tables.read(Path(table), "chips").set_index("id")


def test_first_pixel_centres_the_window_to_half_a_pixel():
    for size in (64, 750, 751):
        for centre in np.arange(1000, 1003, 0.01):
            first = chips.first_pixel(centre, size)
            assert abs(first + size / 2 - centre) <= 0.5 + 1e-9


def test_the_photo_is_in_the_middle_of_its_chip(tif, area, rng):
    places = np.stack([rng.uniform(40, 210, 40), rng.uniform(40, 160, 40)], axis=1)
    town = town_of(tif, area)
    photos = photos_at(*places)
    rows = cut(town, photos)
    for (x, y), photo_id in zip(places, photos["id"], strict=True):
        chip = np.asarray(Image.open(rows.loc[photo_id, "chip_path"])).astype(float)
        assert chip.shape == (SIZE, SIZE, 3)
        # The ramp's value in column c is c + 1, so the chip's mean less 1/2 is its middle.
        assert abs(chip[..., 0].mean() - 0.5 - x) <= 0.5 + 0.1
        assert abs(chip[..., 1].mean() - 0.5 - y) <= 0.5 + 0.1
    assert rows["easting"].to_numpy(float) == pytest.approx(EAST + places[:, 0] * 0.3, abs=1e-3)
    assert rows["northing"].to_numpy(float) == pytest.approx(NORTH - places[:, 1] * 0.3, abs=1e-3)
    assert set(rows["epsg"]) == {32631} and set(rows["blank_fraction"]) == {0}


def test_blank_fraction_is_measured_and_a_blank_chip_is_a_row_without_file(tif, area):
    town = town_of(tif, area)
    half, corner = (0.0, 100.0), (600.0, 120.0)
    rows = cut(town, photos_at((100, 100), half, corner, (-33, 100), (5000, 5000)))
    blank = rows["blank_fraction"].astype(float)
    assert blank.loc["100"] == 0
    assert blank.loc["101"] == 0.5
    assert blank.loc["102"] == pytest.approx(0.75)
    assert blank.loc["103"] == blank.loc["104"] == 1
    assert rows["chip_path"].isna().tolist() == [False, False, False, True, True]
    for row in rows.dropna(subset="chip_path").itertuples():
        assert hashlib.sha256(Path(row.chip_path).read_bytes()).hexdigest() == row.sha256
    assert rows.loc[rows["chip_path"].isna(), "sha256"].isna().all()
    written = sorted(p.name for p in (town.root / "chips/0000").iterdir())
    assert written == ["100.jpg", "101.jpg", "102.jpg"]
    assert rows.loc["101", "chip_path"] == "results/town/chips/0000/101.jpg"
    left = np.asarray(Image.open(rows.loc["101", "chip_path"]))[:, : SIZE // 2 - 8]
    assert left.max() <= 2  # black


def test_the_strip_is_the_topmost_with_imagery_at_the_geotag(tif, area):
    rows = cut(town_of(tif, area), photos_at((100, 100), (400, 100), (550, 160), (-5, 100)))
    assert rows["strip"].tolist() == ["left", "right", "", ""]


def test_photos_of_one_geotag_share_the_bytes_of_one_chip(tif, area):
    same, near, far = (100.3, 100.2), (101.4, 100.2), (300.0, 100.0)
    rows = cut(town_of(tif, area), photos_at(same, near, same, far, same))
    data = [Path(path).read_bytes() for path in rows["chip_path"]]
    assert data[0] == data[2] == data[4]
    assert len(set(data)) == 3
    assert rows["strip"].tolist() == ["left", "left", "left", "right", "left"]


@pytest.mark.parametrize(("x", "strip"), [(150, "only"), (40, "")])
def test_a_lone_strip_is_named_where_it_has_imagery(tif, area, x, strip):
    data = np.full((3, 200, 300), 90, "u1")
    data[..., :60] = 0
    path = tif("only.tif", data, (EAST, 0.3, 0, NORTH, 0, -0.3), nodata=0)
    town = area([path], BOX, bands=[1, 2, 3], chips={"size_px": SIZE})
    town.mosaic()
    rows = cut(town, photos_at((x, 100)))
    assert rows["strip"].tolist() == [strip]
    assert rows["chip_path"].notna().all()


def test_the_order_of_the_mosaic_names_the_strip(tif, area):
    data = np.full((3, 200, 300), 90, "u1")
    place = (EAST, 0.3, 0, NORTH, 0, -0.3)
    strips = [tif("one.tif", data, place), tif("two.tif", data, place)]
    town = area(strips, BOX, bands=[1, 2, 3], chips={"size_px": SIZE})
    mosaic = town.mosaic()
    assert cut(town, photos_at((150, 100)))["strip"].tolist() == ["one"]
    mosaic.write_text(mosaic.read_text().replace(">one,two<", ">two,one<"))
    assert cut(town, photos_at((150, 100)))["strip"].tolist() == ["two"]


@pytest.mark.parametrize(("subsampling", "code"), [("4:4:4", 0), ("4:2:0", 2)])
def test_jpeg_settings_come_from_the_config(tif, area, subsampling, code):
    from PIL import JpegImagePlugin

    keys = {"chips": {"size_px": SIZE, "jpeg_quality": 60, "subsampling": subsampling}}
    rows = cut(town_of(tif, area, **keys), photos_at((100, 100)))
    chip = Image.open(rows.loc["100", "chip_path"])
    assert JpegImagePlugin.get_sampling(chip) == code
    Image.new("RGB", (16, 16)).save("reference.jpg", quality=60)
    assert chip.quantization == Image.open("reference.jpg").quantization


def test_any_run_gives_the_same_bytes_and_sorted_rows(tif, area, rng):
    town = town_of(tif, area)
    places = rng.uniform(30, 170, (30, 2))
    photos = photos_at(*places, *places[:5])  # some share their squares
    folder = town.root / "chips/0000"

    def digests():
        files = [*sorted(folder.iterdir()), Path("chips.parquet")]
        return [(p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files]

    rows = cut(town, photos)
    first = digests()
    (folder / "999.jpg").write_bytes(b"stale")
    for threads in (1, 2, 3, 50):
        cut(town, photos.sample(frac=1, random_state=threads), threads=threads)
        assert digests() == first
    assert rows.index.tolist() == sorted(rows.index)


def test_the_command_line_cuts_only_wanted_photos(tif, area):
    town = town_of(tif, area)
    found = photos_at((100, 100), (110, 100), (120, 100), (130, 100), (140, 100))
    found["url"] = "x"
    tables.write(Path("ids.parquet"), "ids", found.assign(is_gone=False))
    state = ["ok", "ok", "grey", "gone", "ok"]
    other = {"reason": "", "url": "", "path": "", "width": 1, "height": 1, "bytes": 1, "sha256": ""}
    rows = [{"id": i, "status": s, **other} for i, s in zip(found["id"], state, strict=True)]
    tables.write(Path("photos.parquet"), "downloads", rows)
    votes = [0.5, 0.4, 1.0]
    rows = [
        {"id": i, "io_vote": v, "p_outdoor": v, "scene_top1": "street"}
        for i, v in zip(found["id"], votes, strict=False)
    ]
    tables.write(Path("scenes.parquet"), "scenes", rows)
    options = {
        "spec": json.dumps(town.spec("chips")),
        "ids": "ids.parquet",
        "photos": "photos.parquet",
        "scenes": "scenes.parquet",
        "mosaic": str(town.root / "mosaic.vrt"),
        "chips": "c/0000",
        "table": "c/0000.parquet",
    }
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    chips.main([*words, "--tifs", *(str(town.strip(name, "utm.tif")) for name in town.names)])
    assert tables.read(Path("c/0000.parquet"), "chips")["id"].tolist() == ["100"]
    assert [p.name for p in Path("c/0000").iterdir()] == ["100.jpg"]


def test_without_photos_folder_and_table_are_empty(tif, area):
    town = town_of(tif, area)
    rows = cut(town, pd.DataFrame({"id": [], "lon": [], "lat": []}))
    assert rows.empty and not list((town.root / "chips/0000").iterdir())


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_portions_keep_the_order_and_never_divide_a_square(count, rng):
    windows = np.repeat(np.arange(12), rng.integers(1, 6, 12))
    places = [
        chips.Place(str(n), 0.0, 0.0, (int(window), 0), (0, 0)) for n, window in enumerate(windows)
    ]
    found = chips.portions(places, count)
    assert len(found) == count and [p for part in found for p in part] == places
    for one, two in itertools.combinations(found, 2):
        assert not {p.window for p in one} & {p.window for p in two}


def test_wants_chip():
    downloads = pd.DataFrame({"id": ["3", "1", "2", "4"], "status": ["ok", "ok", "ok", "grey"]})
    scenes = pd.DataFrame({"id": ["1", "2", "3", "4"], "io_vote": [0.5, None, 0.49, 1.0]})
    scenes["p_outdoor"] = [0.2, None, 0.6, 1.0]
    scenes = scenes.astype({"io_vote": "Float64", "p_outdoor": "Float64"})
    downloads = downloads.convert_dtypes()

    def wanted(vote, mass):
        return wants_chip(downloads, scenes, Outdoor(vote, mass)).tolist()

    assert wanted(0.5, 0.0) == ["1"]
    assert wanted(0.0, 0.0) == ["1", "3"]
    assert wanted(0.0, 0.6) == ["3"]
    assert wanted(0.5, 0.6) == []
