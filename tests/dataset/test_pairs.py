"""The join: every listed photo once, with its status, its files and its credit."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from witw import tables
from witw.dataset import pairs
from witw.dataset.credit import credit
from witw.errors import UserError
from witw.settings.pairs import Pairs

SPEC = {
    "stage": "pairs",
    "version": 1,
    "aoi": "paris",
    "city": "Paris",
    "satellite": "WorldView-3",
    "split": "test",
    "pairs": {"min_outdoor_vote": 0.5, "max_blank_fraction": 0.1},
}

# download status, vote (None: no row; nan: not decodable), blank fraction (None: no row) -> status
CASES = {
    "11": ("gone", None, None, "gone"),
    "12": ("failed", None, None, "failed"),
    "13": ("corrupt", None, None, "corrupt"),
    "14": ("grey", 0.9, None, "grey"),
    "15": ("grey", 0.1, None, "grey"),
    "16": ("ok", 0.4, None, "indoor"),
    "17": ("ok", 0.5, 0.0, "paired"),
    "18": ("ok", 1.0, 0.1, "paired"),
    "19": ("ok", 1.0, 0.1001, "blank"),
    "20": ("ok", 0.9, 1.0, "off_imagery"),
    "21": ("ok", float("nan"), None, "corrupt"),
}


def photo(number):
    return {
        **dict.fromkeys(tables.PHOTOS),
        "id": number,
        "owner": "1@N0",
        "owner_name": "Ann",
        "title": f"T{number}",
        "license": "CC BY 2.0",
        "lat": 48.8,
        "lon": 2.3 + int(number) / 1000,
        "url": "https://live.example/x.jpg",
        "photo_page": f"https://www.flickr.com/photos/1@N0/{number}/",
        "cell": "r",
    }


@pytest.fixture
def world(tmp_path):
    """Write the tables of CASES over two shards; return a runner."""
    rows = {"downloads": [], "scenes": [], "chips": []}
    for number, (status, vote, blank, _) in CASES.items():
        path = f"photos/paris/{number}/{number}.jpg" if status in ("ok", "grey") else None
        rows["downloads"].append(
            {**dict.fromkeys(tables.DOWNLOADS), "id": number, "status": status, "path": path}
        )
        if vote is not None:
            scores = {"io_vote": vote, "p_outdoor": vote, "scene_top1": "street"}
            rows["scenes"].append({"id": number, **scores})
        if blank is not None:
            digest = f"of {number}" if blank < 1 else None
            place = {"sha256": digest, "easting": 1.5, "northing": 2.5, "epsg": 32631, "strip": "s"}
            chip = {"chip_path": f"c/{number}.jpg" if blank < 1 else None, "blank_fraction": blank}
            rows["chips"].append({"id": number, **chip, **place})
    tables.write(tmp_path / "photos.parquet", "photos", [photo(number) for number in CASES])
    for name, entries in rows.items():
        for shard in (0, 1):
            part = [row for row in entries if int(row["id"]) % 2 == shard]
            tables.write(tmp_path / name / f"{shard:04d}.parquet", name, part)

    def run(spec=SPEC):
        shards = {
            name: [tmp_path / name / f"{shard:04d}.parquet" for shard in (0, 1)] for name in rows
        }
        pairs.run(spec, tmp_path / "photos.parquet", *shards.values(), tmp_path / "pairs.parquet")
        return gpd.read_parquet(tmp_path / "pairs.parquet")

    return run


def drop(path, name, number):
    data = tables.read(path, name)
    tables.write(path, name, data[data["id"] != number])


def test_every_listed_photo_has_one_row_and_the_first_status_that_applies(world):
    got = world()
    assert list(got["id"]) == sorted(CASES)
    assert dict(zip(got["id"], got["status"], strict=True)) == {
        number: case[3] for number, case in CASES.items()
    }


def test_columns_dtypes_and_geometry_are_fixed(world):
    got = world()
    assert list(got.columns) == [*tables.PAIRS, "geometry"]
    assert {c: str(got[c].dtype) for c in tables.PAIRS if c != "geometry"} == {
        c: col.dtype for c, col in tables.PAIRS.items()
    }
    assert got.crs.to_epsg() == 4326
    assert np.allclose(got.geometry.x, got["lon"].astype(float))
    assert set(got["aoi"]) == {"paris"}
    assert set(got["city"] + got["satellite"] + got["split"]) == {"ParisWorldView-3test"}


def test_each_row_has_its_photos_files_page_and_place(world):
    got = world().set_index("id")
    assert got.loc["17", "photo_path"] == "photos/paris/17/17.jpg"
    assert got.loc["17", "chip_path"] == "c/17.jpg"
    assert got.loc["17", "chip_sha256"] == "of 17"
    assert got["chip_sha256"].notna().tolist() == got["chip_path"].notna().tolist()
    assert got.loc["17", "url"] == "https://www.flickr.com/photos/1@N0/17/"
    assert got.loc["17", "epsg"] == 32631
    assert pd.isna(got.loc["11", "photo_path"])
    assert pd.isna(got.loc["16", "easting"])
    assert (
        got.loc["17", "credit"] == '"T17" by Ann, CC BY 2.0, https://www.flickr.com/photos/1@N0/17/'
    )


def test_the_same_inputs_give_the_same_bytes(world, tmp_path):
    world()
    first = (tmp_path / "pairs.parquet").read_bytes()
    world()
    assert (tmp_path / "pairs.parquet").read_bytes() == first


def test_a_least_mass_of_outdoor_scenes_may_be_required(world, tmp_path):
    drop(tmp_path / "chips" / "0001.parquet", "chips", "17")
    got = world({**SPEC, "pairs": {**SPEC["pairs"], "min_outdoor_mass": 0.51}})
    status = dict(zip(got["id"], got["status"], strict=True))
    assert (status["16"], status["17"], status["18"]) == ("indoor", "indoor", "paired")


def test_thresholds_come_from_the_config(world, tmp_path):
    drop(tmp_path / "chips" / "0001.parquet", "chips", "17")
    got = world({**SPEC, "pairs": {"min_outdoor_vote": 0.6, "max_blank_fraction": 0.5}})
    status = dict(zip(got["id"], got["status"], strict=True))
    assert (status["17"], status["18"], status["19"]) == ("indoor", "paired", "paired")


@pytest.mark.parametrize(
    ("table", "number"),
    [("downloads", "11"), ("downloads", "17"), ("scenes", "14"), ("scenes", "21"), ("chips", "20")],
)
def test_a_missing_row_is_reported(world, tmp_path, table, number):
    drop(tmp_path / table / f"{int(number) % 2:04d}.parquet", table, number)
    with pytest.raises(UserError) as error:
        world()
    text = str(error.value)
    assert "'paris'" in text
    assert f"table {table} lacks 1 photo(s), the first is {number}" in text
    assert str(tmp_path / table) in text


def test_an_extra_row_is_reported(world, tmp_path):
    extra = {**dict.fromkeys(tables.SCENES), "id": "99", "io_vote": 1.0}
    old = tables.read(tmp_path / "scenes" / "0001.parquet", "scenes")
    both = pd.concat([old, tables.frame("scenes", [extra])])
    tables.write(tmp_path / "scenes" / "0001.parquet", "scenes", both)
    with pytest.raises(UserError, match=r"table scenes has 1 photo.* not have, the first is 99"):
        world()


def test_a_photo_in_two_shards_is_reported(world, tmp_path):
    for name in ("downloads", "scenes", "chips"):
        both = [tables.read(tmp_path / name / f"000{n}.parquet", name) for n in (0, 1)]
        tables.write(tmp_path / name / "0000.parquet", name, pd.concat(both))
    with pytest.raises(UserError, match="table downloads has photo 11 twice"):
        world()


def test_an_area_without_photos_has_an_empty_table(tmp_path):
    for name in ("photos", "downloads", "scenes", "chips"):
        tables.write(tmp_path / f"{name}.parquet", name, [])
    one = [[tmp_path / f"{name}.parquet"] for name in ("downloads", "scenes", "chips")]
    pairs.run(SPEC, tmp_path / "photos.parquet", *one, tmp_path / "pairs.parquet")
    assert len(tables.read(tmp_path / "pairs.parquet", "pairs")) == 0


@pytest.mark.parametrize(
    ("title", "owner", "expected"),
    [
        ("Seine", "Ann", '"Seine" by Ann, CC0, p'),
        ("a\n\tb\x00c\u2028d", "A\rB", '"a b c d" by A B, CC0, p'),
        ('say "hi"', "Ann", "\"say 'hi'\" by Ann, CC0, p"),
        ("\u202eright to left", "Ann", '"right to left" by Ann, CC0, p'),
        ("  ", "Ann", "Untitled by Ann, CC0, p"),
        ("Été 🏳️‍🌈", "Ann", '"Été 🏳️‍🌈" by Ann, CC0, p'),
    ],
)
def test_credits_name_title_author_and_licence(title, owner, expected):
    assert credit(title, owner, "CC0", "p") == expected


def test_missing_names_do_not_stop_the_credit():
    listed = tables.frame("photos", [{**photo("17"), "owner_name": None, "title": None}])
    empty = [tables.frame(name) for name in ("scenes", "chips")]
    gone = {**dict.fromkeys(tables.DOWNLOADS), "id": "17", "status": "gone"}
    got = pairs.join(listed, tables.frame("downloads", [gone]), *empty, Pairs())
    assert got["credit"][0].startswith("Untitled by 1@N0, CC BY 2.0, https://")


def test_command_line(world, tmp_path):
    args = ["--spec", json.dumps(SPEC), "--photos", str(tmp_path / "photos.parquet")]
    for name in ("downloads", "scenes", "chips"):
        args += [f"--{name}", *(str(tmp_path / name / f"000{n}.parquet") for n in (0, 1))]
    pairs.main([*args, "--mosaic", "--pairs", str(tmp_path / "out.parquet")])
    assert len(tables.read(Path(tmp_path / "out.parquet"), "pairs")) == len(CASES)
