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
    """A licence; ``url`` may be empty."""

    id: int
    name: str
    url: str


def parse(answer: Mapping[str, Any]) -> dict[int, License]:
    """Return the licences by id from a response of flickr.photos.licenses.getInfo.

    They are fetched because the list grows: ids 11 to 16 were added in June 2025.

    Raises:
        ValueError: The response contains no licence.
    """
    _, rows = rows_of(answer, "licenses", "license")
    found = [(integer(row.get("id")), row) for row in rows if isinstance(row, Mapping)]
    table = {
        number: License(number, text(row.get("name")), text(row.get("url")))
        for number, row in found
        if number is not None
    }
    if not table:
        raise ValueError("no licence in the response")
    return table


def check(wanted: Iterable[int], known: Mapping[int, License], aoi: str) -> None:
    """Check that Flickr knows every requested licence id.

    Raises:
        UserError: Some ids are unknown; the message names the area, the key and the ids.
    """
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise UserError(
            f"Area {aoi!r}: `search.licenses` has {', '.join(map(str, unknown))}, which Flickr "
            f"does not know; its licences are "
            + ", ".join(f"{key} ({known[key].name})" for key in sorted(known))
            + "."
        )
