"""Flickr's licence table, fetched when a search starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from witw.errors import UserError
from witw.flickr.api.records import integer, rows_of, text

METHOD = "flickr.photos.licenses.getInfo"


@dataclass(frozen=True)
class License:
    """One licence; ``url`` may be empty."""

    id: int
    name: str
    url: str


def parse(answer: Mapping[str, Any]) -> dict[int, License]:
    """Read the JSON of flickr.photos.licenses.getInfo: licences by id.

    Ids 11 to 16 came in June 2025, so a table written down here would grow old.

    Raises:
        ValueError: it names no licence.
    """
    _, rows = rows_of(answer, "licenses", "license")
    found = [(integer(row.get("id")), row) for row in rows if isinstance(row, Mapping)]
    table = {
        number: License(number, text(row.get("name")), text(row.get("url")))
        for number, row in found
        if number is not None
    }
    if not table:
        raise ValueError("no licence in the answer")
    return table


def check(wanted: Iterable[int], known: Mapping[int, License], aoi: str) -> None:
    """Refuse licence ids that the service does not have.

    Raises:
        UserError: names the AOI, the key and the ids.
    """
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise UserError(
            f"Area {aoi!r}: `search.licenses` has {', '.join(map(str, unknown))}, which Flickr "
            f"does not know; its licences are "
            + ", ".join(f"{key} ({known[key].name})" for key in sorted(known))
            + "."
        )
