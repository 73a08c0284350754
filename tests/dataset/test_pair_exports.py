"""Exports, read back with their target libraries if those are installed (`make test`)."""

import csv
import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.dataset.readers import read_with
from witw import tables
from witw.dataset import export_folder, export_hf, export_webdataset
from witw.dataset.exports import parts
from witw.errors import UserError

AREAS = {
    "rio": {"imagery_license": "CC BY-SA 4.0"},
    "paris": {"imagery_license": "CC BY-SA 4.0"},
    "empty": {"imagery_license": ""},
}
SPEC = {"areas": AREAS}
# The columns that the original's code accesses by number.
ORIGINAL = [
    "id", "author", "surface_license_code", "lat", "lon", "surface_url", "surface_height",
    "surface_width", "aoi", "aoi_name", "surface_license", "surface_license_url",
    "overhead_license", "overhead_license_url", "overhead_satellite", "surface_path",
    "overhead_path",
]  # fmt: skip


def picture(seed, size):
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (5, 5, 3), np.uint8))
    out = io.BytesIO()
    coarse.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


@pytest.fixture
def dataset(tmp_path):
    """Make pairs: train 11, 12, 13, val 21 in rio, test 31 in paris; 11 in both; 99 is unpaired."""
    folder, rows = tmp_path / "dataset", []
    listed = [("11", "rio", "train"), ("11", "paris", "test"), ("12", "rio", "train")]
    listed += [("13", "rio", "train"), ("21", "rio", "val"), ("31", "paris", "test")]
    for photo_id, aoi, split in listed:
        row = dict.fromkeys(tables.PAIRS) | {"id": photo_id, "aoi": aoi, "split": split}
        row |= {"status": "paired", "lat": 48.5, "lon": 2.25, "city": aoi.title(), "owner": "1@N00"}
        row |= {
            "license_id": 4,
            "license": "CC BY 2.0",
            "satellite": "WorldView-3",
            "title": 'a,"b',
        }
        row |= {"license_url": "https://by.example/", "photo_width": 60, "photo_height": 40}
        for kind, size in (("photo", (60, 40)), ("chip", (75, 75))):
            path = folder / f"{kind}s" / aoi / f"{photo_id}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(int(photo_id) + (kind == "chip"), size))
            row[f"{kind}_path"] = f"{kind}s/{aoi}/{photo_id}.jpg"
        rows.append(row)
    rows.append(dict.fromkeys(tables.PAIRS) | {"id": "99", "aoi": "rio", "status": "shared"})
    tables.write_geo(folder / "pairs.parquet", "pairs", rows)
    (folder / "README.md").write_text("# The card\n")
    return folder


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def export(name, dataset, out):
    if name == "folder":
        export_folder.run(SPEC, dataset / "pairs.parquet", out)
    elif name == "webdataset":
        export_webdataset.run(dataset / "pairs.parquet", out)
    else:
        (dataset / "example.jpg").write_bytes(b"a picture")
        card, example = dataset / "README.md", dataset / "example.jpg"
        export_hf.run(dataset / "pairs.parquet", card, example, out)
    return out


@pytest.mark.parametrize("name", ["folder", "webdataset", "hf"])
def test_a_second_export_has_the_same_bytes_and_photos(dataset, tmp_path, name):
    one, two = (export(name, dataset, tmp_path / n) for n in ("one", "two"))
    assert digests(one) == digests(two)
    assert (one / "ids.txt").read_text().split() == ["11", "12", "13", "21", "31"]


