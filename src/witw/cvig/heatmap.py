"""Draw a located photo: photo, map and heat map in one picture."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Wedge
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import Resampling
from rasterio.transform import from_bounds
from rasterio.vrt import WarpedVRT

from witw import files
from witw.answer import colours
from witw.cvig.grid import Grid
from witw.geo import round_length

INK, PAPER, MUTED, TRUTH, GUESS = "#f8fafc", "#0f172a", "#94a3b8", "#4ade80", "#22d3ee"
DPI = 140
SIDE_IN, MAP_IN, EDGE_IN, FOOT_IN = 4.3, 7.2, 0.25, 0.4  # left column, map, margins [inch]
COMPASS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")


@dataclass(frozen=True)
class Scene:
    """Content of the picture."""

    aoi: str
    photo: Image.Image
    credit: str
    place: tuple[float, float] | None  # geotag in the area's UTM zone [m]
    note: str  # sentence about the photo
    probability: NDArray[np.float64]  # (N,) of the grid's cells
    heading_deg: NDArray[np.float64]  # (N,), clockwise from grid north
    fov_deg: float  # across the photo


def draw(scene: Scene, grid: Grid, mosaic: Path, path: Path) -> None:
    """Draw photo beside map: imagery, heat, geotag (ring), best cell (dot with field of view).

    Args:
        scene: content of the picture.
        grid: cells.
        mosaic: the area's raster in the grid's CRS.
        path: output PNG.
    """
    wide = MAP_IN * min(1.0, grid.columns / grid.rows)
    high = wide * grid.rows / grid.columns
    page = (SIDE_IN + wide + 3 * EDGE_IN, max(5.6, high + EDGE_IN + FOOT_IN))
    figure = Figure(figsize=page, facecolor=PAPER, dpi=DPI)

    def box(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        return x / page[0], y / page[1], width / page[0], height / page[1]

    def write(y: float, text: str, columns: int, color: str, size: float) -> float:
        lines = textwrap.wrap(text, columns)
        place = (EDGE_IN / page[0], y / page[1])
        style: dict[str, Any] = {"va": "top", "linespacing": 1.4, "color": color, "size": size}
        # Titles may contain dollar signs, which matplotlib would typeset as formulas.
        figure.text(*place, "\n".join(lines), parse_math=False, **style)
        return y - len(lines) * size * 1.4 * 1.2 / 72 - 0.09

    y = write(page[1] - EDGE_IN, "Where was this photo taken?", 60, color=INK, size=16)
    photo_in = SIDE_IN * np.array([1, scene.photo.height / scene.photo.width])
    photo_in *= min(1.0, 0.5 * page[1] / photo_in[1])
    axes = figure.add_axes(box(EDGE_IN, y - photo_in[1], *photo_in))
    axes.imshow(scene.photo, interpolation="lanczos", aspect="auto")
    axes.set_axis_off()
    y -= photo_in[1] + 0.1
    if scene.credit:
        y = write(y, scene.credit, 72, color=MUTED, size=7.5) - 0.05
    for text, colour in _words(scene, grid):
        y = write(y, text, 48, color=colour, size=10.5)
    axes = figure.add_axes(box(SIDE_IN + 2 * EDGE_IN, page[1] - EDGE_IN - high, wide, high))
    _map(axes, scene, grid, mosaic)
    axes = figure.add_axes(
        box(SIDE_IN + 2 * EDGE_IN, page[1] - EDGE_IN - high - FOOT_IN, wide, FOOT_IN)
    )
    _scale(axes, grid.columns * grid.step_m, wide / FOOT_IN)
    with files.atomic(path) as part:
        figure.savefig(part, facecolor=PAPER, metadata={"Software": None})


def _words(scene: Scene, grid: Grid) -> list[tuple[str, str]]:
    """Return the sentences beside the map, each with its colour."""
    best = int(scene.probability.argmax())
    heading = scene.heading_deg[best]
    name = scene.aoi.replace("_", " ").title()
    out = [
        (f"{name}, {len(scene.probability):,} cells, satellite imagery alone.", INK),
        (f"\u25cf Best cell, looking {COMPASS[round(heading / 45) % 8]} ({heading:.0f}\u00b0); it "
         f"holds {100 * scene.probability[best]:.2g} % of the probability.", GUESS),
    ]  # fmt: skip
    if scene.place is not None:
        distance_m = np.hypot(*(grid.centres() - scene.place).T)
        before = int((scene.probability > scene.probability[distance_m.argmin()]).sum())
        share = 100 * before / len(distance_m)
        out.append(
            (f"\u25cb Geotag, {distance_m[best]:,.0f} m from the best cell; {share:.2g} % of the "
             "area scores higher.", TRUTH)
        )  # fmt: skip
    if scene.note:
        out.append((scene.note, INK))
    return out


def _map(axes: Axes, scene: Scene, grid: Grid, mosaic: Path) -> None:
    """Draw imagery, heat and marks, with axes in metres of the grid's zone."""
    east, south = (
        grid.west + grid.columns * grid.step_m,
        grid.north - grid.rows * grid.step_m,
    )
    extent = (grid.west, east, south, grid.north)
    axes.imshow(_backdrop(mosaic, extent), extent=extent)
    axes.imshow(_heat(scene.probability, grid), extent=extent, interpolation="nearest")
    best = int(scene.probability.argmax())
    x, y = grid.centres()[best]
    reach = 0.09 * (east - grid.west)
    # Matplotlib counts angles from east, anticlockwise.
    middle, half = 90 - scene.heading_deg[best], scene.fov_deg / 2
    for alpha, fill in ((0.35, True), (0.9, False)):
        view = Wedge((x, y), reach, middle - half, middle + half, color=GUESS, alpha=alpha,
                     linewidth=1.3, fill=fill)  # fmt: skip
        axes.add_patch(view)
    axes.plot(x, y, "o", color=GUESS, markersize=10, markeredgecolor=PAPER, markeredgewidth=1.5)
    if scene.place is not None:
        for colour, width in ((PAPER, 5.0), (TRUTH, 2.6)):
            axes.plot(*scene.place, "o", markersize=20, markerfacecolor="none",
                      markeredgecolor=colour, markeredgewidth=width)  # fmt: skip
    axes.set(xlim=extent[:2], ylim=extent[2:])
    axes.set_axis_off()


