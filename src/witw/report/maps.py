"""Maps of the report: the photos of an area as dots, in a PNG inside an SVG frame."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from witw.geo import round_length
from witw.report import ground as ground_
from witw.status import Status

COLORS = {
    Status.PAIRED: "#15803d",
    Status.SHARED: "#a7f3d0",
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
# Later statuses are painted over earlier ones, so paired photos are on top.
LAYERS = tuple(reversed(COLORS))
MAP_PX = 236  # longest side of a map on the page; drawn at twice the size
WIDEST = 1600  # width of a heat map with its photo, twice its width on most screens
FEW = 4000  # number of photos below which dots are larger


@dataclass(frozen=True)
class Below:
    """Background of a map.

    Attributes:
        mosaic: the area's imagery; None: a plain background.
        boxes: west, south, east, north of the boxes that the search read [degrees].
        strips: corners of each strip, longitude and latitude [degrees].
    """

    mosaic: Path | None = None
    boxes: Sequence[tuple[float, float, float, float]] = ()
    strips: Sequence[Sequence[tuple[float, float]]] = ()


def uri(kind: str, data: bytes | None) -> str:
    """Return the ``data:`` address of a picture."""
    return f"data:image/{kind};base64," + base64.b64encode(data or b"").decode("ascii")


def smaller(data: bytes) -> str:
    """Return the ``data:`` address of a picture as a JPEG of at most :data:`WIDEST` px a side."""
    with Image.open(io.BytesIO(data)) as image:
        shown = image.convert("RGB")
    shown.thumbnail((WIDEST, WIDEST), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    shown.save(out, "JPEG", quality=85, subsampling=0)
    return uri("jpeg", out.getvalue())


def png_uri(data: bytes) -> str:
    """Return the ``data:`` address of a PNG."""
    return uri("png", data)


def photo_map(rows: pd.DataFrame, bbox_deg: Sequence[float], label: str, below: Below) -> Markup:
    """Draw a map of an AOI's photos as dots coloured by status, with a scale bar.

    Args:
        rows: ``lat``, ``lon`` [degrees], ``status``.
        bbox_deg: west, south, east, north of the AOI.
        label: description for screen readers.
        below: background of the map.
    """
    west, south, east, north = bbox_deg
    # Equirectangular, true to scale at the middle latitude, which is accurate enough for a city.
    shrink = math.cos(math.radians((south + north) / 2))
    wide, high = (east - west) * shrink, north - south
    scale = MAP_PX / max(wide, high)
    width, height = max(60, round(wide * scale)), max(60, round(high * scale))
    ground = None
    if below.mosaic:
        ground = ground_.picture(below.mosaic, bbox_deg, 2 * width, 2 * height)
    dots = _dots(rows, bbox_deg, 2 * width, 2 * height, is_clear=bool(ground))

    def place(lon: float, lat: float) -> str:
        x = (lon - west) / (east - west) * width
        y = (north - lat) / (north - south) * height
        return f"{min(max(x, 0), width):.1f} {min(max(y, 0), height):.1f}"

    tree = [
        f"M{place(w, n)}L{place(e, n)}L{place(e, s)}L{place(w, s)}Z" for w, s, e, n in below.boxes
    ]
    strips = ["M" + "L".join(place(*corner) for corner in ring) + "Z" for ring in below.strips]
    km = round_length(wide * 111.195 / 3)
    bar = km / (wide * 111.195) * width
    under = Markup('<image href="{}" width="{}" height="{}"/>').format(
        uri("jpeg", ground), width, height
    )
    return Markup(
        '<svg class="map" viewBox="-1 -1 {w} {h}" width="{w}" height="{h}" role="img" '
        'aria-label="{label}">{under}'
        '<path class="tree" d="{tree}"/><path class="strips" d="{strips}"/>'
        '<image href="{href}" width="{width}" height="{height}"/>'
        '<rect width="{width}" height="{height}" fill="none" stroke="#cbd5e1"/>'
        '<path d="M8 {y}h{bar:.1f}" stroke="#fff" stroke-width="4"/>'
        '<path d="M8 {y}h{bar:.1f}" stroke="#0f172a" stroke-width="2"/>'
        '<text x="8" y="{ty}" class="tick scale">{km:g} km</text></svg>'
    ).format(
        label=label,
        under=under if ground else "",
        tree="".join(tree) if len(tree) > 1 else "",
        strips="".join(strips),
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


def _dots(
    rows: pd.DataFrame, bbox_deg: Sequence[float], width: int, height: int, is_clear: bool = False
) -> bytes:
    """Draw the dots as a PNG, on a plain or transparent background."""
    west, south, east, north = bbox_deg
    canvas = np.full((height, width, 4), ground_.PAPER, np.uint8)
    canvas[..., 3] = 0 if is_clear else 255
    sizes = ((FEW // 10, 4), (FEW, 2), (20 * FEW, 1), (np.inf, 0))
    reach = next(reach for most, reach in sizes if len(rows) <= most)
    for status in LAYERS:
        part = rows[rows["status"] == status]
        lon = part["lon"].to_numpy(dtype=float, na_value=np.nan)
        lat = part["lat"].to_numpy(dtype=float, na_value=np.nan)
        known = np.isfinite(lon) & np.isfinite(lat)
        # Across the 180th meridian, longitudes of the box exceed 180, but those of photos do not.
        along = (lon[known] - west + 180) % 360 - 180
        x = np.floor(along / (east - west) * width).astype(int)
        y = np.floor((north - lat[known]) / (north - south) * height).astype(int)
        # On imagery, a rim distinguishes dots from roofs of the same colour.
        for rim in (True, False) if is_clear and reach else (False,):
            _stamp(canvas, x, y, reach + rim, [255] * 4 if rim else _rgba(status))
    out = io.BytesIO()
    image = Image.fromarray(canvas).quantize(32, method=Image.Quantize.FASTOCTREE)
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _rgba(status: Status) -> list[int]:
    return [*(int(COLORS[status][k : k + 2], 16) for k in (1, 3, 5)), 255]


def _stamp(
    canvas: NDArray[np.uint8],
    x: NDArray[np.int_],
    y: NDArray[np.int_],
    reach: int,
    color: list[int],
) -> None:
    """Paint a disc of radius ``reach`` [px] at each place."""
    height, width = canvas.shape[:2]
    for dx in range(-reach, reach + 1):
        for dy in range(-reach, reach + 1):
            if dx * dx + dy * dy > reach * reach + 1:
                continue
            inside = (x + dx >= 0) & (x + dx < width) & (y + dy >= 0) & (y + dy < height)
            canvas[y[inside] + dy, x[inside] + dx] = color
