"""The report on filters and times, compared with counts by hand."""

import json

import pandas as pd

from witw.report import filters
from witw.report.times import times


def pairs(*rows):
    """Return the vote of ten, status and blank fraction of each photo."""
    frame = pd.DataFrame(rows, columns=["io_vote", "status", "blank_fraction"])
    frame["io_vote"] /= 10
    return frame.astype({"io_vote": "Float64", "blank_fraction": "Float64"})


def test_photos_are_counted_by_vote_and_judgement():
    told = filters.outdoor(
        pairs(
            (0, "indoor", None),
            (4, "indoor", None),
            (4, "indoor", None),
            (5, "paired", 0.0),
            (10, "blank", 0.5),
            (None, "gone", None),
        )
    )
    assert (told["indoor"], told["outdoor"]) == (3, 2)
    rows = {vote: (indoor, outdoor) for vote, indoor, outdoor in told["rows"]}
    assert rows[0] == (1, 0) and rows[4] == (2, 0) and rows[5] == (0, 1) and rows[10] == (0, 1)
    assert "indoor: 3, outdoor: 2" in told["chart"]
    assert filters.outdoor(pairs((None, "gone", None))) == {}


def test_chips_are_counted_by_blank_fraction():
    told = filters.blanks(
        pairs(
            (9, "paired", 0.0),
            (9, "paired", 0.01),
            (9, "paired", 0.0101),
            (9, "blank", 0.2),
            (9, "off_imagery", 1.0),
            (1, "indoor", None),
        )
    )
    assert [(row["chips"], row["paired"]) for row in told] == [
        (1, 1),
        (1, 1),
        (1, 1),
        (1, 0),
        (1, 0),
    ]
    assert [row["label"] for row in told][:2] == ["none", "up to 1 %"]


def test_time_is_summed_by_stage_in_the_order_of_the_flow(tmp_path):
    for name, seconds in (
        ("rio/chips/0000", [9.0, 2.0]),
        ("rio/chips/0001", [3.0]),
        ("rio/search", [60.0]),
        ("train", [100.0]),
        ("loo/rio/train", [500.0]),
        ("rio/unknown", [1.0]),
    ):
        path = tmp_path / f"{name}.bench.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [{"s": s, "cpu_time": 2 * s, "max_rss": 10 * s} for s in seconds]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "rio/chips/0002.bench.jsonl").write_text("")
    told = times(tmp_path)
    assert [row["stage"] for row in told] == ["search", "chips", "train"]
    assert told[1] == {"stage": "chips", "jobs": 2, "wall": 5.0, "cpu": 10.0, "mb": 30}
    assert times(tmp_path / "none") == []
