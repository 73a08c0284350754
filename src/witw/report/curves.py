"""Charts of an evaluation as inline SVG: recall against area, errors of headings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 440, 250, 40, 30, 12, 44
MODEL, GUESS, RULE = "#0f766e", "#64748b", "#e2e8f0"
LEAST_PCT = 0.1  # left end of the logarithmic axis
_INNER = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


def share_chart(
    xs: Sequence[float], lines: Sequence[tuple[str, Sequence[float], bool]], title: str, below: str
) -> Markup:
    """Percentages against a percentage on a logarithmic axis from 0.1 to 100.

    Args:
        xs: ascending [%]; those below 0.1 are not drawn.
        lines: name, values [%] and whether dashed, of each line.
        title: above the chart.
        below: what the horizontal axis shows.
    """

    def px(x: float) -> float:
        return LEFT + math.log10(x / LEAST_PCT) / math.log10(100 / LEAST_PCT) * _INNER[0]

    def py(y: float) -> float:
        return TOP + (100 - y) / 100 * _INNER[1]

    parts = [_rules([0, 25, 50, 75, 100], py)]
    for tick in (0.1, 1.0, 10.0, 100.0):
        parts.append(
            f'<path d="M{px(tick):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="{RULE}"/>'
            + _text(px(tick), HEIGHT - BOTTOM + 15, f"{tick:g}", "tick mid")
        )
    for number, (name, ys, dashed) in enumerate(lines):
        points = " ".join(
            f"{px(x):.1f},{py(y):.1f}" for x, y in zip(xs, ys, strict=True) if x >= LEAST_PCT
        )
        colour, dash = (GUESS, ' stroke-dasharray="5 4"') if dashed else (MODEL, "")
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.2"{dash}/>'
        )
        y = TOP + 14 + 16 * number
        parts.append(
            f'<path d="M{LEFT + 10} {y - 4}h22" stroke="{colour}" stroke-width="2.2"{dash}/>'
            + _text(LEFT + 38, y, name, "tick start")
        )
    return _svg(title, below, parts)


def error_chart(starts: Sequence[float], counts: Sequence[int], title: str) -> Markup:
    """Bars of photos by signed error of their heading, beside what guessing gives.

    Args:
        starts: lower end of each bin [degrees], evenly spaced from -180 on.
        counts: photos of each bin.
        title: above the chart.
    """
    most = max(1, *counts)
    step = _INNER[0] / len(starts)

    def py(y: float) -> float:
        return TOP + (1 - y / most) * _INNER[1]

    parts = [_rules([0, most], py)]
    for n, count in enumerate(counts):
        x = LEFT + n * step
        parts.append(
            f'<rect x="{x + 0.8:.1f}" y="{py(count):.1f}" width="{step - 1.6:.1f}" '
            f'height="{HEIGHT - BOTTOM - py(count):.1f}" fill="{MODEL}"/>'
        )
    even = py(sum(counts) / len(counts))
    parts.append(
        f'<path d="M{LEFT} {even:.1f}H{WIDTH - RIGHT}" stroke="{GUESS}" stroke-width="1.6" '
        'stroke-dasharray="5 4"/>' + _text(WIDTH - RIGHT, even - 5, "chance", "tick end")
    )
    for degrees in (-180, -90, 0, 90, 180):
        x = LEFT + (degrees + 180) / 360 * _INNER[0]
        parts.append(_text(x, HEIGHT - BOTTOM + 15, f"{degrees}\u00b0", "tick mid"))
    return _svg(title, "heading found, less the one the camera noted", parts)


def _rules(values: Sequence[float], py: Callable[[float], float]) -> str:
    """Horizontal rules with their values."""
    return "".join(
        f'<path d="M{LEFT} {py(v):.1f}H{WIDTH - RIGHT}" stroke="{RULE}"/>'
        + _text(LEFT - 6, py(v) + 4, f"{v:g}", "tick end")
        for v in values
    )


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{escape(text)}</text>'


def _svg(title: str, below: str, parts: Sequence[str]) -> Markup:
    head = _text(LEFT, 16, title, "title")
    foot = _text(LEFT + _INNER[0] / 2, HEIGHT - 8, below, "tick mid")
    return Markup(  # noqa: S704
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img">{head}{"".join(parts)}{foot}</svg>'
    )
