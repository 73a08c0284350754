"""Required results of `make demo` on an unseen city."""

import json
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def demo():
    folder = os.environ.get("WITW_DEMO_DIR")
    if not folder:
        pytest.skip("WITW_DEMO_DIR does not name a finished demo (`make demo` makes demo-run)")
    return Path(folder) / "results"


def test_the_demo_beats_chance_by_a_wide_margin(demo):
    told = json.loads((demo / "evaluation/metrics.json").read_text())
    figures = told["protocols"]["chips"]
    assert figures["n"] >= 200
    assert figures["chance"]["median_percentile"] == 50
    assert figures["median_percentile"] < 15
    assert figures["recall_at_10"] >= 4 * figures["chance"]["recall_at_10"]


def test_the_demo_finds_headings_without_having_trained_on_them(demo):
    heading = json.loads((demo / "evaluation/metrics.json").read_text())["heading"]
    assert heading["n"] >= 100
    assert heading["chance"]["median_error_deg"] == 90
    assert heading["median_error_deg"] < 40


def test_the_demo_leaves_the_report_and_a_heat_map(demo):
    assert (demo / "report/report.html").stat().st_size > 10_000
    for name in ("best.png", "heatmap.png", "worst.png", "answers/answer.html"):
        assert list(demo.glob(f"locate/*/{name}"))
