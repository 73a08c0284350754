"""Photos of a folder: positions from EXIF, bad ones as rows, files converted into the store."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from witw import paths, tables
from witw.errors import UserError
from witw.images.photo import fov_deg
from witw.sources import download, folder, search
from witw.sources.base import Place
from witw.store import photo_path

pillow_heif.register_heif_opener()
BOX = (1, 1, 2, 2)
GPS, INNER = 0x8825, 0x8769


def exif(lat, lon, orientation=6):
    """Return EXIF data of a photo with a 28 mm lens; ``lat`` None: without a position."""
    out = Image.Exif()
    if lat is not None:
        out.get_ifd(GPS).update(
            {1: "N" if lat >= 0 else "S", 2: dms(lat), 3: "E" if lon >= 0 else "W", 4: dms(lon)}
        )
        out.get_ifd(GPS)[17] = 123.5
    out.get_ifd(INNER).update({0x9003: "2021:05:06 07:08:09", 0xA405: 28})
    out[0x0112], out[0x013B] = orientation, "Ann"
    return out


def dms(value):
    value = abs(value)
    return int(value), int(value % 1 * 60), float(Fraction(value * 60 % 1 * 60))


def write(path, lat, lon, size=(800, 600), **exif_options):
    """Write a photo whose left half is red as stored."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2, 0] = 220
    pixels[::7, :, 1] = 90
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif(lat, lon, **exif_options))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spec(path="pics", **source):
    told = {"kind": "folder", "name": "folder", "path": path, "license": "", "owner": ""}
    return {"aoi": "mine", "bbox_deg": list(BOX), "sources": [told | source]}


