"""Parse the parameters of flickr.photos.search.

The rules follow the official page of flickr.photos.search
(https://www.flickr.com/services/api/flickr.photos.search.html). Where it is silent, they follow
reports and recordings by users of the API.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from witw.demo.fake_flickr.behaviour import Behaviour
from witw.demo.fake_flickr.catalog.columns import Hidden, Wanted

REACHABLE = 4000  # "at most the first 4,000 results for any given search query"
PER_PAGE, PER_PAGE_MAX, PER_PAGE_MAX_GEO = 100, 500, 250
RECENT_S = 12 * 3600  # a geo query without a limiting agent is restricted to this time
ORDERS = ("date-posted-desc", "date-posted-asc")

# Filters of the real method that are not implemented: they are refused, because ignoring a filter
# would give wrong results.
UNKNOWN_FILTERS = frozenset(
    {
        "user_id",
        "tags",
        "tag_mode",
        "text",
        "contacts",
        "group_id",
        "machine_tags",
        "machine_tag_mode",
        "lat",
        "lon",
        "radius",
        "place_id",
        "woe_id",
        "is_commons",
        "in_gallery",
        "is_getty",
    }
)
_DATES = ("min_upload_date", "max_upload_date", "min_taken_date", "max_taken_date")
# Equivalents of the deprecated content_type; its 1 is 0 in content_types.
_CONTENT_TYPE = {"1": (0,), "2": (1,), "3": (2,), "4": (0, 1), "5": (1, 2), "6": (0, 2)}


class ApiError(Exception):
    """A ``stat: fail`` response: Flickr's code and message, in HTTP 200."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class BadRequest(Exception):  # noqa: N818
    """A malformed parameter, to which the real service responds with HTTP 400 and an HTML body."""


def check(params: Mapping[str, str]) -> None:
    """Refuse parameters that the real method refuses or that are not implemented here.

    Raises:
        ApiError: There is no filter, an unknown filter, or an unknown order.
    """
    unknown = sorted(UNKNOWN_FILTERS & set(params))
    if unknown:
        raise ApiError(1, f"This Flickr stand-in does not filter by {unknown[0]}")
    if not {"bbox", "license", *_DATES} & set(params):
        raise ApiError(
            3,
            "Parameterless searches have been disabled. "
            "Please use flickr.photos.getRecent instead.",
        )
    if params.get("sort", ORDERS[0]) not in ORDERS:
        raise ApiError(1, f"This Flickr stand-in does not sort by {params['sort']}")


def uploaded(params: Mapping[str, str], now: int) -> tuple[int | None, int | None]:
    """Return the first and last requested upload date [s].

    Args:
        params: Parameters of the method.
        now: End of the 12 hours to which a box without a limiting date is restricted [s].

    Raises:
        BadRequest: A date is malformed.
    """
    low = seconds(params["min_upload_date"]) if "min_upload_date" in params else None
    if "bbox" in params and not {"min_upload_date", "min_taken_date"} & set(params):
        low = now - RECENT_S
    high = seconds(params["max_upload_date"]) if "max_upload_date" in params else None
    return low, high


def wanted(params: Mapping[str, str], behaviour: Behaviour) -> Wanted:
    """Return the box and the filters of a query.

    Raises:
        BadRequest: A number or the box is malformed.
    """
    box = parse_bbox(params["bbox"]) if "bbox" in params else None
    if box and behaviour.bbox_decimals is not None:
        box = _cut(box, behaviour.bbox_decimals)
    has_geo = params["has_geo"] != "0" if "has_geo" in params else None
    licenses = integers(params["license"]) if "license" in params else None
    hidden = _hidden(params, behaviour, box, licenses)
    if licenses and len(licenses) > 1 and behaviour.license_lists == "nothing":
        licenses = ()
    if licenses and behaviour.licenses_up_to is not None:
        # Without a known id there is nothing to filter by.
        licenses = tuple(n for n in licenses if n <= behaviour.licenses_up_to) or None
    return Wanted(
        box=box,
        is_half_open=box is not None and behaviour.bbox_edges == "half_open",
        # A photo without a geotag lies in no box.
        has_geo=True if box and has_geo is None else has_geo,
        licenses=licenses,
        accuracies=_accuracies(params, behaviour),
        contexts=(integer(params["geo_context"]),) if "geo_context" in params else None,
        contents=_contents(params),
        safeties=_safeties(params, behaviour),
        media={"photos": "photo", "videos": "video"}.get(params.get("media", "all"), ""),
        taken=(
            local_time(params["min_taken_date"]) if "min_taken_date" in params else "",
            local_time(params["max_taken_date"]) if "max_taken_date" in params else "",
        ),
        hidden=hidden,
        seed=behaviour.seed,
    )


