"""The report: whole without the network, right numbers, and nothing from outside becomes markup."""

import io
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from witw import files, tables
from witw.errors import UserError
from witw.report import __main__, maps, page, samples

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
                "status": status,
            }
        )
    return rows


def search(aoi):
    """What a search says of itself."""
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
    """Figures as the evaluation tells them: value, chance and interval of each."""
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


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make a run folder with pairs, cells, pictures, figures and a heat map."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for aoi in AREAS:
        rows = pair_rows(aoi)
        tables.write_geo(Path(f"results/{aoi}/pairs.parquet"), "pairs", rows)
        for row in rows:
            if row["status"] == "paired":
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


def arguments(trained=True):
    spec = json.dumps({"stage": "report", "version": 1, "areas": AREAS})
    args = ["--spec", spec]
    for name in ("pairs", "cells"):
        args += [f"--{name}", *(f"results/{aoi}/{name}.parquet" for aoi in AREAS)]
    args += ["--searches", *(f"results/{aoi}/search.json" for aoi in AREAS)]
    args += ["--training", *(["results/model/metrics.jsonl"] if trained else [])]
    args += ["--evaluation", *(["results/evaluation/metrics.json"] if trained else [])]
    args += ["--heatmaps", *(["results/locate/paris/heatmap.png"] if trained else [])]
    return [*args, "--html", "results/report/report.html"]


