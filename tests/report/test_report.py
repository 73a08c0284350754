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

from witw import report, stage, tables
from witw.errors import UserError
from witw.report import figures, page, samples

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
        stage.write_json(Path(f"results/{aoi}/search.json"), search(aoi))
    Path("results/model").mkdir()
    lines = [
        {"epoch": n, "loss": 5 / n, "val_median_percentile": 50 / n, "new": "key"}
        for n in range(1, 9)
    ]
    Path("results/model/metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    chance = {"recall_at_1": 0.4, "recall_at_10": 4.0, "median_percentile": 50.0}
    found = {"n": 250, "recall_at_1": 12.34, "recall_at_10": 45.6, "median_percentile": 7.8}
    chips = {**found, "chance": chance, "areas": {"paris": {**found, "chance": chance}}}
    Path("results/evaluation").mkdir()
    text = json.dumps({"model": {"epoch": 3}, "protocols": {"chips": chips}})
    Path("results/evaluation/metrics.json").write_text(text)
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
    report.main(arguments(trained))
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
    assert "url(" not in text
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
    assert "12.34 %" in text
    assert "45.60 %" in text
    assert "The list is complete." in text
    assert "The list is nearly complete." in text
    assert "40 photos in 2 calls, 2.00 times the least possible; 1 box, 1 calls to audit" in text
    assert "Totals & photos agree." in text
    assert "5 listed once are gone." in text
    assert "2 answered but not listed: no <geotag>." in text
    assert "not endorsed or certified by SmugMug, Inc." in text
    assert "CC BY-SA 4.0 (Paris, Rio)" in text


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
    charts = page.training_charts([{"epoch": 1, "loss": 2.0}, {"loss": float("nan")}, {"x": 1}])
    assert len(charts) == 1
    assert "Training loss" in charts[0]
    assert page.training_charts([]) == []


def test_a_damaged_training_file_is_named(folder):
    Path("results/model/metrics.jsonl").write_text('{"epoch": 1')
    with pytest.raises(UserError, match=r"metrics\.jsonl"):
        build()


def test_a_line_chart_goes_through_its_points():
    chart = figures.line_chart([1, 2, 3], [0.0, 50.0, 100.0], "t", (50.0, "<chance>"))
    points = chart.split('points="')[1].split('"')[0].split()
    xs, ys = zip(*(map(float, p.split(",")) for p in points), strict=True)
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.11)
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.11)
    assert ys[0] > ys[2]
    assert "&lt;chance&gt;" in chart


def test_dots_of_the_map_lie_where_the_photos_are():
    rows = pd.DataFrame(
        {"lon": [2.05, 2.15], "lat": [48.075, 48.025], "status": ["paired", "gone"]}
    )
    picture = Image.open(io.BytesIO(figures._dots(rows, BOX, 200, 100))).convert("RGB")
    for (x, y), status in zip([(50, 25), (150, 75)], rows["status"], strict=True):
        color = tuple(int(figures.COLORS[status][k : k + 2], 16) for k in (1, 3, 5))
        assert picture.getpixel((x, y)) == color
    assert picture.getpixel((100, 50)) == (248, 248, 248)


@pytest.mark.parametrize(("value", "expected"), [(7.3, 5), (0.019, 0.01), (1, 1), (23, 20)])
def test_scale_bars_are_round(value, expected):
    assert figures._round_length(value) == pytest.approx(expected)


def test_it_runs_as_a_module(folder):
    command = [sys.executable, "-m", "witw.report", *arguments()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path("results/report/report.html").exists()


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (4, 51.2, [0, 10, 20, 30, 40, 50, 60]),
        (1, 1, None),
        (7, 9, [7, 7.5, 8, 8.5, 9]),
        (0, 0, None),
        (-2, 1, [-2, -1, 0, 1]),
    ],
)
def test_ticks_are_round_and_enclose(low, high, ticks):
    got = figures._ticks(low, high)
    assert got[0] <= low
    assert got[-1] >= high
    assert len(got) > 1
    assert ticks is None or got == pytest.approx(ticks)
