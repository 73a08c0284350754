"""Shards of photo ids."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from witw import tables
from witw.errors import UserError
from witw.sources import shards


def photo(photo_id):
    row = dict.fromkeys(tables.PHOTOS, "x") | {"license_id": 4, "date_upload": 1, "accuracy": 16}
    row |= {"is_gone": False, "heading_deg": None, "unusable": ""}
    return row | {"id": photo_id, "lat": 1.5, "lon": int(photo_id) / 1e4, "url": f"u{photo_id}"}


def run(tmp_path, ids, count, files=None):
    photos = tmp_path / "photos.parquet"
    tables.write(photos, "photos", [photo(i) for i in ids])
    paths = [tmp_path / "ids" / f"{n:04d}.parquet" for n in range(files or count)]
    spec = json.dumps({"stage": "shards", "version": 2, "aoi": "demo", "shards": count})
    shards.main(["--spec", spec, "--photos", str(photos), "--ids", *map(str, paths)])
    return paths


def test_every_photo_lies_in_exactly_one_shard(tmp_path):
    ids = [str(n) for n in range(1_000)] + ["007"]
    found = [tables.read(path, "ids") for path in run(tmp_path, ids, 7)]
    assert sorted(pd.concat(found)["id"]) == sorted(ids)
    assert all(100 < len(table) < 190 for table in found)
    table = pd.concat(found).set_index("id")
    assert table.loc["42", ["url", "lat", "lon"]].tolist() == ["u42", 1.5, 0.0042]


def test_the_shard_is_that_of_sha1sum(tmp_path):
    # printf 53082955109 | sha1sum; the number modulo 8 is that of its last hex digit.
    done = subprocess.run(["sha1sum"], input=b"53082955109", capture_output=True, check=True)
    last = int(done.stdout.split()[0][-1:], 16)
    assert shards.shard_of("53082955109", 8) == last % 8


def test_a_photo_stays_in_its_shard_and_other_shards_keep_their_bytes(tmp_path):
    ids = [str(n) for n in range(200)]
    before = [path.read_bytes() for path in run(tmp_path, ids, 5)]
    after = [path.read_bytes() for path in run(tmp_path, [*ids[::-1], "999999"], 5)]
    changed = [n for n in range(5) if before[n] != after[n]]
    assert changed == [shards.shard_of("999999", 5)]


def test_no_photos_are_empty_shards(tmp_path):
    for path in run(tmp_path, [], 3):
        table = tables.read(path, "ids")
        assert len(table) == 0
        assert list(table) == list(tables.IDS)


def test_a_wrong_number_of_files_is_reported(tmp_path):
    with pytest.raises(UserError, match="--ids names 2 files, but `shards` is 3"):
        run(tmp_path, ["1"], 3, files=2)


def test_the_stage_runs_by_itself(tmp_path):
    tables.write(tmp_path / "photos.parquet", "photos", [photo("5")])
    spec = json.dumps({"stage": "shards", "version": 2, "aoi": "demo", "shards": 1})
    command = [sys.executable, "-m", "witw.sources.shards", "--spec", spec]
    command += ["--photos", "photos.parquet", "--ids", "ids/0000.parquet"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert tables.read(tmp_path / "ids" / "0000.parquet", "ids")["id"].tolist() == ["5"]


def test_a_photo_that_is_not_fetched_is_in_no_shard(tmp_path):
    photos = tmp_path / "photos.parquet"
    tables.write(photos, "photos", [photo("1"), photo("2") | {"unusable": "no_position"}])
    shards.run(photos, [tmp_path / "0.parquet"])
    assert tables.read(tmp_path / "0.parquet", "ids")["id"].tolist() == ["1"]
