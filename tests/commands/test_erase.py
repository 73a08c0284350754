"""Data that `witw forget` erases at once below results/, searched for by content."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from witw import tables
from witw.commands.erase import erase
from witw.dataset import packed
from witw.dataset.layout import tree

IDS = ("900000011", "900000012", "900000013")


def body(kind, photo_id):
    return f"picture {kind} {photo_id} ".encode() * 20


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Make a run folder with store, chips, data set, packs, exports and pages of three photos."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for photo_id in IDS:
        row = dict.fromkeys(tables.PAIRS) | {"id": photo_id, "aoi": "a", "status": "paired"}
        row |= {"photo_path": f"photos/a/{photo_id}/{photo_id}.jpg", "owner": f"{photo_id}@N00"}
        row |= {"chip_path": f"results/a/chips/0000/{photo_id}.jpg", "lat": 1.0, "lon": 2.0}
        for kind in ("photo", "chip"):
            path = Path(row[f"{kind}_path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body(kind, photo_id))
        rows.append(row)
    root = Path("results")
    tables.write_geo(root / "a/pairs.parquet", "pairs", rows)
    laid = tree.lay(
        pd.read_parquet(root / "a/pairs.parquet"), root / "dataset/photos", root / "dataset/chips"
    )
    tables.write_geo(root / "dataset/pairs.parquet", "pairs", laid)
    (root / "dataset/CREDITS.csv").write_text(
        "id,author\n" + "".join(f'{i},"Ann, {i}"\n' for i in IDS)
    )
    (root / "dataset/funnel.csv").write_text("aoi,listed\na,3\n")
    for split, ids in (("train", IDS[:2]), ("test", IDS[2:])):
        folder = root / "pack" / split
        folder.mkdir(parents=True)
        size = {"photo_width": 8, "photo_height": 8, "lat": 1.0, "lon": 2.0, "owner": "x"}
        pairs = [
            packed.Pair(
                {"id": i, "aoi": "a", "easting": 1.0, "northing": 2.0, "fov_deg": np.nan} | size,
                body("packed photo", i),
                body("packed chip", i),
            )
            for i in ids
        ]
        table = packed.write(folder / packed.PICTURES, pairs, 8, 8)
        tables.write(folder / packed.TABLE, "pack", table)
        export = root / "export" / f"tars_{split}"
        export.mkdir(parents=True)
        (export / "ids.txt").write_text("".join(f"{i}\n" for i in ids))
        (export / "0.tar").write_bytes(b"".join(body("exported", i) for i in ids))
    for name in ("report", "locate"):
        (root / name).mkdir()
        (root / name / "page.html").write_bytes(body("page", "900000011"))
    return root


def held(results, word):
    """Return files whose name or content contains the word, with Parquet unpacked."""
    out = []
    for path in sorted(p for p in results.rglob("*") if p.is_file()):
        content = str(path).encode() + path.read_bytes()
        if path.suffix == ".parquet":
            content += pd.read_parquet(path).to_csv().encode()
        if word.encode() in content:
            out.append(str(path))
    return out


def with_rows(results, photo_id):
    return [p for p in results.rglob("*.parquet") if photo_id in set(pd.read_parquet(p)["id"])]


def test_a_photo_leaves_nothing_and_the_others_stay_whole(results):
    before = {p: p.read_bytes() for p in results.rglob("*") if p.is_file()}
    assert {Path(path).suffix for path in held(results, "900000011")} >= {
        ".jpg", ".parquet", ".arrow", ".tar", ".csv", ".html"
    }  # fmt: skip
    done = erase(results, ["900000011"], with_rows(results, "900000011"))
    assert held(results, "900000011") == []
    assert done == {"files": 3, "packs": 1, "exports": 1, "pages": 2, "rows": 3}
    for name in ("a/pairs.parquet", "dataset/pairs.parquet"):
        assert tables.read(results / name, "pairs")["id"].tolist() == ["900000012", "900000013"]
    assert pd.read_csv(results / "dataset/CREDITS.csv")["author"].tolist() == [
        "Ann, 900000012",
        "Ann, 900000013",
    ]
    # The other split's files are the very same.
    for path, content in before.items():
        if "test" in str(path) or path.name in ("900000013.jpg", "900000012.jpg", "funnel.csv"):
            assert path.read_bytes() == content, path


def test_the_table_stays_geoparquet_with_checksums(results):
    import geopandas as gpd

    erase(results, ["900000011"], with_rows(results, "900000011"))
    table = gpd.read_parquet(results / "dataset/pairs.parquet")
    assert len(table) == 2
    assert table.crs.to_epsg() == 4326
    assert (results / table["photo_path"].iloc[0]).name == "900000012.jpg"
    assert (results / "dataset" / table["photo_path"].iloc[0]).is_file()


def test_a_second_run_finds_nothing(results):
    erase(results, ["900000011"], with_rows(results, "900000011"))
    assert not any(erase(results, ["900000011"], with_rows(results, "900000011")).values())


def test_a_pack_that_lost_its_table_goes_too(results):
    """The state is that of a command killed between two files."""
    (results / "pack/train/pairs.parquet").unlink()
    erase(results, ["900000011"], with_rows(results, "900000011"))
    assert held(results, "900000011") == []


def test_other_libraries_read_the_arrow_file_afterwards(results):
    erase(results, ["900000011"], with_rows(results, "900000011"))
    assert pa.ipc.open_file(results / "pack/test/pictures.arrow").read_all()["id"].to_pylist() == [
        "900000013"
    ]