def build(trained=True):
    __main__.main(arguments(trained))
    return Path("results/report/report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects tags, their attributes and the visible text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_the_page_asks_nothing_of_the_network_and_runs_nothing(folder):
    text = build()
    tags = Page(text).tags
    assert {tag for tag, _ in tags}.isdisjoint({"script", "link", "iframe", "object", "form"})
    for tag, attributes in tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        if tag in ("img", "image"):
            assert attributes.get("src", attributes.get("href")).startswith("data:image/")
        if tag == "a":
            assert attributes["href"].startswith("https://")
    assert "url(" not in text.replace("url(#", "")  # to its own parts
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_text_from_flickr_stays_text(folder):
    text = build()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "javascript:" not in text
    assert EVIL in Page(text).text


def test_numbers(folder):
    text = Page(build()).text
    assert "80 photos listed" in text
    assert "40 pairs of photo and imagery" in text
    assert "7.8 median percentile" in text
    assert "1.2 % of a city never seen to search" in text
    assert "(chance 6.7 %)" in text
    assert "The list is complete." in text
    assert "The list is nearly complete." in text
    assert "40 photos in 2 calls, 2.00 times the least possible; 1 box, 1 calls to audit" in text
    assert "Totals & photos agree." in text
    assert "5 listed once are gone." in text
    assert "2 answered but not listed: no <geotag>." in text
    assert "not endorsed or certified by SmugMug, Inc." in text
    assert "CC BY-SA 4.0 (Paris, Rio)" in text


def test_figures_stand_beside_interval_and_chance(folder):
    text = Page(build()).text
    assert "Own chip ranked first 12.3 % 11.1 to 13.6 0.4 %" in text
    assert "Own chip among the best 10 45.6 % 41 to 50.2 4 %" in text
    assert "10 12.5 11.2 to 13.8; chance 1.5 15.0 13.5 to 16.5; chance 1.5" in text
    assert "Median error of the best cell 70 m 63 to 77 400 m" in text
    assert "Among the chips of the city: 250 photos" in text
    assert "one photo a square of 25 m: 222 photos" in text
    assert "9 of them: few, so take it as rough" in text
    assert "Paris 150 6 chance 1.5 15 chance 1.5 1.23 chance 6.7" in text
    assert "The heading of 55 photos whose camera noted it" in text
    assert "Median error 21.5\u00b0 19.4 to 23.7 90\u00b0" in text
    assert "Temperature 0.0654 and a geotag error of 14.2 m, fitted on Rio." in text
    assert "Bits gained over the uniform map 2.25 2.02 to 2.48 2.25" in text


def test_what_was_not_evaluated_is_left_out(folder):
    values = evaluation()
    values["heading"] = {"n": 0}
    del values["calibration"], values["protocols"]["grid"]
    values["protocols"]["chips"]["interval"] = {}  # one block
    files.write_json(Path("results/evaluation/metrics.json"), values)
    text = Page(build()).text
    assert "Own chip ranked first 12.3 % 0.4 %" in text
    for absent in ("Which way", "On a grid", "City by city", "to search", "None"):
        assert absent not in text


def test_not_more_photos_than_the_terms_allow(folder):
    tags = Page(build()).tags
    pairs = [a for tag, a in tags if tag == "figure" and a.get("class") == "pair"]
    heat = [a for tag, a in tags if tag == "figure" and a.get("class") == "heat"]
    assert len(pairs) == page.SHOWN
    assert len(pairs) + len(heat) <= samples.MAX_PHOTOS


def test_every_pair_shown_has_owner_licence_and_link(folder):
    text = build()
    for block in text.split('<figure class="pair">')[1:]:
        block = block.split("</figure>")[0]
        assert "https://www.flickr.com/photos/1/" in block
        assert "CC BY 2.0" in block
        assert "Ann" in block or "&lt;script" in block


def test_samples_are_even_over_the_areas_and_always_the_same():
    data = tables.frame("pairs", [*pair_rows("paris"), *pair_rows("rio")[:5]])
    chosen = samples.choose(data, 20)
    assert dict(chosen["aoi"].value_counts()) == {"paris": 15, "rio": 5}
    shuffled = data.sample(frac=1, random_state=1)
    assert list(samples.choose(shuffled, 20)["id"]) == list(chosen["id"])
    assert set(chosen["status"]) == {"paired"}


def test_a_photo_gone_from_the_store_is_left_out(folder):
    for path in Path("photos").rglob("*.jpg"):
        path.unlink()
    text = build()
    assert 'class="pair"' not in text
    assert "40 pairs" in Page(text).text


def test_untrained_and_empty_runs_have_a_page(folder):
    text = Page(build(trained=False)).text
    assert "Training" not in text
    assert "80 photos listed" in text
    for aoi in AREAS:
        tables.write_geo(Path(f"results/{aoi}/pairs.parquet"), "pairs", [])
        tables.write(Path(f"results/{aoi}/cells.parquet"), "cells", [])
    assert "0 photos listed" in Page(build(trained=False)).text


def test_same_inputs_same_bytes(folder):
    assert build() == build()


def test_training_lines_may_lack_keys_or_hold_nan():
    drawn = page.training_charts([{"epoch": 1, "loss": 2.0}, {"loss": float("nan")}, {"x": 1}])
    assert len(drawn) == 1
    assert "Training loss" in drawn[0]
    assert page.training_charts([]) == []


def test_a_damaged_training_file_is_named(folder):
    Path("results/model/metrics.jsonl").write_text('{"epoch": 1')
    with pytest.raises(UserError, match=r"metrics\.jsonl"):
        build()


def test_dots_of_the_map_lie_where_the_photos_are():
    rows = pd.DataFrame(
        {"lon": [2.05, 2.15], "lat": [48.075, 48.025], "status": ["paired", "gone"]}
    )
    picture = Image.open(io.BytesIO(maps._dots(rows, BOX, 200, 100))).convert("RGB")
    for (x, y), status in zip([(50, 25), (150, 75)], rows["status"], strict=True):
        color = tuple(int(maps.COLORS[status][k : k + 2], 16) for k in (1, 3, 5))
        assert picture.getpixel((x, y)) == color
    assert picture.getpixel((100, 50)) == (248, 248, 248)


@pytest.mark.parametrize(("value", "expected"), [(7.3, 5), (0.019, 0.01), (1, 1), (23, 20)])
def test_scale_bars_are_round(value, expected):
    assert maps._round_length(value) == pytest.approx(expected)


def test_it_runs_as_a_module(folder):
    command = [sys.executable, "-m", "witw.report", *arguments()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path("results/report/report.html").exists()
