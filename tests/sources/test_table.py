"""Photos of a table: every format, bad positions, ids, addresses, licences."""

import gzip
import subprocess
import sys

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from witw.errors import UserError
from witw.sources import search, table
from witw.sources.base import Place
from witw.sources.columns import moment
from witw.sources.terms import terms

BOX = (1, 1, 2, 2)
ROWS = {
    "id": ["1", "b_2", "x/y", "Big", "5", "6", "7", "1"],
    "lat": [1.5, 1.6, 1.7, 1.8, 0, 213, "n/a", 1.5],
    "lon": [1.5, 1.6, 1.7, 1.8, 0, 1.5, 1.5, 1.5],
    "url": [f"https://a.example/{n}.jpg" for n in range(8)],
}


def source(path, **told):
    base = {"kind": "table", "name": "mine", "path": str(path), "license": "", "owner": ""}
    return base | {"root": "", "columns": {}} | told


def listed(path, **told):
    return table.listed(source(path, **told), Place("oslo", BOX))


def test_rows_in_the_area_or_without_a_position_are_listed(tmp_path):
    outside = pd.DataFrame(
        {"id": ["o"], "lat": [5.0], "lon": [5.0], "url": ["https://a.example/o"]}
    )
    pd.concat([pd.DataFrame(ROWS), outside]).to_csv(tmp_path / "t.csv", index=False)
    found = listed(tmp_path / "t.csv")
    assert found.rows["id"].tolist()[:2] == ["mine-1", "mine-b_2"]
    assert found.rows["id"].is_unique
    assert found.rows["id"].str.fullmatch("mine-[a-z0-9_]+").all()
    assert found.rows["unusable"].tolist() == [""] * 4 + ["no_position"] * 3
    assert (found.read, found.outside) == (9, 1)
    assert found.left_out == {"a duplicate id": 1}


