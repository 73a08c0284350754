import hashlib
import io
import json
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from witw import tables
from witw.dataset import pack
from witw.dataset.packed import PICTURES, TABLE, Packed, encode
from witw.errors import UserError
from witw.images.resize import letterbox, shrink

SPEC = {"stage": "pack", "version": 1, "pack": {"chip_px": 50, "photo_px": 40, "jpeg_quality": 98}}
FILES = (PICTURES, TABLE)


def pairs_row(folder, name, **values):
    """Return a row of the pairs table; with ``size``, write its photo and chip too."""
    size = values.pop("size", None)
    row = dict.fromkeys(tables.PAIRS)
    row |= {
        "id": name,
        "aoi": "a",
        "split": "train",
        "status": "paired",
        "easting": 5e5,
        "owner": f"{name}@N0",
    }
    row |= {"northing": 4e6, "lat": 1.0, "lon": 2.0}
    row |= {"photo_path": f"photos/{name}.jpg", "chip_path": f"chips/{name}.jpg"}
    if size:
        rng = np.random.default_rng(int(name))
        for kind, (width, height) in (("photo", size), ("chip", (750, 750))):
            path = folder / row[f"{kind}_path"]
            path.parent.mkdir(exist_ok=True)
            coarse = Image.fromarray(rng.integers(0, 255, (9, 9, 3), np.uint8))
            smooth = coarse.resize((width, height), Image.Resampling.BICUBIC)
            smooth.save(path, quality=95, exif=values.pop("exif", None) or Image.Exif())
    return row | values


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder, rows, split="train", out="pack", threads=2):
    tables.write_geo(folder / "pairs.parquet", "pairs", rows)
    paths = [folder / out / name for name in FILES]
    pack.run(SPEC, split, folder / "pairs.parquet", *paths, threads=threads)
    data = Packed.open(folder / out)
    return *data.pictures(np.arange(len(data))), data.table


def test_the_pack_has_the_splits_pairs_by_area_and_id(folder):
    rows = [
        pairs_row(folder, "3", size=(500, 375)),
        pairs_row(folder, "1", size=(375, 500), aoi="b", easting=7.0, northing=8.0),
        pairs_row(folder, "2", size=(500, 500)),
        pairs_row(folder, "4", size=(500, 375), split="val"),
        pairs_row(folder, "5", status="indoor", photo_path=None, chip_path=None),
    ]
    photos, chips, table = run(folder, rows)
    assert photos.shape == (3, 40, 40, 3)
    assert chips.shape == (3, 50, 50, 3)
    assert photos.dtype == chips.dtype == np.uint8
    assert table["owner"].tolist() == ["2@N0", "3@N0", "1@N0"]
    assert list(zip(table["row"], table["aoi"], table["id"], strict=True)) == [
        (0, "a", "2"), (1, "a", "3"), (2, "b", "1"),
    ]  # fmt: skip
    assert table[["photo_width", "photo_height"]].to_numpy().tolist() == [
        [40, 40],
        [40, 30],
        [30, 40],
    ]
    assert table.loc[2, ["easting", "northing"]].tolist() == [7, 8]
    areas = Packed.open(folder / "pack").rows_by_area
    assert {name: rows.tolist() for name, rows in areas.items()} == {"a": [0, 1], "b": [2]}


def test_the_table_depends_on_the_pictures_bytes(folder):
    """Chips rebuilt under the same names change the table, so later stages notice."""
    rows = [pairs_row(folder, str(n), size=(500, 375)) for n in (1, 2)]
    table = run(folder, rows)[2]
    whole = pa.ipc.open_file(folder / "pack" / PICTURES).read_all().to_pylist()
    assert table["photo_crc"].tolist() == [zlib.crc32(row["photo"]) for row in whole]
    assert table["chip_crc"].tolist() == [zlib.crc32(row["chip"]) for row in whole]
    with Image.open("chips/2.jpg") as chip:
        chip.rotate(180).save("chips/2.jpg", quality=95)
    other = run(folder, rows)[2]
    assert other.drop(columns="chip_crc").equals(table.drop(columns="chip_crc"))
    assert (other["chip_crc"] == table["chip_crc"]).tolist() == [True, False]


