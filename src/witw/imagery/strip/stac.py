"""Strips from a STAC: one asset's raster per item, read with pystac-client."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pystac
import requests
from pystac_client import Client
from pystac_client.exceptions import APIError

from witw.ground.shapes import boxes

# Exceptions for invalid responses of a STAC server.
ERRORS = (
    APIError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    pystac.STACError,
    requests.RequestException,
)


def found(asked: Mapping[str, Any], bbox_deg: Sequence[float]) -> list[dict[str, str]]:
    """Return the rasters of the items in a STAC, newest first.

    Args:
        asked: The keys of a STAC strip, see :class:`witw.settings.strip.Strip`.
        bbox_deg: The area; west, south, east, north, EPSG:4326 [degrees].

    Returns:
        ``name`` and ``path`` of each.

    Raises:
        RuntimeError: There is no raster, or the server's responses are not valid STAC; the message
            gives the reason.
    """
    try:
        items = _items(asked, bbox_deg)
        rasters = [(_moment(item), item.id, _path(item, asked["asset"])) for item in items]
    except ERRORS as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise RuntimeError(f"its responses are not valid STAC ({text})") from None
    if not rasters:
        raise RuntimeError("it has no such item in the area; check collection, datetime and cloud")
    rasters.sort(key=lambda one: one[1])
    rasters.sort(key=lambda one: one[0], reverse=True)
    names: dict[str, str] = {}
    for _, item_id, path in rasters:
        stem = re.sub(r"[^a-z0-9]+", "_", item_id.lower()).strip("_") or "item"
        name = f"{asked['name']}_{stem}"
        while name in names:
            name += "_"
        names[name] = path
    return [{"name": name, "path": path} for name, path in names.items()]


def _items(asked: Mapping[str, Any], bbox_deg: Sequence[float]) -> list[pystac.Item]:
    if asked["stac"].endswith(".json"):
        return [pystac.Item.from_file(asked["stac"])]
    client = Client.open(asked["stac"])
    out: dict[str, pystac.Item] = {}
    for box in boxes(bbox_deg):
        search = client.search(
            collections=[asked["collection"]] if asked["collection"] else None,
            ids=asked["items"] or None,
            bbox=None if asked["items"] else list(box),
            datetime=asked["datetime"] or None,
            max_items=asked["max_items"] + 1,
        )
        out |= {item.id: item for item in search.items()}
    most = asked["max_cloud_pct"]
    kept = [i for i in out.values() if most is None or _cloud(i) <= most]
    if len(out) > asked["max_items"]:
        raise ValueError(
            f"more than {asked['max_items']} items lie in the area; narrow `datetime`, name "
            "`items`, or raise `max_items`"
        )
    return kept


def _cloud(item: pystac.Item) -> float:
    return float(item.properties.get("eo:cloud_cover", 0))


def _moment(item: pystac.Item) -> str:
    return str(item.properties.get("datetime") or item.properties.get("start_datetime") or "")


def _path(item: pystac.Item, asset: str) -> str:
    """Return the address of an item's raster.

    Raises:
        ValueError: The item lacks the asset; the message lists its assets.
    """
    if asset not in item.assets:
        raise ValueError(
            f"item {item.id} has no asset {asset!r}; its assets are {', '.join(item.assets)}"
        )
    href = item.assets[asset].get_absolute_href()
    if not href:
        raise ValueError(f"asset {asset!r} of item {item.id} has no address")
    return str(href)
