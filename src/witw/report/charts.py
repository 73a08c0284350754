"""Charts of the report: inline SVG, drawn by matplotlib, with selectable text."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

MODEL, GUESS, RULE, INK, SOFT = "#0f766e", "#64748b", "#e2e8f0", "#0f172a", "#475569"
LEAST_PCT = 0.1  # left end of the logarithmic axis
# One point of matplotlib is one pixel of the page.
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": RULE,
    "axes.grid": True,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 11,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "grid.color": RULE,
    "legend.frameon": False,
    "legend.labelcolor": SOFT,
    "lines.linewidth": 2.2,
    "svg.fonttype": "none",  # text stays text, in the page's own font
    "svg.hashsalt": "witw",  # the same chart has the same bytes
    "text.parse_math": False,
    "xtick.color": SOFT,
    "xtick.bottom": False,
    "ytick.color": SOFT,
    "ytick.left": False,
}
_FONT = "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def line_chart(
    xs: Sequence[float],
    ys: Sequence[float],
    title: str,
    level: tuple[float, str] | None = None,
) -> Markup:
    """Draw a line chart of a few dozen points, with an axis from zero if zero is near the data.

    Args:
        xs: epochs, ascending.
        ys: values, finite.
        title: title above the chart.
        level: value and name of a dashed line for comparison.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(220, title)
        axes.plot(xs, ys, color=MODEL, gid="line", clip_on=False)
        axes.plot(xs[-1], ys[-1], "o", color=MODEL, markersize=7, clip_on=False)
        if level:
            _name_level(axes, *level)
        everything = [*ys, *([level[0]] if level else [])]
        low, high = min(everything), max(everything)
        low = 0.0 if 0 <= low < 0.5 * high else low
        high = high if high > low else low + (abs(low) or 1.0)
        ticks = MaxNLocator(6, steps=[1, 2, 5, 10], min_n_ticks=3).tick_values(low, high)
        axes.set_ylim(ticks[0], ticks[-1])
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xlim(xs[0], xs[-1] if xs[-1] > xs[0] else xs[0] + 1)
        axes.set_xticks(ends := sorted({xs[0], xs[-1]}), [f"epoch {x:g}" for x in ends])
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
        axes.get_xticklabels()[0].set_horizontalalignment("left")
        axes.grid(visible=False, axis="x")
        label = f"{title}: {ys[0]:.3g} at epoch {xs[0]:g}, {ys[-1]:.3g} at epoch {xs[-1]:g}"
        return _svg(figure, label)


def share_chart(
    xs: Sequence[float], lines: Sequence[tuple[str, Sequence[float], bool]], title: str, below: str
) -> Markup:
    """Draw percentages against a percentage on a logarithmic axis from 0.1 to 100.

    Args:
        xs: values of the horizontal axis, ascending [%]; values below 0.1 are not drawn.
        lines: name, values [%] and dashed style of each line.
        title: title above the chart.
        below: label of the horizontal axis.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(250, title, below)
        shown, said = np.asarray(xs) >= LEAST_PCT, []
        for number, (name, ys, dashed) in enumerate(lines):
            colour, dash = (GUESS, "--") if dashed else (MODEL, "-")
            axes.plot(
                np.asarray(xs)[shown], np.asarray(ys)[shown], dash,
                color=colour, label=name, gid=f"line{number}", clip_on=False,
            )  # fmt: skip
            at = (f"{np.interp(x, xs, ys):.0f} % at {x:g} %" for x in (0.1, 1, 10))
            said.append(f"{name}: {', '.join(at)}")
        axes.set(xscale="log", xlim=(LEAST_PCT, 100), ylim=(0, 100), yticks=range(0, 101, 25))
        axes.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        axes.minorticks_off()
        axes.legend(loc="upper left")
        return _svg(figure, f"{title} against the {below}; {'; '.join(said)}")


def error_chart(starts: Sequence[float], counts: Sequence[int], title: str) -> Markup:
    """Draw bars of photos by the signed error of their heading, with the level of chance.

    Args:
        starts: lower end of each bin [degrees], evenly spaced from -180 on.
        counts: number of photos in each bin.
        title: title above the chart.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(250, title, "estimated heading minus recorded heading")
        step, most, even = 360 / len(starts), max(1, *counts), sum(counts) / len(counts)
        bars = axes.bar(starts, counts, width=0.9 * step, align="edge", color=MODEL)
        for number, bar in enumerate(bars):
            bar.set_gid(f"bar{number}")
        _name_level(axes, even, "chance")
        axes.set(xlim=(-180, 180), ylim=(0, most), yticks=[0, most])
        axes.set_xticks(range(-180, 181, 90), [f"{x}\u00b0" for x in range(-180, 181, 90)])
        axes.grid(visible=False, axis="x")
        top = starts[int(np.argmax(counts))]
        label = f"{title}: most, {max(counts)} of {sum(counts)}, from {top:g}\u00b0 on"
        return _svg(figure, f"{label}; {even:.3g} a bar by chance")


def two_bars(
    names: Sequence[str], counts: Sequence[tuple[int, int]], kinds: tuple[str, str], title: str
) -> Markup:
    """Draw stacked bars of two kinds.

    Args:
        names: label below each bar.
        counts: counts of both kinds, for each bar.
        kinds: names of the kinds, for the legend.
        title: title above the chart.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(220, title)
        xs, (first, second) = range(len(names)), zip(*counts, strict=True)
        axes.bar(xs, first, width=0.8, color=GUESS, label=kinds[0])
        axes.bar(xs, second, width=0.8, bottom=first, color=MODEL, label=kinds[1])
        axes.set_xticks(list(xs), list(names))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(visible=False, axis="x")
        axes.legend(loc="upper center", ncols=2)
        sums = (f"{kind}: {sum(part):,}" for kind, part in zip(kinds, (first, second), strict=True))
        return _svg(figure, f"{title}; {', '.join(sums)}")


def _axes(height: int, title: str, below: str = "") -> tuple[Figure, Axes]:
    """Create the axes of a chart with the page's width and a height [px]."""
    figure = Figure(figsize=(440 / 72, height / 72), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, pad=10)
    axes.set_xlabel(below)
    return figure, axes


def _name_level(axes: Axes, value: float, name: str) -> None:
    """Draw a dashed line across a chart, with its name at the right."""
    axes.axhline(value, color=GUESS, linewidth=1.4, linestyle="--", gid="level")
    axes.annotate(
        name, (1, value), (0, 3), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", color=SOFT,
    )  # fmt: skip


def _svg(figure: Figure, label: str) -> Markup:
    """Convert a figure to an element of the page, without prolog, with ids unique on the page.

    Args:
        figure: the drawn figure.
        label: description for screen readers.
    """
    out = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    body = out.getvalue()
    body = body[body.index(">", body.index("<svg")) + 1 :]
    # Inside a page, this style would apply to everything; the page's own style covers the charts.
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = body.replace("'DejaVu Sans', sans-serif", _FONT).strip()
    own = "c" + hashlib.sha1(body.encode(), usedforsecurity=False).hexdigest()[:8] + "-"
    body = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{own}", body)
    width, height = (72 * inches for inches in figure.get_size_inches())
    head = Markup(
        '<svg class="chart" role="img" aria-label="{}" viewBox="0 0 {:g} {:g}" width="{:g}" '
        'height="{:g}">'
    ).format(label, width, height, width, height)
    return head + Markup(body)  # noqa: S704 - matplotlib escapes the texts it writes
