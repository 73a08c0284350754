"""The charts show their data: values are read back from the drawing through its ticks."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from witw.report import charts


class Drawing:
    """A chart as parsed from HTML, with scales taken from its ticks."""

    def __init__(self, chart):
        # Inline SVG needs no namespace for `xlink:`; XML does.
        text = str(chart).replace("<svg ", '<svg xmlns:xlink="x" ', 1)
        self.root = ET.fromstring(text)
        self.groups = {g.get("id").split("-", 1)[1]: g for g in self.root.iter("g") if g.get("id")}

    @property
    def texts(self):
        return [t.text for t in self.root.iter("text")]

    def points(self, name):
        """Return the corners of a path in pixels."""
        path = self.groups[name].find(".//path").get("d")
        return np.array([[float(v) for v in p] for p in re.findall(r"[ML] (\S+) (\S+)", path)])

    def ticks(self, axis):
        """Return values and pixels of an axis' labels, from grid lines or the labels themselves."""
        found = []
        for name, group in self.groups.items():
            label = group.find(".//text")
            if name.startswith(f"{axis}tick_") and label is not None and label.text:
                value = label.text.strip("\u00b0epoch ")
                line = group.find(".//path")
                if line is not None:
                    pixel = re.findall(r"M (\S+) (\S+)", line.get("d"))[0][axis == "y"]
                else:
                    pixel = label.get(axis)
                found.append((float(value), float(pixel)))
        return np.array(found)

    def values(self, name, x=float, y=float):
        """Return the corners of a path in the units of the axes."""
        pixels = self.points(name)
        out = []
        for column, axis, scale in ((0, "x", x), (1, "y", y)):
            ticks = self.ticks(axis)
            slope, offset = np.polyfit(ticks[:, 1], [scale(v) for v in ticks[:, 0]], 1)
            out.append(slope * pixels[:, column] + offset)
        return np.array(out).T


def test_recall_against_area_is_drawn_on_a_logarithmic_axis():
    xs, ys = [0, 0.1, 1, 10, 100], [0, 10, 30, 70, 100]
    chart = charts.share_chart(xs, [("<model>", ys, False), ("$a$", ys[::-1], True)], "t", "b")
    drawing = Drawing(chart)
    # Zero cannot be shown on this axis.
    expected = np.array([[-1, 10], [0, 30], [1, 70], [2, 100]])
    assert drawing.values("line0", x=np.log10) == pytest.approx(expected, abs=1e-3)
    assert drawing.values("line1", x=np.log10)[:, 1] == pytest.approx([70, 30, 10, 0], abs=1e-3)
    assert {"<model>", "$a$", "t", "b"} <= set(drawing.texts)
    assert "stroke-dasharray" in ET.tostring(drawing.groups["line1"], encoding="unicode")
    assert "stroke-dasharray" not in ET.tostring(drawing.groups["line0"], encoding="unicode")


def test_bars_are_as_high_as_there_are_photos():
    counts = [0, 5, 10, 1]
    drawing = Drawing(charts.error_chart([-180, -90, 0, 90], counts, "t"))
    for number, count in enumerate(counts):
        bar = drawing.values(f"bar{number}")
        assert np.ptp(bar[:, 1]) == pytest.approx(count, abs=1e-3)
        assert bar[:, 0].min() == pytest.approx(-180 + 90 * number, abs=1e-3)
    assert drawing.values("level")[:, 1] == pytest.approx([4, 4], abs=1e-3)
    assert {"chance", "-180\u00b0", "180\u00b0"} <= set(drawing.texts)


def test_no_photos_cause_no_division_by_zero():
    assert "svg" in charts.error_chart([-180, 0], [0, 0], "t")


def test_a_line_chart_goes_through_its_points():
    xs, ys = [1, 2, 5], [3.0, 50.0, 100.0]
    drawing = Drawing(charts.line_chart(xs, ys, "t", (50.0, "<chance>")))
    assert drawing.values("line") == pytest.approx(np.array([xs, ys]).T, abs=1e-3)
    assert drawing.values("level")[:, 1] == pytest.approx([50, 50], abs=1e-3)
    assert {"<chance>", "epoch 1", "epoch 5", "t"} <= set(drawing.texts)


@pytest.mark.parametrize(
    ("ys", "ticks"),
    [
        ([4, 51.2], [0, 10, 20, 30, 40, 50, 60]),
        ([1, 1], None),
        ([7, 9], [7, 7.5, 8, 8.5, 9]),
        ([0, 0], None),
        ([-2, 1], [-2, -1.5, -1, -0.5, 0, 0.5, 1]),
        ([3e6, 1e6], None),
    ],
)
def test_ticks_are_round_and_enclose(ys, ticks):
    drawing = Drawing(charts.line_chart([1, 2], ys, "t"))
    got = drawing.ticks("y")[:, 0]
    assert got.min() <= min(ys)
    assert got.max() >= max(ys)
    assert len(got) > 1
    assert ticks is None or got == pytest.approx(ticks)


def test_one_epoch_has_a_chart():
    assert Drawing(charts.line_chart([3], [5.0], "t")).texts.count("epoch 3") == 1


def test_several_charts_share_a_page():
    """No id occurs twice, no reference leads to another chart, no style affects the whole page."""
    drawn = [charts.line_chart([1, 2], [n, 5.0], f"t{n}", (3, "level")) for n in range(3)]
    page = "".join([*drawn, charts.error_chart([-180, 0], [1, 2], "t3")])
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) > 50
    pointed = re.findall(r'(?:href="|url\()#([^")]+)', page)
    assert pointed
    assert set(pointed) <= set(ids)
    for unwanted in ("<style", "<?xml", "<!DOCTYPE", "http", "xmlns", "<metadata"):
        assert unwanted not in page


def test_a_chart_is_named_and_the_same_whenever_it_is_drawn():
    chart = charts.line_chart([1, 2], [4.0, 5.0], 'loss <of "it">')
    root = Drawing(chart).root
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'loss <of "it">: 4 at epoch 1, 5 at epoch 2'
    assert chart == charts.line_chart([1, 2], [4.0, 5.0], 'loss <of "it">')
