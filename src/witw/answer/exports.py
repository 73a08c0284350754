"""Files for a GIS: probabilities as GeoTIFF, places and regions as GeoJSON and KML."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import shapely

from witw import files
from witw.answer import content, regions

if TYPE_CHECKING:
    from witw.cvig.locating.located import Located

TOP = 10  # places in the files, none within 50 m of a better one
_KML = "http://www.opengis.net/kml/2.2"
# Colours of the regions, from the widest to the narrowest. KML orders alpha, blue, green, red.
_FILL = {95: "40ff9a5b", 80: "60b45bff", 50: "802080ff"}


def write_tif(path: Path, found: Located) -> None:
    """Write two bands of float32 in the area's CRS; pixels without a cell are NaN.

    Band 1 is the probability of each cell, given that the photo was taken in the area. Band 2 is
    the lowest level [%] whose region contains the cell. The tag ``presence`` is the probability
    that the photo was taken in the area.
    """
    grid = found.grid
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": "float32",
        "count": 2,
        "width": grid.columns,
        "height": grid.rows,
        "crs": f"EPSG:{grid.epsg}",
        "transform": grid.transform,
        "nodata": np.nan,
        "compress": "deflate",
        "predictor": 3,
        "interleave": "band",
    }
    with files.atomic(path) as part, rasterio.open(part, "w", **profile) as out:
        out.write(grid.raster(found.probability), 1)
        out.write(grid.raster(found.entry_pct), 2)
        out.set_band_description(1, "probability that the photo was taken in this cell")
        out.set_band_description(2, "lowest level whose region contains this cell [%]")
        if math.isfinite(found.here):
            out.update_tags(presence=f"{found.here:.4f}")


def places(found: Located) -> dict[str, Any]:
    """Return the best places as a GeoJSON FeatureCollection (EPSG:4326, RFC 7946)."""
    grid = found.grid
    here = found.here if math.isfinite(found.here) else None
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [round(p.lon, 7), round(p.lat, 7)]},
            "properties": {
                "rank": p.rank,
                "probability": _digits(p.probability),
                # With even odds beforehand that the photo was taken in the area.
                "probability_absolute": None if here is None else _digits(here * p.probability),
                "heading_deg": _heading(p.heading_deg[0]),
                "easting": round(p.easting, 2),
                "northing": round(p.northing, 2),
                "epsg": grid.epsg,
                "cell_m": round(grid.step_m, 3),
            },
        }
        for p in found.places(TOP)
    ]
    return {"type": "FeatureCollection", "presence": _shown(here), "features": features}


def region_shapes(found: Located) -> dict[int, shapely.MultiPolygon]:
    """Return level [%] -> region, the widest first."""
    return {
        level: regions.polygons(found.region(level / 100), found.grid)
        for level in sorted(content.LEVELS, reverse=True)
    }


def region_features(
    found: Located, shapes: Mapping[int, shapely.MultiPolygon] | None = None
) -> dict[str, Any]:
    """Return the regions as a GeoJSON FeatureCollection (EPSG:4326, RFC 7946), the widest first.

    Args:
        found: the answer.
        shapes: its regions, if already computed.
    """
    features = []
    for level, shape in (shapes or region_shapes(found)).items():
        inside = found.region(level / 100)
        features.append(
            {
                "type": "Feature",
                "geometry": json.loads(shapely.to_geojson(shape)),
                "properties": {
                    "level_pct": level,
                    "map_pct": round(100 * float(found.probability[inside].sum()), 2),
                    "area_pct": round(100 * float(inside.mean()), 4),
                    "area_km2": round(content.km2(found, level), 6),
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}


def kml(found: Located, shapes: Mapping[int, shapely.MultiPolygon] | None = None) -> str:
    """Return places and regions as KML 2.2, for Google Earth and similar programs.

    Args:
        found: the answer.
        shapes: its regions, if already computed.
    """
    said = content.verdict(found)
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<kml xmlns="{_KML}"><Document>',
        f"<name>{escape(content.title(found))}</name>",
        f"<description>{escape(f'{said.title}. {said.detail} {content.LEAD}')}</description>",
    ]
    for level, colour in _FILL.items():
        parts.append(
            f'<Style id="region{level}"><LineStyle><color>ff{colour[2:]}</color><width>2</width>'
            f"</LineStyle><PolyStyle><color>{colour}</color></PolyStyle></Style>"
        )
    for level, shape in (shapes or region_shapes(found)).items():
        polygons = _polygons(shape)
        hidden = "" if level == 80 else "<visibility>0</visibility>"
        parts.append(
            f"<Placemark><name>{level} % region</name>{hidden}<styleUrl>#region{level}</styleUrl>"
            f"<MultiGeometry>{polygons}</MultiGeometry></Placemark>"
        )
    for p in found.places(TOP):
        heading = p.heading_deg[0]
        about = f"{content.percent(p.probability)}, {content.looking(heading)}"
        look = "" if math.isnan(heading) else f"<heading>{heading % 360:.1f}</heading>"
        parts.append(
            f"<Placemark><name>{p.rank}</name><description>{escape(about)}</description>"
            f"<LookAt><longitude>{p.lon:.7f}</longitude><latitude>{p.lat:.7f}</latitude>"
            f"{look}<tilt>0</tilt><range>300</range></LookAt>"
            f"<Point><coordinates>{p.lon:.7f},{p.lat:.7f}</coordinates></Point></Placemark>"
        )
    return "\n".join([*parts, "</Document></kml>"]) + "\n"


def _polygons(shape: shapely.MultiPolygon) -> str:
    """Convert polygons to KML by editing their GeoJSON text: a noisy map has a million corners."""
    if shape.is_empty:
        return ""
    text = shapely.to_geojson(shape).replace(" ", "")
    text = text[text.index("[[[[") + 4 : text.rindex("]]]]")]
    out = []
    for polygon in text.split("]]],[[["):
        outer, *inner = (
            f"<LinearRing><coordinates>{ring.replace('],[', ' ')}</coordinates></LinearRing>"
            for ring in polygon.split("]],[[")
        )
        holes = "".join(f"<innerBoundaryIs>{ring}</innerBoundaryIs>" for ring in inner)
        out.append(f"<Polygon><outerBoundaryIs>{outer}</outerBoundaryIs>{holes}</Polygon>")
    return "".join(out)


def _digits(value: float) -> float:
    return float(f"{value:.6g}")


def _shown(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _heading(value: float) -> float | None:
    return None if math.isnan(value) else round(value % 360, 1)