def test_the_originals_layout_is_exported(dataset, tmp_path):
    out = export("folder", dataset, tmp_path / "out")
    found = {}
    for split in ("train", "val", "test", "dataset"):
        with (out / f"{split}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        assert header == ORIGINAL
        found[split] = {row[0]: row for row in rows}
    # A photo of train and test belongs only to the test.
    assert {s: sorted(r) for s, r in found.items()} == {
        "train": ["12", "13"], "val": ["21"], "test": ["11", "31"],
        "dataset": ["11", "12", "13", "21", "31"],
    }  # fmt: skip
    row = dict(zip(ORIGINAL, found["dataset"]["11"], strict=True))
    assert row["aoi"] == "2"  # of empty, paris, rio
    assert row["aoi_name"] == "Paris"
    assert row["overhead_license"] == "CC BY-SA 4.0"
    assert row["overhead_license_url"] == "https://creativecommons.org/licenses/by-sa/4.0/"
    for row in found["dataset"].values():
        surface, overhead = (out / row[n] for n in (15, 16))  # as its code reads them
        assert surface == out / f"surface/{row[0]}.jpg"
        assert overhead.is_file()
    source = dataset / "photos/paris/11.jpg"
    assert (out / "surface/11.jpg").samefile(source)


def read_as_the_original(folder, split):
    """Its pictures as the original's code takes them: by the columns' numbers, as they are stored.

    ``(3, height, width)`` float32 of each photo and chip.
    """
    table = pd.read_csv(folder / f"{split}.csv", header=0, usecols=[15, 16])
    found = []
    for paths in table.itertuples(index=False):
        stored = [np.asarray(Image.open(folder / path)) for path in paths]
        found.append([pixels.astype(np.float32).transpose((2, 0, 1)) for pixels in stored])
    return found


def test_the_originals_steps_read_every_picture_upright_and_in_colour(dataset, tmp_path):
    """Photos of the store are as they were served: turned by EXIF, of four bands, PNG."""
    left = np.zeros((40, 60, 3), np.uint8)
    left[:, :30] = (250, 0, 0)
    colour, exif = Image.fromarray(left), Image.Exif()
    exif[0x0112] = 6  # displayed, it is turned right: what is left lies on top
    photo = dataset / "photos/rio"
    (photo / "12.jpg").unlink()
    colour.save(photo / "12.jpg", exif=exif)
    (photo / "13.jpg").unlink()
    colour.convert("CMYK").save(photo / "13.jpg")
    (photo / "21.jpg").unlink()
    colour.convert("RGBA").save(photo / "21.jpg", "PNG")
    kept = digests(photo)
    out = export("folder", dataset, tmp_path / "out")
    (turned, chip), (bands4, _) = read_as_the_original(out, "train")
    assert chip.shape == (3, 75, 75)
    assert turned.shape == (3, 60, 40)
    assert turned[0, :25].min() > 200 > 50 > turned[0, 35:].max()
    ((png, _),) = read_as_the_original(out, "val")
    for picture_ in (bands4, png):
        assert picture_.shape == (3, 40, 60)
        assert picture_[0, :, :25].min() > 200 > 50 > picture_[0, :, 35:].max()
    assert len(read_as_the_original(out, "test")) == 2
    assert digests(photo) == kept
    (photo / "12.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match="photo 12 cannot be read"):
        export("folder", dataset, tmp_path / "other")


def test_tars_contain_every_pair_once_with_its_row(dataset, tmp_path):
    out = export("webdataset", dataset, tmp_path / "out")
    assert sorted(p.name for p in out.glob("*.tar")) == [
        "test-000000.tar", "train-000000.tar", "val-000000.tar"
    ]  # fmt: skip
    with tarfile.open(out / "test-000000.tar") as tar:
        members = tar.getmembers()
        bodies = {m.name: tar.extractfile(m).read() for m in members}
    assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {(0, 0, 0, "")}
    assert set(bodies) == {
        f"{i}.{e}" for i in ("11", "31") for e in ("photo.jpg", "chip.jpg", "json")
    }
    assert bodies["31.photo.jpg"] == (dataset / "photos/paris/31.jpg").read_bytes()
    told = json.loads(bodies["31.json"])
    assert (told["lat"], told["license_id"], told["title"]) == (48.5, 4, 'a,"b')


def test_sizes_are_bounded_and_nothing_is_lost(dataset):
    rows = pd.DataFrame(
        {kind: [str(p) for p in sorted(dataset.rglob(f"{kind[:5].strip('_')}*/*/*.jpg"))]
         for kind in ("photo_path",)}
    )  # fmt: skip
    rows["chip_path"] = rows["photo_path"]
    size = [2 * Path(path).stat().st_size for path in rows["photo_path"]]
    most = size[0] + size[1]
    pieces = list(parts(rows, most))
    assert pd.concat(pieces)["photo_path"].tolist() == rows["photo_path"].tolist()
    for piece in pieces:
        assert sum(2 * Path(p).stat().st_size for p in piece["photo_path"]) <= most
    assert [len(piece) for piece in parts(rows, 1)] == [1] * len(rows)


def test_parquet_files_contain_the_pictures(dataset, tmp_path):
    out = export("hf", dataset, tmp_path / "out")
    assert (out / "example.jpg").read_bytes() == b"a picture"  # the card shows it
    table = pq.read_table(out / "data/test-00000-of-00001.parquet").to_pylist()
    assert sorted(row["id"] for row in table) == ["11", "31"]
    for row in table:
        assert row["photo"]["bytes"] == (dataset / f"photos/paris/{row['id']}.jpg").read_bytes()
    card = (out / "README.md").read_text()
    assert "split: validation\n    path: data/val-*.parquet" in card
    assert card.endswith("# The card\n")


def test_an_empty_export_is_reported(dataset, tmp_path):
    tables.write_geo(dataset / "pairs.parquet", "pairs", [])
    with pytest.raises(UserError, match="has no pair to export"):
        export("folder", dataset, tmp_path / "out")


def test_a_missing_picture_is_reported_and_no_partial_export_is_left(dataset, tmp_path):
    (dataset / "chips/rio/12.jpg").unlink()
    for name in ("folder", "webdataset", "hf"):
        with pytest.raises(UserError, match=r"chips/rio/12\.jpg is missing"):
            export(name, dataset, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_webdataset_reads_the_tars(dataset, tmp_path):
    out = export("webdataset", dataset, tmp_path / "out")
    code = """
import sys, json, webdataset as wds
data = wds.WebDataset(sys.argv[1] + "/train-000000.tar", shardshuffle=False).decode("pil")
print(json.dumps([[s["__key__"], s["photo.jpg"].size, s["chip.jpg"].size, s["json"]["lat"]] for s in data]))
"""  # noqa: E501
    found = read_with(code, out, tmp_path)
    assert sorted(found) == [["12", [60, 40], [75, 75], 48.5], ["13", [60, 40], [75, 75], 48.5]]


def test_datasets_loads_the_folder(dataset, tmp_path):
    out = export("hf", dataset, tmp_path / "out")
    code = """
import sys, json, datasets
data = datasets.load_dataset(sys.argv[1])
row = data["test"][0]
told = {"splits": {k: len(v) for k, v in data.items()}, "size": row["photo"].size,
        "chip": row["chip"].size, "lat": row["lat"], "kind": str(data["train"].features["chip"])}
print(json.dumps(told))
"""
    found = read_with(code, out, tmp_path)
    assert found["splits"] == {"train": 2, "validation": 1, "test": 2}
    assert (found["size"], found["chip"], found["lat"]) == ([60, 40], [75, 75], 48.5)
    assert "Image" in found["kind"]


def test_datasets_reads_the_pack_too(tmp_path):
    from witw.dataset import packed

    size = {"photo_width": 60, "photo_height": 40, "lat": 1.0, "lon": 2.0, "fov_deg": np.nan}
    row = {"aoi": "a", "owner": "x", "easting": 1.0, "northing": 2.0, **size}
    pairs = [packed.Pair(row | {"id": str(n)}, picture(n, (60, 40)), picture(n, (75, 75)))
             for n in range(70)]  # fmt: skip
    packed.write(tmp_path / packed.PICTURES, pairs, 60, 75)
    code = """
import sys, json, datasets
data = datasets.load_dataset("arrow", data_files=sys.argv[1], split="train")
data = data.cast_column("photo", datasets.Image())
print(json.dumps([len(data), data[69]["id"], data[69]["photo"].size]))
"""
    assert read_with(code, tmp_path / packed.PICTURES, tmp_path) == [70, "69", [60, 40]]