def _backdrop(mosaic: Path, extent: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """Read the area's imagery as RGBA, with unchanged brightness."""
    west, east, south, north = extent
    scale = 1400 / max(east - west, north - south)
    width, height = round((east - west) * scale), round((north - south) * scale)
    with (
        rasterio.open(mosaic) as source,
        WarpedVRT(
            source,
            add_alpha=True,
            crs=source.crs,
            transform=from_bounds(west, south, east, north, width, height),
            width=width,
            height=height,
            resampling=Resampling.average,
        ) as view,
    ):
        return np.asarray(view.read((1, 2, 3, view.count)).transpose(1, 2, 0), np.uint8)


def _heat(probability: NDArray[np.float64], grid: Grid) -> NDArray[np.uint8]:
    """Colour cells by how many times likelier they became, ``(rows, columns, 4)``."""
    out = np.zeros((grid.rows * grid.columns, 4), np.uint8)
    out[grid.cells] = colours.scale()[colours.levels(colours.bits(probability))]
    return out.reshape(grid.rows, grid.columns, 4)


def _scale(axes: Axes, width_m: float, aspect: float) -> None:
    """Draw a scale bar of about a fifth of the map below it, and the direction of north."""
    axes.set(xlim=(0, width_m), ylim=(0, width_m / aspect))
    axes.set_axis_off()
    length = round_length(width_m / 5)
    label = f"{length:.0f} m" if length < 1000 else f"{length / 1000:g} km"
    y = 0.4 * width_m / aspect
    axes.plot([0, length], [y, y], color=INK, linewidth=2.5, solid_capstyle="butt")
    style: dict[str, Any] = {
        "textcoords": "offset points",
        "va": "center",
        "color": INK,
        "size": 9.5,
    }
    axes.annotate(label, (length, y), (7, 0), **style)
    axes.annotate("north is up", (width_m, y), (0, 0), ha="right", **style)
