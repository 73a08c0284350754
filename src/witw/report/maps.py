"""Maps of the report: the photos of an area as dots, a PNG in an SVG frame."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup
from PIL import Image

from witw.geo import round_length
from witw.status import Status

COLORS = {
    Status.PAIRED: "#15803d",
    Status.LIMIT: "#86efac",
    Status.CLOSE: "#4ade80",
    Status.OWNER: "#a3e635",
    Status.EDGE: "#bef264",
    Status.INACCURATE: "#5eead4",
    Status.DATE: "#22d3ee",
    Status.LICENSE: "#38bdf8",
    Status.EXCLUDED: "#3b82f6",
    Status.BLANK: "#eab308",
    Status.OFF_IMAGERY: "#f59e0b",
    Status.INDOOR: "#8b5cf6",
    Status.GREY: "#94a3b8",
    Status.CHANGED: "#be185d",
    Status.CORRUPT: "#9f1239",
    Status.FAILED: "#ef4444",
    Status.GONE: "#475569",
    Status.NO_POSITION: "#1e293b",
}
# Later ones are painted over earlier ones: what matters most lies on top.
LAYERS = tuple(reversed(COLORS))
MAP_PX = 236  # longest side of a map on the page; drawn at twice that
FEW = 4000  # photos; so few are drawn as larger dots


def png_uri(data: bytes) -> str:
    """``data:`` address of a PNG."""
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def photo_map(rows: pd.DataFrame, bbox_deg: Sequence[float], label: str) -> Markup:
    """Map of an AOI's photos coloured by status: a PNG of dots in an SVG frame with a scale bar.

    Args:
        rows: ``lat``, ``lon`` [degrees], ``status``.
        bbox_deg: west, south, east, north of the AOI.
        label: what the map shows, for those who do not see it.
    """
    west, south, east, north = bbox_deg
    # Equirectangular, true to scale at the middle latitude: good for the width of a city.
    shrink = math.cos(math.radians((south + north) / 2))
    wide, high = (east - west) * shrink, north - south
    scale = MAP_PX / max(wide, high)
    width, height = max(60, round(wide * scale)), max(60, round(high * scale))
    dots = _dots(rows, bbox_deg, 2 * width, 2 * height)
    km = round_length(wide * 111.195 / 3)
    bar = km / (wide * 111.195) * width
    return Markup(
        '<svg class="map" viewBox="-1 -1 {w} {h}" width="{w}" height="{h}" role="img" '
        'aria-label="{label}">'
        '<image href="{href}" width="{width}" height="{height}"/>'
        '<rect width="{width}" height="{height}" fill="none" stroke="#cbd5e1"/>'
        '<path d="M8 {y}h{bar:.1f}" stroke="#0f172a" stroke-width="2"/>'
        '<text x="8" y="{ty}" class="tick">{km:g} km</text></svg>'
    ).format(
        label=label,
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
        # Across the 180th meridian the box goes on beyond 180, and photos begin again at -180.
        along = (lon[known] - west + 180) % 360 - 180
        x = np.floor(along / (east - west) * width).astype(int)
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