def _hidden(
    params: Mapping[str, str],
    behaviour: Behaviour,
    box: tuple[float, float, float, float] | None,
    licenses: tuple[int, ...] | None,
) -> tuple[Hidden, ...]:
    is_large = box and max(box[2] - box[0], box[3] - box[1]) > behaviour.large_box_deg
    is_list = licenses is not None and len(licenses) > 1
    draws = [
        (True, Hidden("thinned", behaviour.thinned)),
        ("accuracy" not in params, Hidden("unset", behaviour.unset_hides)),
        (is_large, Hidden("large box", behaviour.large_box_hides)),
        (is_list, Hidden("list", behaviour.list_hides, 11)),
    ]
    return tuple(hidden for applies, hidden in draws if applies and hidden.share)


def _accuracies(params: Mapping[str, str], behaviour: Behaviour) -> tuple[int, ...] | None:
    if "accuracy" not in params:
        # A photo without a geotag has accuracy 0 and is exempt from this rule.
        return (0, 16) if behaviour.accuracy_unset == "street" else None
    least = integer(params["accuracy"])
    return (least,) if behaviour.accuracy_given == "only" else tuple(range(max(least, 0), 17))


def _contents(params: Mapping[str, str]) -> tuple[int, ...] | None:
    if "content_types" in params:
        return integers(params["content_types"])
    return _CONTENT_TYPE.get(params.get("content_type", "7"))


def _safeties(params: Mapping[str, str], behaviour: Behaviour) -> tuple[int, ...]:
    if behaviour.safe_search == "safe":
        return (0,)
    return tuple(range(min(max(integer(params.get("safe_search", 1)), 1), 3)))


def parse_bbox(text: str) -> tuple[float, float, float, float]:
    """Return west, south, east, north of ``text`` [degrees].

    Raises:
        BadRequest: The text is not four numbers without spaces, or not west to east and south to
            north.
    """
    parts = text.split(",")
    if len(parts) != 4 or any(part != part.strip() for part in parts):
        raise BadRequest(f"bbox {text!r}")
    try:
        west, south, east, north = (float(part) for part in parts)
    except ValueError:
        raise BadRequest(f"bbox {text!r}") from None
    if not (west <= east and south <= north):
        raise BadRequest(f"bbox {text!r}")
    return west, south, east, north


def _cut(
    box: tuple[float, float, float, float], decimals: int
) -> tuple[float, float, float, float]:
    """Truncate edges to a number of decimals, towards zero."""
    scale = 10**decimals
    # Seven decimals of a float are exact to 1e-9; without rounding, 2.3 would become 2.299999.
    west, south, east, north = (math.trunc(round(v * scale, 3)) / scale for v in box)
    return west, south, east, north


def integer(text: object) -> int:
    """Parse an integer.

    Raises:
        BadRequest: It is not an integer.
    """
    try:
        return int(str(text))
    except ValueError:
        raise BadRequest(f"{text!r} is not a whole number") from None


def integers(text: str) -> tuple[int, ...]:
    """Parse integers separated by commas."""
    return tuple(integer(part) for part in text.split(","))


def seconds(text: str) -> int:
    """Return the Unix seconds of a date given as such or as MySQL's datetime (taken as UTC)."""
    if text.isdigit():
        return int(text)
    try:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise BadRequest(f"date {text!r}") from None


def local_time(text: str) -> str:
    """Return a date as ``YYYY-MM-DD HH:MM:SS``."""
    return f"{datetime.fromtimestamp(seconds(text), UTC):%Y-%m-%d %H:%M:%S}"
