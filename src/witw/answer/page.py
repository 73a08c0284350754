"""Builds the page of one or several answers: one file without requests."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from witw.answer import colours, content, imagery
from witw.answer.content import Known
from witw.geo import round_length

if TYPE_CHECKING:
    from witw.cvig.grid import Grid
    from witw.cvig.locating.located import Located, Place

MOST_CELLS = 400_000  # maximum number of drawn cells; a larger map is drawn coarser
COMPARED = 4  # maximum number of photos of one place shown beside the ground
LEVEL = 80  # level of the region shown first [%]
NOTHING = Known()
MANY = 6  # number of answers on a page from which chips are smaller


@dataclass(frozen=True)
class Shown:
    """An answer, and other facts about the photo."""

    found: Located
    known: Known = NOTHING


def templates() -> Environment:
    """Return the environment of the templates, which escapes all text."""
    return Environment(
        loader=PackageLoader("witw.answer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(shown: Sequence[Shown], notice: str = "") -> str:
    """Return the page as HTML; all text is escaped.

    Args:
        shown: the answers, in order.
        notice: sentence at the end of the page, such as the imagery's licence.
    """
    script, style = _own("answer.js"), _own("answer.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    maps: dict[str, str] = {}
    answers = [_answer(n + 1, one, maps, len(shown)) for n, one in enumerate(shown)]
    text = (
        templates()
        .get_template("answer.html.j2")
        .render(
            answers=answers,
            maps=maps.items(),
            script=Markup(script),  # noqa: S704 - files of this package
            style=Markup(style),  # noqa: S704
            digest=digest,
            heading="Where was this photo taken?" if len(shown) == 1 else "Where were they taken?",
            marks=[(mark, 100 * math.log2(mark) / colours.MOST_BITS) for mark in colours.MARKS],
            ramp=_ramp(),
            level=LEVEL,
            notice=notice,
            lead=content.LEAD,
        )
    )
    return text.rstrip() + "\n"


def _own(name: str) -> str:
    return resources("witw.answer").joinpath("templates", name).read_text(encoding="utf-8")


def _answer(number: int, shown: Shown, maps: dict[str, str], count: int) -> dict[str, Any]:
    found = shown.found
    frame = imagery.Frame.of(found.grid)
    key = _map(found, frame, maps)
    said = content.verdict(found)
    places = found.places(content.PLACES)
    small = count >= MANY
    photos = [
        _uri(imagery.jpeg(imagery.shrunk(p.picture, 640 if small else imagery.PHOTO_PX)))
        for p in found.photos
    ]
    truth = None if shown.known.place is None else _spot(frame, *shown.known.place)
    return {
        "id": f"a{number}",
        "number": number,
        "title": content.title(found),
        "area": content.area_name(found),
        "photos": photos,
        "names": [p.name.rsplit("/", 1)[-1] for p in found.photos],
        "ratios": [p.picture.width / p.picture.height for p in found.photos],
        "verdict": said,
        "warnings": content.warnings(found),
        "trust": content.trust(found),
        "region": content.region_sentence(found, LEVEL),
        "map": key,
        "aspect": frame.width_m / frame.height_m,
        "scale": _scale(frame),
        "cells": f"{len(found.grid.cells):,}",
        "step": f"{found.grid.step_m:.0f}",
        "places": [_place(p, found, frame, small) for p in places],
        "truth": truth,
        "known": shown.known,
        "data": _data(found),
    }


def _map(found: Located, frame: imagery.Frame, maps: dict[str, str]) -> str:
    """Return the name of the area's picture on the page, which is created once."""
    key = hashlib.sha1(f"{found.mosaic} {frame}".encode(), usedforsecurity=False).hexdigest()[:8]
    if key not in maps:
        picture = imagery.area(found.mosaic, frame)
        maps[key] = _uri(imagery.jpeg(picture, imagery.MAP_BYTES))
    return key


def _place(place: Place, found: Located, frame: imagery.Frame, small: bool) -> dict[str, Any]:
    at = (place.easting, place.northing)
    grid_heading = [float(h) for h in found.heading_deg[:COMPARED, place.cell]]
    side = 300 if small else imagery.CHIP_PX
    chips = [
        _uri(imagery.jpeg(imagery.around(found.mosaic, at, h, side_px=side), quality=78))
        for h in grid_heading
    ]
    views = [
        _view(found, n) if math.isfinite(heading) else 0.0 for n, heading in enumerate(grid_heading)
    ]
    return {
        "rank": place.rank,
        "coordinates": content.coordinates(place),
        "looking": [content.looking(h) for h in place.heading_deg[:COMPARED]],
        "percent": content.percent(place.probability),
        "chips": chips,
        "wedges": [_wedge(view) for view in views],
        "links": links(place.lat, place.lon, place.heading_deg[0]),
        "spot": _spot(frame, *at),
        "heading": grid_heading[0] if math.isfinite(grid_heading[0]) else None,
        "view": views[0],
    }


