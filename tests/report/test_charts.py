"""The charts show what they are given."""

import re

import pytest

from witw.report import charts


def numbers(text, pattern):
    return [float(v) for v in re.findall(pattern, text)]


def test_recall_against_area_is_drawn_on_a_logarithmic_axis():
    xs = [0, 0.1, 1, 10, 100]
    chart = charts.share_chart(xs, [("<model>", [0, 10, 30, 70, 100], False)], "t", "b")
    points = chart.split('points="')[1].split('"')[0].split()
    assert len(points) == 4  # zero has no place on the axis
    x, y = zip(*(map(float, p.split(",")) for p in points), strict=True)
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.11)
    assert (x[0], x[-1]) == (charts.LEFT, charts.WIDTH - charts.RIGHT)
    assert y[-1] == charts.TOP
    assert (y[0] - y[1]) * 2 == pytest.approx(y[1] - y[2], abs=0.3)
    assert "&lt;model&gt;" in chart


def test_bars_are_as_high_as_there_are_photos():
    counts = [0, 5, 10, 1]
    chart = charts.error_chart([-180, -90, 0, 90], counts, "t")
    high = numbers(chart, r'height="([0-9.]+)" fill')
    assert high[2] == pytest.approx(charts.HEIGHT - charts.TOP - charts.BOTTOM, abs=0.1)
    assert [h / high[2] * 10 for h in high] == pytest.approx(counts, abs=0.02)


def test_no_photo_is_no_division_by_zero():
    assert "svg" in charts.error_chart([-180, 0], [0, 0], "t")
