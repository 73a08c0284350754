"""Records of photos in the stand-in's responses to flickr.photos.search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from witw.demo.fake_flickr.behaviour import Behaviour
from witw.demo.fake_flickr.catalog.columns import Columns, Positions
from witw.demo.fake_flickr.catalog.draws import uniform

SMALL_PX = 240  # long side of the size with the suffix _m


def entries(
    columns: Columns, positions: Positions, extras: set[str], photo_host: str, behaviour: Behaviour
) -> list[Any]:
    """Return the ``photo`` list of a response.

    Args:
        columns: The catalog.
        positions: Photos in the order of the response.
        extras: The method's parameter of this name.
        photo_host: Scheme, host and port of the photo addresses.
        behaviour: Defines the types of fields and the broken records.
    """
    if not len(positions):
        return []
    sheet = _Sheet(columns, positions, behaviour.field_types == "documented")
    fields = sheet.fields(extras, photo_host)
    made: list[Any] = [
        dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)
    ]
    if "url_m" in extras:
        lacking = ~columns.by_name["has_url"][positions]
        if behaviour.missing_url:
            lacking |= uniform(sheet.ids, behaviour.seed, "no url") < behaviour.missing_url
        _drop(made, lacking.nonzero()[0].tolist(), ("url_m", "height_m", "width_m"))
    if "geo" in extras:
        _drop(made, (~columns.by_name["has_geo"][positions]).nonzero()[0].tolist(), _ONLY_TAGGED)
    if behaviour.malformed:
        broken = uniform(sheet.ids, behaviour.seed, "malformed") < behaviour.malformed
        kinds = uniform(sheet.ids, behaviour.seed, "kind") * len(MALFORMED)
        for n in broken.nonzero()[0].tolist():
            made[n] = list(MALFORMED.values())[int(kinds[n])](made[n])
    return made


INFO_EXTRAS = {"license", "date_upload", "date_taken", "owner_name", "geo", "media"}


def info(
    columns: Columns, position: Positions, photo_host: str, behaviour: Behaviour
) -> dict[str, Any]:
    """Return the ``photo`` object of flickr.photos.getInfo, shaped as in recordings."""
    sheet = _Sheet(columns, position, behaviour.field_types == "documented")
    said = {name: values[0] for name, values in sheet.fields(INFO_EXTRAS, photo_host).items()}
    made = {name: said[name] for name in ("id", "secret", "server", "farm", "license", "media")}
    made |= {
        "dateuploaded": str(said["dateupload"]),
        "owner": {"nsid": said["owner"], "username": said["ownername"], "realname": ""},
        "title": {"_content": said["title"]},
        "description": {"_content": ""},
        "visibility": {"ispublic": 1, "isfriend": 0, "isfamily": 0},
        "dates": {"posted": str(said["dateupload"]), "taken": said["datetaken"]},
    }
    if columns.by_name["has_geo"][position][0]:
        names = ("latitude", "longitude", "accuracy", "context")
        made["location"] = {name: str(said[name]) for name in names}
    return made


def _drop(made: list[Any], which: list[int], names: tuple[str, ...]) -> None:
    for n in which:
        for name in names:
            made[n].pop(name, None)


_NO_ONE = {"geo_is_contact": 0, "geo_is_friend": 0, "geo_is_family": 0}
# Fields that are absent without a geotag.
_ONLY_TAGGED = ("place_id", "woeid", "geo_is_public", *_NO_ONE)


class _Sheet:
    """The fields of some photos, column by column: several times as fast as photo by photo.

    Types differ between photos, as between recordings of different years.
    """

    def __init__(self, columns: Columns, positions: Positions, documented: bool) -> None:
        self._columns, self._positions = columns, positions
        self.ids = columns.id[positions]
        self._numbers: list[int] = self.ids.tolist()
        self._documented = documented
        self._odd = [not documented and number % 2 == 1 for number in self._numbers]

    def _read(self, name: str) -> list[Any]:
        return self._columns.rows(name, self._positions)

    def _all(self, **values: Any) -> dict[str, list[Any]]:
        return {name: [value] * len(self._odd) for name, value in values.items()}

    def _either(self, if_odd: list[Any], if_even: list[Any]) -> list[Any]:
        pairs = zip(self._odd, if_odd, if_even, strict=True)
        return [one if odd else other for odd, one, other in pairs]

    def _number(self, values: list[Any], text: bool = False) -> list[Any]:
        """Return numbers, as text for odd photos or everywhere."""
        as_text = [str(value) for value in values]
        return as_text if text else self._either(as_text, values)

    def fields(self, extras: set[str], host: str) -> dict[str, list[Any]]:
        """Return the values of each field, by its name."""
        servers, count = self._read("server"), len(self._odd)
        made: dict[str, list[Any]] = {
            "id": [str(number) for number in self._numbers],
            "owner": self._read("owner"),
            "secret": self._read("secret"),
            "server": servers,
            "farm": [66 if server == "65535" else 1 for server in servers],
            "title": self._read("title"),
            "ispublic": self._either(["1"] * count, [1] * count),
            **self._all(isfriend=0, isfamily=0),
        }
        made |= self._described(extras) | self._dated(extras)
        if "geo" in extras:
            made |= self._geo()
        if "media" in extras:
            made |= {"media": self._read("media"), **self._all(media_status="ready")}
        if "path_alias" in extras:
            made |= {"pathalias": self._either([""] * count, [None] * count)}
        return made | self._sizes(extras, host, made)

    def _described(self, extras: set[str]) -> dict[str, list[Any]]:
        made: dict[str, list[Any]] = {}
        if "license" in extras:
            made["license"] = self._number(self._read("license_id"), self._documented)
        if "description" in extras:
            made["description"] = [{"_content": ""} for _ in self._odd]
        if "owner_name" in extras:
            made["ownername"] = self._read("owner_name")
        if "icon_server" in extras:
            made |= self._all(iconserver="0", iconfarm=0)
        if "views" in extras:
            made["views"] = [str(number % 1000) for number in self._numbers]
        if "tags" in extras:
            made |= self._all(tags="")
        if "machine_tags" in extras:
            made |= self._all(machine_tags="")
        return made

    def _dated(self, extras: set[str]) -> dict[str, list[Any]]:
        made: dict[str, list[Any]] = {}
        upload = self._read("date_upload")
        if "date_upload" in extras:
            made["dateupload"] = [str(second) for second in upload]
        if "last_update" in extras:
            made["lastupdate"] = [str(second + 5) for second in upload]
        if "date_taken" in extras:
            made["datetaken"] = self._read("date_taken")
            zeros = [0] * len(upload)
            made["datetakengranularity"] = self._number(zeros)
            made["datetakenunknown"] = self._either(zeros, ["0"] * len(upload))
        return made

    def _geo(self) -> dict[str, list[Any]]:
        tagged = self._read("has_geo")
        lat, lon, accuracy = (
            [value if has else 0 for value, has in zip(self._read(name), tagged, strict=True)]
            for name in ("lat", "lon", "accuracy")
        )
        lat_text, lon_text = (
            [f"{value:.6f}" if value else "0" for value in values] for values in (lat, lon)
        )
        return {
            "latitude": lat_text if self._documented else self._either(lat_text, lat),
            "longitude": lon_text if self._documented else self._either(lon, lon_text),
            "accuracy": self._number(accuracy, self._documented),
            "context": self._read("context"),
            **self._all(place_id="", woeid="0", geo_is_public=1, **_NO_ONE),
        }

    def _sizes(
        self, extras: set[str], host: str, made: dict[str, list[Any]]
    ) -> dict[str, list[Any]]:
        width, height = self._read("width"), self._read("height")
        parts = zip(made["server"], made["id"], made["secret"], strict=True)
        stems = [f"{host}/{server}/{photo}_{secret}" for server, photo, secret in parts]
        sizes: dict[str, list[Any]] = {}
        if "o_dims" in extras:
            sizes["o_width"] = [str(4 * px) for px in width]
            sizes["o_height"] = [str(4 * px) for px in height]
        if "url_s" in extras:
            long_side = [max(sides) for sides in zip(width, height, strict=True)]
            sizes["url_s"] = [f"{stem}_m.jpg" for stem in stems]
            for name, side in (("height_s", height), ("width_s", width)):
                pairs = zip(side, long_side, strict=True)
                sizes[name] = [round(px * SMALL_PX / most) for px, most in pairs]
        if "url_m" in extras:
            sizes["url_m"] = [f"{stem}.jpg" for stem in stems]
            sizes["height_m"], sizes["width_m"] = self._number(height), width
        return sizes


def _with(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda entry: {**entry, **changes}


def _without(*names: str) -> Callable[[dict[str, Any]], Any]:
    return lambda entry: {k: v for k, v in entry.items() if k not in names}


# Kinds of broken records: the first ones leave no photo, the last ones are harmless.
MALFORMED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "null": lambda _: None,
    "text": lambda entry: str(entry["id"]),
    "list": lambda entry: [entry],
    "empty": lambda _: {},
    "no id": _without("id"),
    "null id": _with(id=None),
    "no upload": _without("dateupload"),
    "upload not a date": _with(dateupload="yesterday"),
    "no geotag": _without("latitude", "longitude", "accuracy"),
    "latitude in words": _with(latitude="north"),
    "latitude null": _with(latitude=None),
    "longitude beyond": _with(longitude="361.5"),
    "no licence": _without("license"),
    "licence in words": _with(license="CC BY"),
    "address elsewhere": _with(url_m="https://example.invalid/photo.jpg"),
    "address empty": _with(url_m="", height_m="", width_m=""),
    "no secret": _without("secret", "url_m"),
    "title as an object": lambda entry: {**entry, "title": {"_content": entry["title"]}},
    "id as a number": lambda entry: {**entry, "id": int(entry["id"])},
    "size in words": _with(height_m="tall", width_m=None),
}
