"""YFCC100M: both forms of its table, packed or not, and SQLite, filtered by area and licence."""

import bz2
import sqlite3

import pytest

from witw.errors import UserError
from witw.sources import search, yfcc100m
from witw.store import FLICKR_ID

BOX = [1, 1, 2, 2]
BY = ("Attribution License", "http://creativecommons.org/licenses/by/2.0/")
BY_NC = ("Attribution-NonCommercial License", "http://creativecommons.org/licenses/by-nc/2.0/")


def record(photoid, lon="1.5", lat="1.5", license_=BY, marker="0", **other):
    """Return a row as published: percent-encoded text, empty where missing."""
    row = dict.fromkeys(yfcc100m.NAMES, "")
    row |= {"photoid": photoid, "uid": "39019111@N00", "unickname": "guy+%22one%22"}
    row |= {"datetaken": "2007-05-06 07:08:09.0", "dateuploaded": "1178435289"}
    row |= {"title": "Caf%C3%A9+%26+%22bar", "longitude": lon, "latitude": lat, "accuracy": "16"}
    row |= {"pageurl": f"http://www.flickr.com/photos/39019111@N00/{photoid}/"}
    row |= {"downloadurl": f"http://farm5.staticflickr.com/4062/{photoid}_9.jpg"}
    row |= {"licensename": license_[0], "licenseurl": license_[1], "serverid": "4062"}
    row |= {"farmid": "5", "secret": "ab12", "secretoriginal": "cd34", "ext": "jpg"}
    return row | {"marker": marker} | other


RECORDS = [
    record("4963000001"),
    record("4963000002", license_=BY_NC),
    record("4963000003", lon="", lat=""),  # as half of them
    record("4963000004", marker="1"),  # a video
    record("4963000005", lon="5.5"),
    record("4963000006", serverid="0"),
    record("4963000007", lat="1.25", title='A "quoted'),
    record("4963000001"),  # once more
]


def lines(later):
    for n, row in enumerate(RECORDS):
        values = list(row.values())
        yield "\t".join([str(n), values[0], "hash", *values[1:]] if later else values)


def write(folder, form):
    text = "".join(f"{line}\n" for line in lines("later" in form)).encode()
    if "sqlite" in form:
        path = folder / "yfcc100m_dataset.sql"
        with sqlite3.connect(path) as database:
            names = ", ".join(yfcc100m.NAMES)
            database.execute(f"CREATE TABLE yfcc100m_dataset ({names})")
            marks = ", ".join("?" * len(yfcc100m.NAMES))
            rows = [tuple(row.values()) for row in RECORDS[:-1]]
            database.executemany(f"INSERT INTO yfcc100m_dataset VALUES ({marks})", rows)
        return path
    path = folder / ("yfcc100m_dataset.bz2" if "bz2" in form else "yfcc100m_dataset")
    path.write_bytes(bz2.compress(text) if "bz2" in form else text)
    return path


def spec(path, licenses=(4,)):
    source = {"kind": "yfcc100m", "name": "yfcc100m", "path": str(path), "license": ""}
    return {
        "aoi": "oslo",
        "bbox_deg": BOX,
        "sources": [source | {"owner": ""}],
        "search": {"licenses": list(licenses)},
        "flickr": {"photo_hosts": ["live.staticflickr.com"]},
    }


@pytest.mark.parametrize("form", ["first", "later", "first bz2", "later bz2", "sqlite"])
def test_every_form_gives_the_open_photos_of_the_area(tmp_path, form):
    photos, _, said = search.run(spec(write(tmp_path, form)))
    assert photos["id"].tolist() == ["4963000001", "4963000007"]
    row = photos.iloc[0]
    assert row["url"] == "https://live.staticflickr.com/4062/4963000001_ab12.jpg"
    assert (row["owner"], row["owner_name"], row["title"]) == (
        "39019111@N00",
        'guy "one"',
        'Café & "bar',
    )
    assert (row["license"], row["license_id"], row["accuracy"]) == ("CC BY 2.0", 4, 16)
    assert (row["date_taken"], row["date_upload"]) == ("2007-05-06 07:08:09", 1178435289)
    assert row["photo_page"] == "https://www.flickr.com/photos/39019111@N00/4963000001/"
    assert photos["id"].str.fullmatch(FLICKR_ID.pattern).all()
    assert photos.iloc[1]["lat"] == 1.25
    assert said["left_out"] == {
        "a licence outside `search.licenses`": 1,
        "no file address": 1,
    }


def test_licences_are_those_of_the_search(tmp_path):
    photos, *_ = search.run(spec(write(tmp_path, "first"), (2, 4)))
    assert "4963000002" in set(photos["id"])


@pytest.mark.parametrize("between", ["\n", "\n\n", "\r\n"])
@pytest.mark.parametrize("size", [1, 700, 1 << 20])
def test_lines_are_found_across_blocks(tmp_path, monkeypatch, between, size):
    """Blank lines, other line ends, a last line without one, blocks shorter than a line."""
    monkeypatch.setattr(yfcc100m, "BLOCK", size)
    rows = [record(f"49630{n:05d}", lon="1.5" if n % 3 else "7") for n in range(60)]
    path = tmp_path / "yfcc100m_dataset"
    path.write_bytes(between.join("\t".join(row.values()) for row in rows).encode())
    photos, _, said = search.run(spec(path))
    assert photos["id"].tolist() == [f"49630{n:05d}" for n in range(60) if n % 3]
    assert "60 records of" in said["reasons"][0]


def test_parts_are_read_together(tmp_path):
    for n, row in enumerate(RECORDS[:2]):
        text = "\t".join(row.values()) + "\n"
        (tmp_path / f"yfcc100m_dataset-{n}.bz2").write_bytes(bz2.compress(text.encode()))
    photos, _, said = search.run(spec(tmp_path / "yfcc100m_dataset-*.bz2", (2, 4)))
    assert photos["id"].tolist() == ["4963000001", "4963000002"]
    assert "2 records of" in said["reasons"][0]


def test_another_table_is_reported(tmp_path):
    (tmp_path / "t").write_text("a\tb\n1\t2\n")
    with pytest.raises(UserError, match=r"Area 'oslo': .* has 2 tab-separated columns; .* 25 or"):
        search.run(spec(tmp_path / "t"))
