"""Tile services (XYZ, WMTS by REST) as strips, described for GDAL's WMS driver.

The description is limited to the tiles over an area. Tiles are stored as files in the run folder,
so each is requested only once, even across runs. This module imports no GDAL.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from witw import __version__
from witw.errors import UserError

HALF_M = math.pi * 6_378_137  # from the middle of the map to its edge, EPSG:3857
TILE_PX = 256
# Placeholders of address templates, and GDAL's equivalents.
NAMES = {"TileMatrix": "z", "TileCol": "x", "TileRow": "y"}


def tile_range(bbox_deg: Sequence[float], zoom: int) -> tuple[int, int, int, int]:
    """Return first and last column, first and last row of the tiles over a box [degrees]."""
    west, south, east, north = bbox_deg
    count = 2**zoom
    columns = [math.floor((lon + 180) / 360 * count) for lon in (west, east)]
    rows = []
    for lat in (north, south):
        y = math.asinh(math.tan(math.radians(lat))) / math.pi
        rows.append(min(count - 1, max(0, math.floor((1 - y) / 2 * count))))
    return max(0, columns[0]), min(count - 1, columns[1]), rows[0], rows[1]


def describe(
    aoi: str, tiles: str, zoom: int, most: int, bbox_deg: Sequence[float], cache: Path, contact: str
) -> str:
    """Return the XML description of a service's tiles over an area.

    Args:
        aoi: The area, for error messages.
        tiles: Address with placeholders.
        zoom: Zoom level.
        most: Largest number of tiles.
        bbox_deg: West, south, east, north, EPSG:4326 [degrees].
        cache: Folder for the tiles.
        contact: The user's contact, for the server.

    Raises:
        UserError: The area needs more tiles than that.
    """
    left, right, top, bottom = tile_range(bbox_deg, zoom)
    count = (right - left + 1) * (bottom - top + 1)
    if count > most:
        raise UserError(
            f"Area {aoi!r}: zoom {zoom} of {tiles} has {count:,} tiles over the area, more than "
            f"`max_tiles` {most:,}; lower `zoom`, or raise `max_tiles` if the service's terms "
            "allow it."
        )
    side = 2 * HALF_M / 2**zoom
    root = Element("GDAL_WMS")
    service = SubElement(root, "Service", name="TMS")
    url = re.sub(r"\{(\w+)\}", lambda m: "${" + NAMES.get(m[1], m[1]) + "}", tiles)
    SubElement(service, "ServerUrl").text = url
    window = SubElement(root, "DataWindow")
    for key, value in (
        ("UpperLeftX", -HALF_M + left * side),
        ("UpperLeftY", HALF_M - top * side),
        ("LowerRightX", -HALF_M + (right + 1) * side),
        ("LowerRightY", HALF_M - (bottom + 1) * side),
        ("TileLevel", zoom),
        ("TileX", left),
        ("TileY", top),
        ("SizeX", (right - left + 1) * TILE_PX),
        ("SizeY", (bottom - top + 1) * TILE_PX),
        ("YOrigin", "top"),
    ):
        SubElement(window, key).text = repr(value) if isinstance(value, float) else str(value)
    for key, text in (
        ("Projection", "EPSG:3857"),
        ("BlockSizeX", str(TILE_PX)),
        ("BlockSizeY", str(TILE_PX)),
        ("BandsCount", "3"),
        ("OverviewCount", "0"),
        ("MaxConnections", "2"),
        ("Timeout", "60"),
        ("ZeroBlockHttpCodes", "204,404"),
        ("UserAgent", f"witw/{__version__}" + f" ({contact})" * bool(contact)),
    ):
        SubElement(root, key).text = text
    kept = SubElement(root, "Cache")
    SubElement(kept, "Path").text = str(cache)
    SubElement(kept, "Expires").text = str(10 * 365 * 86_400)
    SubElement(kept, "MaxSize").text = str(1 << 40)
    indent(root)
    return tostring(root, encoding="unicode") + "\n"
