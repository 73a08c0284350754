"""The inputs of a report: two areas, a training, an evaluation."""

import json
from pathlib import Path

import numpy as np

from witw import tables
from witw.report import __main__

EVIL = "<script>alert(1)</script>\"'><img src=https://evil.example/x>"
BOX = [2.0, 48.0, 2.2, 48.1]
AREA = {
    "bbox_deg": BOX,
    "satellite": "WorldView-3",
    "imagery_license": "CC BY-SA 4.0",
    "snapshot": "2026-11-01T00:00:00Z",
    "gsd_m": 0.3,
    "chip_px": 750,
}
AREAS = {
    "paris": {**AREA, "city": "Paris", "split": "test"},
    "rio": {**AREA, "city": "Rio", "split": "train"},
}
STATUSES = ["paired"] * 20 + ["indoor"] * 15 + ["gone", "failed", "corrupt", "grey", "off_imagery"]


def pair_rows(aoi):
    rng = np.random.default_rng(len(aoi))
    rows = []
    for number, status in enumerate(STATUSES):
        photo_id = str(1000 + number)
        rows.append(
            {
                **dict.fromkeys(tables.PAIRS),
                "id": photo_id,
                "aoi": aoi,
                "city": AREAS[aoi]["city"],
                "split": AREAS[aoi]["split"],
                "lon": rng.uniform(BOX[0], BOX[2]),
                "lat": rng.uniform(BOX[1], BOX[3]),
                "owner": f"{number % 7}@N0",
                "owner_name": EVIL if number % 2 else "Ann",
                "title": EVIL if number % 3 else "Seine",
                "license_id": 4,
                "license": "CC BY 2.0",
                "license_url": "https://by.example/" if number % 2 else "javascript:alert(1)",
                "url": f"https://www.flickr.com/photos/1/{photo_id}/",
                "photo_path": f"photos/{aoi}/{photo_id}.jpg",
                "chip_path": f"chips/{aoi}/{photo_id}.jpg",
                "scene_top1": "street",
                "io_vote": {"indoor": number % 5, "paired": 5 + number % 6}.get(status, 8) / 10,
                "p_outdoor": 0.5,
                "blank_fraction": (number % 3) / 50 if status == "paired" else None,
                "status": status,
            }
        )
    return rows


def search(aoi):
    """Return a search's summary."""
    return {
        "photos": 40,
        "calls": 2,
        "calls_least": 1,
        "verdict": "complete" if aoi == "paris" else "nearly complete",
        "reasons": ["Totals & photos agree."],
        "audit": {"calls": 1},
        "gone": 5,
        "left_out": {"no <geotag>": 2},
    }


def told(n, figures, **more):
    """Return figures in the evaluation's format: value, chance and interval of each."""
    return {
        "n": n,
        "blocks": 9,
        **{name: value for name, (value, _) in figures.items()},
        "chance": {name: chance for name, (_, chance) in figures.items()},
        "interval": {name: [0.9 * value, 1.1 * value] for name, (value, _) in figures.items()},
        **more,
    }


def evaluation():
    ranks = {"recall_at_1": (12.34, 0.4), "recall_at_10": (45.6, 4.0)}
    ranks["median_percentile"] = (7.8, 50.0)
    grid = {
        f"recall_at_{k}_within_{r}m": (min(99, k + r / 10), 1.5)
        for k in (1, 5, 10, 100)
        for r in (25, 50, 100, 250, 500)
    }
    grid |= {"median_area_pct": (1.23, 6.7), "area_auc": (95.0, 90.9), "median_error_m": (70, 400)}
    areas = {"paris": told(150, grid), "rio": told(100, grid)}
    curve = {"area_pct": [0, 0.1, 1, 10, 100], "recall": [0, 5, 40, 90, 100]}
    curve["chance"] = [0, 1, 9, 60, 100]
    heading = {"median_error_deg": (21.5, 90.0), "within_15deg": (40.0, 8.3333)}
    histogram = {"from_deg": list(range(-180, 180, 15)), "photos": [2] * 12 + [9] + [2] * 11}
    belief = {"bits": (2.25, 0.0), "coverage_50": (48.0, 50.0)}
    split = told(250, belief)
    return {
        "model": {"epoch": 3},
        "protocols": {
            "grid": told(250, grid, areas=areas, curve=curve),
            "chips": told(250, ranks, areas={"paris": told(250, ranks)}),
            "thinned": told(222, ranks, areas={"paris": told(222, ranks)}),
        },
        "heading": told(55, heading, histogram=histogram),
        "calibration": {
            "temperature": 0.0654, "sigma_m": 14.2, "fitted_on": ["rio"],
            "val": split, "test": split,
        },
    }  # fmt: skip


def arguments(trained=True, areas=AREAS):
    spec = json.dumps({"stage": "report", "version": 1, "areas": areas})
    args = ["--spec", spec]
    for name in ("pairs", "cells"):
        args += [f"--{name}", *(f"results/{aoi}/{name}.parquet" for aoi in AREAS)]
    args += ["--searches", *(f"results/{aoi}/search.json" for aoi in AREAS)]
    args += ["--training", *(["results/model/metrics.jsonl"] if trained else [])]
    args += ["--evaluation", *(["results/evaluation/metrics.json"] if trained else [])]
    located = [f"results/locate/paris/{name}.png" for name in ("best", "heatmap", "worst")]
    args += ["--heatmaps", *(path for path in located if trained and Path(path).exists())]
    mosaics = [f"results/{aoi}/mosaic.vrt" for aoi in AREAS]
    args += ["--mosaics", *(path for path in mosaics if Path(path).exists()), "--logs", "logs"]
    return [*args, "--html", "results/report/report.html"]


def build(trained=True, areas=AREAS):
    __main__.main(arguments(trained, areas))
    return Path("results/report/report.html").read_text(encoding="utf-8")
