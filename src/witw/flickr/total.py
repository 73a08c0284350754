"""Ask Flickr how many photos an area has, without listing them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from witw.flickr.api.client import Client, unwatched
from witw.flickr.crawl.cover import Cover
from witw.flickr.crawl.listing import OUTSIDE, Listing
from witw.flickr.crawl.pages import whole
from witw.flickr.crawl.service import params
from witw.ground import shapes
from witw.settings.search import Search


def total_of(spec: Mapping[str, Any], client: Client) -> int:
    """Return the service's photo count for an area, with one call per box.

    An area across the 180th meridian has two boxes.

    Raises:
        UserError: The service refuses or does not answer.
    """
    settings, ground = Search.model_validate(spec["search"]), shapes.ground(spec)
    total = 0.0
    for root in whole(Cover(ground).roots, settings.snapshot, settings.licenses):
        asked = root._replace(take=-1)
        listing = Listing(ground, root.high, settings.licenses, "")
        read = partial(listing.read, query=asked)
        page = client.call("flickr.photos.search", read, unwatched, **params(asked))
        found = max(page.total, len(page.entries))
        # In a box around a shape, the newest photos show which share lies inside the area.
        share = sum(entry.flaw != OUTSIDE for entry in page.entries) / max(1, len(page.entries))
        total += found * (share if ground.geometry is not None else 1)
    return round(total)
