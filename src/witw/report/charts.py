"""Drawings of the report: inline SVG and PNG, made of numbers alone."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from PIL import Image

from witw.status import Status

COLORS = {
    Status.PAIRED: "#15803d",
    Status.BLANK: "#eab308",
    Status.OFF_IMAGERY: "#f59e0b",
    Status.INDOOR: "#8b5cf6",
    Status.GREY: "#94a3b8",
    Status.CORRUPT: "#9f1239",
    Status.FAILED: "#ef4444",
    Status.GONE: "#475569",
}
# Later ones are painted over earlier ones: what matters most lies on top.
LAYERS = tuple(reversed(COLORS))
MAP_PX = 236  # longest side of a map on the page; drawn at twice that
FEW = 4000  # photos; so few are drawn as larger dots


def png_uri(data: bytes) -> str:
    """``data:`` address of a PNG."""
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def photo_map(rows: pd.DataFrame, bbox_deg: Sequence[float]) -> Markup:
    """Map of an AOI's photos coloured by status: a PNG of dots in an SVG frame with a scale bar.

    Args:
        rows: ``lat``, ``lon`` [degrees], ``status``.
        bbox_deg: west, south, east, north of the AOI.
    """
    west, south, east, north = bbox_deg
    # Equirectangular, true to scale at the middle latitude: good for the width of a city.
    shrink = math.cos(math.radians((south + north) / 2))
    wide, high = (east - west) * shrink, north - south
    scale = MAP_PX / max(wide, high)
    width, height = max(60, round(wide * scale)), max(60, round(high * scale))
    dots = _dots(rows, bbox_deg, 2 * width, 2 * height)
    km = _round_length(wide * 111.195 / 3)
    bar = km / (wide * 111.195) * width
    return Markup(
        '<svg class="map" viewBox="-1 -1 {w} {h}" width="{w}" height="{h}" role="img">'
        '<image href="{href}" width="{width}" height="{height}"/>'
        '<rect width="{width}" height="{height}" fill="none" stroke="#cbd5e1"/>'
        '<path d="M8 {y}h{bar:.1f}" stroke="#0f172a" stroke-width="2"/>'
        '<text x="8" y="{ty}" class="tick">{km:g} km</text></svg>'
    ).format(
        w=width + 2,
        h=height + 2,
        href=png_uri(dots),
        width=width,
        height=height,
        y=height - 8,
        bar=bar,
        ty=height - 13,
        km=km,
    )


def _dots(rows: pd.DataFrame, bbox_deg: Sequence[float], width: int, height: int) -> bytes:
    west, south, east, north = bbox_deg
    canvas = np.full((height, width, 3), 248, np.uint8)
    reach = 2 if len(rows) <= FEW else 0 if len(rows) > 20 * FEW else 1
    for status in LAYERS:
        part = rows[rows["status"] == status]
        lon = part["lon"].to_numpy(dtype=float, na_value=np.nan)
        lat = part["lat"].to_numpy(dtype=float, na_value=np.nan)
        known = np.isfinite(lon) & np.isfinite(lat)
        x = np.floor((lon[known] - west) / (east - west) * width).astype(int)
        y = np.floor((north - lat[known]) / (north - south) * height).astype(int)
        color = [int(COLORS[status][k : k + 2], 16) for k in (1, 3, 5)]
        for dx in range(-reach, reach + 1):
            for dy in range(-reach, reach + 1):
                if dx * dx + dy * dy > reach * reach + 1:
                    continue
                inside = (x + dx >= 0) & (x + dx < width) & (y + dy >= 0) & (y + dy < height)
                canvas[y[inside] + dy, x[inside] + dx] = color
    out = io.BytesIO()
    Image.fromarray(canvas).quantize(32).save(out, "PNG", optimize=True)
    return out.getvalue()


def _round_length(value: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above ``value``."""
    power = 10.0 ** math.floor(math.log10(value))
    return max(step * power for step in (1, 2, 5) if step * power <= value * 1.0001)


def _ticks(low: float, high: float) -> list[float]:
    """Round values, evenly spaced, that enclose the two; from zero, where that is near."""
    low = 0.0 if 0 <= low < 0.5 * high else low
    step = _round_length((high - low or abs(high) or 1.0) / 3)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, max(last, first + 1) + 1)]


def line_chart(
    xs: Sequence[float],
    ys: Sequence[float],
    title: str,
    level: tuple[float, str] | None = None,
) -> Markup:
    """Line chart of a few dozen points, axes from the data (from zero, where that is near).

    Args:
        xs: whole numbers, ascending.
        ys: values, finite.
        title: above the chart.
        level: value and name of a dashed line to compare with.
    """
    width, height, left, top, right, bottom = 440, 220, 48, 30, 12, 28
    everything = [*ys, *([level[0]] if level else [])]
    ticks = _ticks(min(everything), max(everything))
    low, high = ticks[0], ticks[-1]
    span = max(xs) - min(xs) or 1

    def px(x: float) -> float:
        return left + (x - min(xs)) / span * (width - left - right)

    def py(y: float) -> float:
        return top + (high - y) / (high - low) * (height - top - bottom)

    parts = [f'<text x="{left}" y="16" class="title">{escape(title)}</text>']
    for value in ticks:
        parts.append(
            f'<path d="M{left} {py(value):.1f}H{width - right}" stroke="#e2e8f0"/>'
            f'<text x="{left - 6}" y="{py(value) + 4:.1f}" class="tick end">{value:g}</text>'
        )
    if level:
        y = py(level[0])
        parts.append(
            f'<path d="M{left} {y:.1f}H{width - right}" stroke="#64748b" stroke-dasharray="5 4"/>'
            f'<text x="{width - right}" y="{y - 5:.1f}" class="tick end">{escape(level[1])}</text>'
        )
    points = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in zip(xs, ys, strict=True))
    parts.append(f'<polyline points="{points}" fill="none" stroke="#0f766e" stroke-width="2.2"/>')
    parts.append(f'<circle cx="{px(xs[-1]):.1f}" cy="{py(ys[-1]):.1f}" r="3.5" fill="#0f766e"/>')
    for x, anchor in ((xs[0], "start"), (xs[-1], "end")):
        parts.append(
            f'<text x="{px(x):.1f}" y="{height - 8}" class="tick {anchor}">epoch {x:g}</text>'
        )
    return Markup(  # noqa: S704
        f'<svg class="chart" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img">{"".join(parts)}</svg>'
    )


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