FORMS = {
    "t.csv": lambda g, p: pd.DataFrame(g.drop(columns="geometry")).to_csv(p, index=False),
    "t.tsv": lambda g, p: pd.DataFrame(g.drop(columns="geometry")).to_csv(p, index=False, sep="\t"),
    "t.csv.gz": lambda g, p: p.write_bytes(
        gzip.compress(pd.DataFrame(g.drop(columns="geometry")).to_csv(index=False).encode())
    ),
    "plain.parquet": lambda g, p: pd.DataFrame(g.drop(columns="geometry")).to_parquet(p),
    "geo.parquet": lambda g, p: g.drop(columns=["Latitude", "lng"]).to_crs(32631).to_parquet(p),
    "t.gpkg": lambda g, p: g.drop(columns=["Latitude", "lng"]).to_crs(32631).to_file(p),
    "t.geojson": lambda g, p: g.drop(columns=["Latitude", "lng"]).to_file(p),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_rows(tmp_path, form):
    lat, lon = [1.25, 1.5, 3.0], [1.5, 1.75, 3.0]
    data = {"photo_id": [11, 12, 13], "Latitude": lat, "lng": lon, "File": ["a.jpg", "b.jpg", ""]}
    data |= {"thumb_1024_url": ["", "", "https://a.example/c"], "licence": "CC BY-SA 4.0"}
    data |= {"captured_at": [1507560881000] * 3, "compass_angle": [370.0, 90.0, 1.0]}
    data |= {"author": ["Ann", "", "Cy"], "caption": ['a, "b"', "é", "c"]}
    frame = gpd.GeoDataFrame(data, geometry=gpd.points_from_xy(lon, lat), crs=4326)
    FORMS[form](frame, tmp_path / form)
    found = listed(tmp_path / form, owner="Somebody", root="pics").rows
    assert found["id"].tolist() == ["mine-11", "mine-12"]
    assert found["lat"].tolist() == pytest.approx(lat[:2], abs=1e-9)
    assert found["lon"].tolist() == pytest.approx(lon[:2], abs=1e-9)
    assert found["url"].tolist() == ["pics/a.jpg", "pics/b.jpg"]
    assert found["date_taken"].tolist() == ["2017-10-09 14:54:41"] * 2
    assert found["heading_deg"].tolist() == [10.0, 90.0]
    assert found["owner"].tolist() == ["Ann", "Somebody"]
    assert found["title"].tolist() == ['a, "b"', "é"]
    assert found["license_id"].tolist() == [12, 12]


def test_paths_are_relative_to_the_tables_folder(tmp_path):
    pd.DataFrame({"lat": [1.5], "lon": [1.5], "path": ["pics/a.jpg"]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    found = listed(tmp_path / "t.csv").rows
    assert found["url"].tolist() == [str(tmp_path / "pics" / "a.jpg")]
    # Without an id, the table's path or address identifies the photo, so the folder may move.
    (tmp_path / "moved").mkdir()
    (tmp_path / "t.csv").rename(tmp_path / "moved" / "t.csv")
    assert listed(tmp_path / "moved" / "t.csv").rows["id"].tolist() == found["id"].tolist()


MISTAKES = {
    "no positions": ({"y": [1.5], "x": [1.5], "url": ["https://a/b"]}, {}, "no columns `lat` and"),
    "no files": ({"lat": [1.5], "lon": [1.5]}, {}, "neither `path` nor `url`"),
    "a column that is not there": (
        ROWS,
        {"columns": {"lat": "y"}},
        "no column 'y'; its columns are id, lat",
    ),
    "a word that is none": (ROWS, {"columns": {"latt": "lat"}}, "unknown key 'latt'; use lat"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_missing_columns_are_reported(tmp_path, name):
    data, told, words = MISTAKES[name]
    pd.DataFrame(data).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(UserError, match=f"Area 'oslo': the table .*t.csv: .*{words}"):
        listed(tmp_path / "t.csv", **told)


def test_columns_may_have_other_names(tmp_path):
    pd.DataFrame({"Y": [1.5], "X": [1.25], "where": ["a.jpg"], "quality": [14]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    names = {"lat": "Y", "lon": "X", "path": "where", "accuracy": "quality"}
    (row,) = listed(tmp_path / "t.csv", columns=names).rows.to_dict("records")
    assert (row["lat"], row["lon"], row["accuracy"]) == (1.5, 1.25, 14)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.gpkg"])
def test_a_file_that_is_not_a_table_is_reported(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x00\xff\xfe junk \xff" * 50)
    with pytest.raises(UserError, match=f"Area 'oslo': the table .*{name}"):
        listed(tmp_path / name)


def test_swapped_or_foreign_positions_are_reported(tmp_path):
    pd.DataFrame(ROWS | {"lat": 59.0, "lon": 10.0}).to_csv(tmp_path / "t.csv", index=False)
    spec = {"aoi": "oslo", "bbox_deg": BOX, "sources": [source(tmp_path / "t.csv")]}
    with pytest.raises(UserError, match=r"none of the 8 photos of .*t.csv lies in `bbox_deg`"):
        search.run(spec)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2021:05:06 07:08:09", "2021-05-06 07:08:09"),
        ("2021-05-06T07:08:09Z", "2021-05-06 07:08:09"),
        ("2021-05-06", "2021-05-06 00:00:00"),
        ("1507560881", "2017-10-09 14:54:41"),
        ("0000:00:00 00:00:00", ""),
        ("2021-13-01", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_moments_are_read_from_any_format(text, expected):
    assert moment(text) == expected


@pytest.mark.parametrize(
    ("name", "url", "flickr_id", "shown"),
    [
        ("CC BY 2.0", "", 4, "CC BY 2.0"),
        ("cc-by-sa-4.0", "", 12, "CC BY-SA 4.0"),
        ("Creative Commons Attribution-ShareAlike 4.0", "", 12, "CC BY-SA 4.0"),
        ("", "http://creativecommons.org/licenses/by-nc-nd/2.0/", 3, "CC BY-NC-ND 2.0"),
        ("Attribution-NonCommercial-ShareAlike License", "", None, "CC BY-NC-SA"),
        ("CC0", "", 9, "CC0 1.0"),
        ("", "https://creativecommons.org/publicdomain/mark/1.0/", 10, "Public Domain Mark 1.0"),
        ("GFDL", "", None, "GFDL"),
        ("my own", "", None, "my own"),
        ("", "", None, ""),
    ],
)
def test_licences_are_read_from_many_spellings(name, url, flickr_id, shown):
    found = terms(name, url)
    assert (found.id, found.name) == (flickr_id, shown)


# Peak memory of the process itself: getrusage includes its parent's at the fork.
SCRIPT = r"""
import re, sys, time
from pathlib import Path
from witw.sources import table
from witw.sources.base import Place
began = time.monotonic()
told = {"name": "t", "path": sys.argv[1], "license": "", "owner": "", "root": "", "columns": {}}
found = table.listed(told, Place("oslo", (10, 59, 11, 60)))
seconds = time.monotonic() - began
peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]
print(len(found.rows), seconds, peak)
"""


@pytest.mark.long
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_million_rows_an_area_of_50_000(tmp_path, form):
    """The bar is 30 s and 1 GB."""
    count, inside = 1_000_000, 50_000
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, count), rng.uniform(-80, -10, count)
    where = rng.choice(count, inside, replace=False)
    lon[where], lat[where] = rng.uniform(10, 11, inside), rng.uniform(59, 60, inside)
    data = pd.DataFrame({"id": np.arange(count), "lat": lon * 0 + lat, "lon": lon})
    data["url"] = [f"https://photos.example/{n // 1000}/{n}_photo.jpg" for n in range(count)]
    data["title"], data["license"] = "A photo of a street with a long title", "CC BY-SA 4.0"
    path = tmp_path / f"t.{form}"
    data.to_csv(path, index=False) if form == "csv" else data.to_parquet(path)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, check=True
    )
    found, seconds, peak_kb = done.stdout.split()
    assert int(found) == inside
    assert float(seconds) < 30
    assert int(peak_kb) < 1_000_000


def test_decimal_commas_are_read(tmp_path):
    (tmp_path / "t.csv").write_text(
        "lat;lon;path\n1,5;1,25;a.jpg\n-1,5;1,25;b.jpg\n1,500,000;1;c.jpg\n"
    )
    rows = listed(tmp_path / "t.csv").rows
    assert rows["url"].str[-5:].tolist() == ["a.jpg", "c.jpg"]
    assert (rows["lat"][0], rows["lon"][0]) == (1.5, 1.25)
    assert rows["unusable"].tolist() == ["", "no_position"]


def run(path, kind="table"):
    return search.run(
        {"aoi": "oslo", "bbox_deg": BOX, "sources": [source(path, kind=kind, hosts=None)]}
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lat,lon,path\n", "lists no photo"),
        ("lat,lon,path\n59°55',10°45',a.jpg\n,,b.jpg\n", "any of its 2 photos; `lat` and `lon`"),
    ],
)
def test_a_table_without_a_position_is_reported(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        run(tmp_path / "t.csv")


def test_a_table_that_is_none_is_not_repeated(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"lat,lon,path\n" + bytes(range(1, 256)) * 9)
    with pytest.raises(UserError, match="cannot be read") as caught:
        run(tmp_path / "t.csv")
    assert str(caught.value).isprintable()