def _view(found: Located, n: int) -> float:
    """Return the horizontal field of view of a photo [degrees]."""
    width, height = found.photos[n].picture.size
    half = math.tan(math.radians(min(found.fov_deg[n], 170.0)) / 2) * width / max(width, height)
    return 2 * math.degrees(math.atan(half))


def _wedge(view_deg: float) -> str:
    """Return an SVG path of the field of view, on a chip of 100 x 100 with the heading up."""
    if not view_deg:
        return ""
    half = math.radians(min(view_deg, 178) / 2)
    x, y = 46 * math.sin(half), 46 * math.cos(half)
    return f"M{50 - x:.1f} {50 - y:.1f}L50 50L{50 + x:.1f} {50 - y:.1f}"


def links(lat: float, lon: float, heading_deg: float) -> list[tuple[str, str]]:
    """Return names and addresses of map services for a place; the page loads nothing from them."""
    at = f"{lat:.6f},{lon:.6f}"
    turn = "" if math.isnan(heading_deg) else f"&heading={heading_deg % 360:.0f}"
    return [
        (
            "OpenStreetMap",
            f"https://www.openstreetmap.org/?mlat={lat:.6f}&mlon={lon:.6f}"
            f"#map=18/{lat:.6f}/{lon:.6f}",
        ),
        ("Google Maps", f"https://www.google.com/maps/search/?api=1&query={at}"),
        (
            "Street View",
            f"https://www.google.com/maps/@?api=1&map_action=pano&viewpoint={at}{turn}",
        ),
        ("Bing Maps", f"https://www.bing.com/maps?cp={lat:.6f}~{lon:.6f}&lvl=18&style=a"),
    ]


def _spot(frame: imagery.Frame, east: float, north: float) -> tuple[float, float]:
    """Return the position on the map from its left and upper edge [%]."""
    return (
        round(100 * (east - frame.west) / frame.width_m, 3),
        round(100 * (frame.north - north) / frame.height_m, 3),
    )


def _scale(frame: imagery.Frame) -> dict[str, Any]:
    length = round_length(frame.width_m / 5)
    label = f"{length:.0f} m" if length < 1000 else f"{length / 1000:g} km"
    return {"width": round(100 * length / frame.width_m, 3), "label": label}


def _data(found: Located) -> Markup:
    """Return the data for the script as JSON that cannot close its element."""
    grid = found.grid
    heat = colours.levels(colours.bits(found.probability, found.here))
    # Levels are whole percents, so comparing the integer part with a level gives the same result.
    entry = np.minimum(found.entry_pct, 99).astype(np.uint8)
    fold = max(1, math.ceil(math.sqrt(grid.rows * grid.columns / MOST_CELLS)))
    drawn = _raster(heat, grid, 0, fold, np.max), _raster(entry, grid, 255, fold, np.min)
    rows, columns = drawn[0].shape
    content_ = {
        "rows": rows,
        "columns": columns,
        "heat": base64.b64encode(drawn[0].tobytes()).decode(),
        "entry": base64.b64encode(drawn[1].tobytes()).decode(),
        "colours": base64.b64encode(colours.scale().tobytes()).decode(),
        "levels": _levels(found),
    }
    return Markup(json.dumps(content_).replace("<", "\\u003c"))  # noqa: S704 - JSON without <


def _levels(found: Located) -> list[str]:
    """Return the page's text on the region of each level, 0 to 100 %."""
    cells = np.searchsorted(np.sort(found.entry_pct), np.arange(101), side="left")
    ground = found.grid.step_m**2 / 1e6
    return [
        f"{level} %: {content.percent(n / len(found.entry_pct))} of the area, "
        f"{n * ground:.3g} km\u00b2"
        for level, n in enumerate(cells.tolist())
    ]


def _raster(
    values: NDArray[np.uint8], grid: Grid, empty: int, fold: int, merge: Any
) -> NDArray[np.uint8]:
    """Return values as ``(rows, columns)``, with blocks of ``fold`` x ``fold`` cells merged."""
    out = np.full(grid.rows * grid.columns, empty, np.uint8)
    out[grid.cells] = values
    whole = out.reshape(grid.rows, grid.columns)
    if fold == 1:
        return whole
    down, right = -grid.rows % fold, -grid.columns % fold
    padded = np.pad(whole, ((0, down), (0, right)), constant_values=empty)
    blocks = padded.reshape(padded.shape[0] // fold, fold, padded.shape[1] // fold, fold)
    return np.asarray(merge(blocks, axis=(1, 3)), np.uint8)


def _ramp() -> str:
    """Return the scale's colours as stops of a CSS gradient."""
    steps = colours.scale()[np.linspace(0, colours.STEPS - 1, 17).astype(int)]
    return ", ".join(f"rgb({r} {g} {b} / {a / 255:.2f})" for r, g, b, a in steps.tolist())


def _uri(body: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(body).decode()
