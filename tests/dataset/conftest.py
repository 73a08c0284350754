"""Tables of made areas, without pictures and with them."""

from pathlib import Path

import pytest

from tests.dataset.made_dataset import PARIS, RIO, rows
from witw import tables


@pytest.fixture
def inputs(tmp_path):
    paths = []
    for aoi, statuses in {"rio": RIO, "paris": PARIS, "empty": []}.items():
        paths.append(tmp_path / aoi / "pairs.parquet")
        tables.write_geo(paths[-1], "pairs", rows(aoi, statuses))
    return paths


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Make a run folder with a store and chips; return its table of one area."""
    monkeypatch.chdir(tmp_path)
    table = rows("paris", ["paired", "indoor", "paired"])
    for row in table:
        row["photo_path"] = f"photos/paris/{row['id'][-2:]}/{row['id']}.jpg"
        paths = [row["photo_path"]]
        if row["status"] == "paired":
            row["chip_path"] = f"results/paris/chips/0001/{row['id']}.jpg"
            paths.append(row["chip_path"])
        for path in paths:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(path.encode())
    tables.write_geo(tmp_path / "paris.parquet", "pairs", table)
    return tmp_path