def test_positions_of_every_kind_of_file_and_bad_ones_are_rows(place):
    for name, lat in (("a.jpg", 1.5), ("sub/b.png", 1.25), ("c.heic", 1.75)):
        write(place / "pics" / name, lat, 1.5)
    for name, at in {"zero.jpg": (0, 0), "far.jpg": (213, 1), "none.jpg": (None, None)}.items():
        write(place / "pics" / name, *at)
    write(place / "pics" / "elsewhere.jpg", -33.1, -70.5)
    (place / "pics" / "broken.jpg").write_bytes(b"\xff\xd8\xffnothing")
    (place / "pics" / ".hidden.jpg").write_bytes(b"x")
    (place / "pics" / "notes.txt").write_text("no photo")
    photos, cells, said = search.run(spec(license="CC BY 4.0", owner="Me"))
    rows = {
        Path(url).name: row
        for url, row in zip(photos["url"], photos.to_dict("records"), strict=True)
    }
    assert set(rows) == {
        "a.jpg",
        "b.png",
        "c.heic",
        "zero.jpg",
        "far.jpg",
        "none.jpg",
        "broken.jpg",
    }
    for name, lat in (("a.jpg", 1.5), ("b.png", 1.25), ("c.heic", 1.75)):
        row = rows[name]
        assert (row["lat"], row["lon"]) == pytest.approx((lat, 1.5), abs=1e-7)
        assert (row["heading_deg"], row["date_taken"]) == (123.5, "2021-05-06 07:08:09")
        assert (row["owner"], row["license"], row["license_id"]) == ("Ann", "CC BY 4.0", 11)
    for name in ("zero.jpg", "far.jpg", "none.jpg"):
        assert rows[name]["unusable"] == "no_position"
    assert photos.loc[photos["unusable"] != "", ["lat", "lon"]].isna().all(axis=None)
    assert rows["broken.jpg"]["unusable"] == "corrupt"
    assert rows["broken.jpg"]["owner"] == "Me"
    assert (said["photos"], cells["listed"].tolist()) == (7, [7])
    assert "8 records of pics were read; 1 lie elsewhere." in said["reasons"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_position_of_nan_is_missing(value):
    assert np.isnan(folder._degrees({2: (value, 0, 0)}, 2, 1, "S")) or value == float("inf")
    assert np.isnan(folder._degrees({2: "abc"}, 2, 1, "S"))
    assert np.isnan(folder._degrees({}, 2, 1, "S"))


def fetched(place, photos):
    tables.write(place / "ids.parquet", "ids", photos[photos["unusable"] == ""])
    told = {
        "aoi": "mine",
        "download": {"min_side_px": 64},
        "flickr": {"photo_hosts": ["a.example"]},
    }
    return download.run(told, place / "ids.parquet", place / "downloads.parquet")


def test_a_file_becomes_a_photo_of_the_store(place):
    write(place / "pics" / "a.jpg", 1.5, 1.5)
    write(place / "pics" / "small.png", 1.5, 1.5, size=(300, 200), orientation=1)
    photos, *_ = search.run(spec())
    done = fetched(place, photos).set_index("id")
    assert set(done["status"]) == {"ok"}
    large, small = (next(i for i in done.index if word in i) for word in ("-a-", "-small-"))
    assert done.loc[large, ["width", "height"]].tolist() == [375, 500]
    assert done.loc[small, ["width", "height"]].tolist() == [300, 200]
    with Image.open(photo_path("mine", large)) as picture:
        assert picture.format == "JPEG"
        assert not picture.getexif().get_ifd(GPS)
        # Rotated by a quarter: the left side becomes the top.
        top, bottom = (np.asarray(picture.convert("RGB"))[k].mean(axis=0) for k in (100, 400))
    assert top[0] > 150 > 60 > bottom[0]
    # 28 mm on the 35 mm frame's diagonal, along the long side of 4:3.
    assert fov_deg(photo_path("mine", large), 375, 500) == pytest.approx(63.44, abs=0.01)


def test_a_second_run_writes_only_changed_files(place):
    write(place / "pics" / "a.jpg", 1.5, 1.5)
    photos, *_ = search.run(spec())
    fetched(place, photos)
    path = photo_path("mine", photos["id"][0])
    before = path.stat().st_mtime_ns, path.read_bytes()
    fetched(place, photos)
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    write(place / "pics" / "a.jpg", 1.5, 1.5, size=(640, 640))
    again = fetched(place, photos)
    assert again["width"].tolist() == [500]
    assert path.read_bytes() != before[1]


def test_a_missing_file_is_a_row_and_a_missing_folder_an_error(place):
    for n in range(4):
        write(place / "pics" / f"{n}.jpg", 1.5, 1.5)
    photos, *_ = search.run(spec())
    (place / "pics" / "0.jpg").unlink()
    assert sorted(fetched(place, photos)["status"]) == ["gone", "ok", "ok", "ok"]
    (place / "pics").rename(place / "other")
    with pytest.raises(UserError, match="none of 4 local photos exists"):
        fetched(place, photos)


def test_photos_that_all_lie_elsewhere_are_reported(place):
    write(place / "pics" / "a.jpg", -33.1, -70.5)
    with pytest.raises(UserError, match="none of the 1 photos of pics lies in `bbox_deg`"):
        search.run(spec())
    (place / "empty").mkdir()
    with pytest.raises(UserError, match="empty contains no photo"):
        search.run(spec("empty"))


def test_a_changed_folder_has_another_state(place):
    write(place / "pics" / "a.jpg", 1.5, 1.5)
    states = {paths.folder_state("pics")}
    assert paths.folder_state("pics") in states
    write(place / "pics" / "sub" / "b.jpg", 1.5, 1.5)
    states.add(paths.folder_state("pics"))
    os.utime(place / "pics" / "a.jpg", (1, 1))
    states.add(paths.folder_state("pics"))
    (place / "pics" / "sub" / "b.jpg").rename(place / "pics" / "b.jpg")
    states.add(paths.folder_state("pics"))
    assert len(states) == 4


def test_an_id_is_safe_and_contains_the_files_name(place):
    names = ["IMG 01 (äöü).JPG", "img_01.jpg", "x" * 200 + ".jpg", "日本.jpg"]
    for name in names:
        write(place / "pics" / name, 1.5, 1.5)
    listed = folder.listed(spec()["sources"][0], Place("mine", BOX)).rows
    assert listed["id"].is_unique and len(listed) == len(names)
    for photo_id in listed["id"]:
        photo_path("mine", photo_id)
    assert any(photo_id.startswith("folder-img_01-") for photo_id in listed["id"])