@pytest.mark.parametrize("kind", ["photo", "chip"])
def test_a_picture_that_differs_from_its_table_is_reported(folder, kind):
    row = pairs_row(folder, "1", size=(500, 375))
    row["chip_path"] = "results/a/chips/0003/1.jpg"
    place = folder / row["chip_path"]
    place.parent.mkdir(parents=True)
    (folder / "chips/1.jpg").rename(place)
    path = folder / row[f"{kind}_path"]
    row[f"{kind}_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    run(folder, [row])
    with Image.open(path) as picture:
        picture.rotate(180).save(path, quality=95)
    rule, table = {"photo": ("download", "photos"), "chip": ("chips", "chips")}[kind]
    with pytest.raises(UserError, match="is not the file that its table tells of") as error:
        run(folder, [row])
    assert row[f"{kind}_path"] in str(error.value)
    assert f"snakemake --cores 1 -R {rule} results/a/{table}/0003.parquet" in str(error.value)


def test_each_row_has_its_own_pictures(folder):
    rows = [pairs_row(folder, str(n), size=(500, 375)) for n in (1, 2)]
    photos, chips, _ = run(folder, rows)
    for row, name in enumerate(("1", "2")):
        with Image.open(f"chips/{name}.jpg") as chip:
            blocks = np.asarray(chip, float).reshape(50, 15, 50, 15, 3).mean(axis=(1, 3))
        assert np.square(chips[row] - blocks).mean() < 255**2 / 10**4  # 40 dB
        with Image.open(f"photos/{name}.jpg") as photo:
            # Black above and below; the photo lies between, unstretched.
            assert photos[row][:5].max() == photos[row][35:].max() == 0
            small = np.asarray(photo.resize((40, 30), Image.Resampling.LANCZOS), float)
            assert np.abs(photos[row][5:35] - small).mean() < 3


def test_a_photo_on_its_side_is_set_upright(folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise
    photos, _, table = run(folder, [pairs_row(folder, "1", size=(500, 250), exif=exif)])
    assert table[["photo_width", "photo_height"]].to_numpy().tolist() == [[20, 40]]
    with Image.open("photos/1.jpg") as photo:
        upright = photo.transpose(Image.Transpose.ROTATE_270).resize((20, 40))
    assert np.abs(photos[0][:, 10:30].astype(float) - np.asarray(upright)).mean() < 3


def test_threads_do_not_change_the_bytes(folder):
    rows = [pairs_row(folder, str(n), size=(200 + n, 150)) for n in range(1, 9)]
    run(folder, rows, out="one", threads=1)
    run(folder, rows, out="four", threads=4)
    for name in FILES:
        assert (folder / "one" / name).read_bytes() == (folder / "four" / name).read_bytes()


@pytest.mark.parametrize("size", [(500, 1), (1, 500), (13, 7)])
def test_odd_photos_fit_their_square(size):
    square, width, height = letterbox(Image.new("RGB", size, "white"), 32)
    assert square.shape == (32, 32, 3)
    assert max(width, height) == 32
    assert min(width, height) >= 1
    assert (square > 250).all(axis=2).sum() == width * height


def test_shrinking_keeps_the_mean():
    noise = np.random.default_rng(0).integers(0, 255, (75, 75, 3), np.uint8)
    small = shrink(Image.fromarray(noise), 32)
    assert abs(small.mean() - noise.mean()) < 0.5


def test_the_field_of_view_comes_from_the_focal_length(folder):
    def exif(focal):
        data = Image.Exif()
        data[0x010F] = "Made"
        data.get_ifd(0x8769)[0xA405] = focal
        return data

    rows = [
        pairs_row(folder, "1", size=(60, 40), exif=exif(36)),  # 36 mm of a 36 mm wide frame
        pairs_row(folder, "2", size=(40, 60), exif=exif(36)),  # the long side, upright
        pairs_row(folder, "3", size=(60, 40)),
        pairs_row(folder, "4", size=(60, 40), exif=exif(0)),
    ]
    found = run(folder, rows)[2]["fov_deg"].astype(float)
    half = 36 / 2 / 36
    assert found[0] == found[1] == pytest.approx(2 * np.degrees(np.arctan(half)), abs=0.01)
    assert found[2:].isna().all()


def test_a_split_without_pairs_is_explained(folder):
    with pytest.raises(
        UserError, match=r"Split 'test' has no pair.*no photo was listed in an area"
    ):
        run(folder, [pairs_row(folder, "1", size=(50, 50))], split="test")
    rows = [pairs_row(folder, "1", status="indoor"), pairs_row(folder, "2", status="gone")]
    with pytest.raises(UserError, match="of its photos, 1 are 'gone', 1 are 'indoor'"):
        run(folder, rows)


def test_a_missing_picture_is_reported_and_nothing_is_left(folder):
    rows = [pairs_row(folder, "1", size=(50, 50)), pairs_row(folder, "2", size=(50, 50))]
    (folder / "chips/2.jpg").unlink()
    with pytest.raises(UserError, match=r"chips/2\.jpg cannot be read"):
        run(folder, rows)
    assert list((folder / "pack").iterdir()) == []


def test_command_line(folder):
    tables.write_geo(folder / "pairs.parquet", "pairs", [pairs_row(folder, "1", size=(50, 40))])
    argv = ["--spec", json.dumps(SPEC), "--split", "train", "--pairs", "pairs.parquet"]
    argv += ["--pictures", f"p/{PICTURES}", "--table", "p/pairs.parquet"]
    pack.main(argv)
    assert len(Packed.open(folder / "p")) == 1


def test_a_photo_of_two_overlapping_areas_is_packed_once(folder):
    """Each area's table has a row; training sees the photo once."""
    rows = [
        pairs_row(folder, "1", size=(500, 375)),
        pairs_row(folder, "1", size=(500, 375), aoi="b", easting=9.0),
        pairs_row(folder, "2", size=(500, 375), aoi="b"),
    ]
    photos, _, table = run(folder, rows)
    assert list(zip(table["aoi"], table["id"], strict=True)) == [("a", "1"), ("b", "2")]
    assert len(photos) == 2


def test_a_photo_that_is_not_paired_in_one_area_is_taken_from_the_other(folder):
    rows = [
        pairs_row(folder, "1", status="off_imagery", chip_path=None),
        pairs_row(folder, "1", size=(500, 375), aoi="b"),
    ]
    assert run(folder, rows)[2]["aoi"].tolist() == ["b"]


def test_a_test_photo_is_never_trained_on(folder):
    rows = [
        pairs_row(folder, "1", size=(500, 375)),
        pairs_row(folder, "1", size=(500, 375), aoi="b", split="test"),
        pairs_row(folder, "2", size=(500, 375)),
        pairs_row(folder, "2", size=(500, 375), aoi="c", split="val"),
        pairs_row(folder, "3", size=(500, 375)),
    ]
    ids = {s: run(folder, rows, split=s)[2]["id"].tolist() for s in ("train", "val", "test")}
    assert ids == {"train": ["3"], "val": ["2"], "test": ["1"]}


def test_the_table_has_the_photos_positions(folder):
    table = run(folder, [pairs_row(folder, "1", size=(500, 375), lat=45.5, lon=-3.25)])[2]
    assert table.loc[0, ["lat", "lon"]].tolist() == [45.5, -3.25]


def test_other_readers_of_arrow_read_the_pack(folder):
    """pandas alone reads the columns, and any decoder opens the pictures."""
    rows = [pairs_row(folder, str(n), size=(200, 100)) for n in range(1, 71)]  # more than a block
    _, chips, table = run(folder, rows)
    found = pd.read_feather(folder / "pack" / PICTURES)
    assert found["id"].tolist() == table["id"].tolist()
    assert found["row"].tolist() == list(range(70))
    assert set(found) == {*tables.PACK, "photo", "chip"}
    for row in (0, 63, 64, 69):
        with Image.open(io.BytesIO(found.loc[row, "photo"])) as photo:
            assert photo.size == (40, 20)
        with Image.open(io.BytesIO(found.loc[row, "chip"])) as chip:
            assert np.abs(np.asarray(chip, int) - chips[row]).max() <= 2  # another decoder


def test_colours_keep_their_resolution(folder):
    """Red and blue lines one pixel wide would turn purple with halved chroma."""
    lines = np.zeros((40, 40, 3), np.uint8)
    lines[:, ::2, 0] = lines[:, 1::2, 2] = 255
    body = encode(lines, 90)
    with Image.open(io.BytesIO(body)) as picture:
        assert np.abs(np.asarray(picture, int) - lines).mean() < 12


def test_the_order_of_threads_bounds_memory():
    under_way = most = 0
    lock = threading.Lock()

    def work(item):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        return item

    with ThreadPoolExecutor(2) as pool:
        for n, item in enumerate(pack._in_order(pool, work, range(100), 8)):
            assert item == n
            under_way -= 1
    assert most <= 8
