"""Drawings of the report: inline SVG and PNG, made of numbers alone."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from PIL import Image

from witw.tables import Status

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
