"""A list of ids written by `dataset` is read back exactly; a different file is refused."""

import hashlib
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from witw import tables
from witw.errors import UserError
from witw.sources import download, ids, search


def photo(seed):
    noise = np.random.default_rng(seed).integers(0, 255, (30, 40, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize((400, 300)).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def pairs(tmp_path, monkeypatch):
    """Return table `pairs`: a Flickr photo, an own one, a gone one, one without a position."""
    monkeypatch.chdir(tmp_path)
    base = dict.fromkeys(tables.PAIRS) | {"aoi": "oslo", "lat": 59.9, "lon": 10.7, "owner": "a"}
    sha256 = hashlib.sha256(b"any").hexdigest()
    flickr = {"id": "52800001234", "source": "flickr", "accuracy": 16, "license_id": 4}
    flickr |= {"license": "CC BY 2.0", "title": 'A, "b"\nc', "date_upload": 1178435289}
    flickr |= {"photo_url": "https://live.staticflickr.com/1/52800001234_ab.jpg"}
    flickr |= {"photo_sha256": sha256, "status": "paired", "url": "https://flickr.example/1"}
    own = {"id": "folder-a-12", "source": "folder", "photo_url": "pics/a.jpg", "heading_deg": 12.5}
    own |= {"photo_sha256": sha256, "status": "indoor", "date_taken": "2020-01-02 03:04:05"}
    gone = {"id": "7", "source": "flickr", "status": "gone", "photo_url": "https://a.example/7"}
    lost = {"id": "folder-b-34", "source": "folder", "status": "no_position", "lat": None}
    rows = [base | row for row in (flickr, own, gone, lost | {"lon": None})]
    return tables.frame("pairs", rows)


def listed(path="ids.csv", aoi="oslo", root=""):
    source = {"kind": "ids", "name": "ids", "path": str(path), "root": root}
    spec = {"aoi": aoi, "bbox_deg": [10, 59, 11, 60]}
    return search.run(spec | {"sources": [source | {"license": "", "owner": ""}]})[0]


def test_the_list_is_read_back_as_it_was(pairs):
    ids.table(pairs).to_csv("ids.csv", index=False)
    photos = listed().set_index("id")
    told = pairs.set_index("id")
    same = ["source", "owner", "title", "license", "license_id", "lat", "lon", "accuracy"]
    same += ["heading_deg", "date_taken", "date_upload"]
    for column in same:
        blank = "" if tables.PHOTOS[column].dtype == "string" else -1
        expected = told.loc[photos.index, column].fillna(blank).tolist()
        assert photos[column].fillna(blank).tolist() == expected, column
    assert photos["photo_page"].fillna("").tolist()[0] == "https://flickr.example/1"
    assert photos["unusable"].to_dict() == {
        "52800001234": "",
        "folder-a-12": "",
        "7": "gone",
        "folder-b-34": "no_position",
    }
    assert photos.loc["folder-a-12", "url"].startswith("pics/a.jpg#sha256=")


def test_an_area_missing_in_the_list_is_reported(pairs):
    ids.table(pairs).to_csv("ids.csv", index=False)
    with pytest.raises(
        UserError, match=r"'rome': the list ids.csv has no photo .* its areas are oslo"
    ):
        listed(aoi="rome")
    pd.DataFrame({"id": ["1"]}).to_csv("other.csv", index=False)
    with pytest.raises(UserError, match="lacks the column 'aoi'"):
        listed("other.csv")


def test_a_different_file_is_refused(pairs, tmp_path):
    """The digest is that of the file in the store, which is converted from the local one."""
    pairs = pairs[pairs["id"] == "folder-a-12"]
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a.jpg").write_bytes(photo(1))
    told = {
        "aoi": "oslo",
        "download": {"min_side_px": 64},
        "flickr": {"photo_hosts": ["a.example"]},
    }

    def fetched():
        tables.write(tmp_path / "ids.parquet", "ids", listed())
        return download.run(told, tmp_path / "ids.parquet", tmp_path / "d.parquet")

    ids.table(pairs.assign(photo_sha256=pd.NA)).to_csv("ids.csv", index=False)
    assert listed()["unusable"].tolist() == ["indoor"]
    ids.table(pairs.assign(photo_sha256="0" * 64)).to_csv("ids.csv", index=False)
    assert fetched()["status"].tolist() == ["changed"]
    assert not list((tmp_path / "photos").rglob("*.jpg"))
    tables.write(tmp_path / "ids.parquet", "ids", listed().assign(url="pics/a.jpg"))
    right = download.run(told, tmp_path / "ids.parquet", tmp_path / "d.parquet")["sha256"][0]
    ids.table(pairs.assign(photo_sha256=right)).to_csv("ids.csv", index=False)
    assert fetched()["status"].tolist() == ["ok"]
    (tmp_path / "pics" / "a.jpg").write_bytes(photo(2))
    assert fetched()["status"].tolist() == ["changed"]
