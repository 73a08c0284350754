"""A run folder with the inputs of the report."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_report import AREAS, evaluation, pair_rows, search
from PIL import Image

from witw import files, tables


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make a run folder with pairs, cells, pictures, figures and a heat map."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for aoi in AREAS:
        rows = pair_rows(aoi)
        tables.write_geo(Path(f"results/{aoi}/pairs.parquet"), "pairs", rows)
        for row in rows:
            if row["status"] in ("paired", "indoor"):
                for path, size in ((row["photo_path"], (50, 37)), (row["chip_path"], (40, 40))):
                    Path(path).parent.mkdir(parents=True, exist_ok=True)
                    color = tuple(int(v) for v in rng.integers(0, 255, 3))
                    Image.new("RGB", size, color).save(path)
        cell = {**dict.fromkeys(tables.CELLS), "is_leaf": True, "calls": 2, "listed": 40}
        cell |= {"cell": "r", "total": 40}
        tables.write(Path(f"results/{aoi}/cells.parquet"), "cells", [cell])
        files.write_json(Path(f"results/{aoi}/search.json"), search(aoi))
    Path("results/model").mkdir()
    lines = [
        {"epoch": n, "loss": 5 / n, "val_median_percentile": 50 / n, "new": "key"}
        for n in range(1, 9)
    ]
    Path("results/model/metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    files.write_json(Path("results/evaluation/metrics.json"), evaluation())
    Path("results/locate/paris").mkdir(parents=True)
    Image.new("RGB", (600, 300), (40, 90, 80)).save("results/locate/paris/heatmap.png")
    return tmp_path
