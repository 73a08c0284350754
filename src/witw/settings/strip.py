"""An entry of ``strips``: a source raster, its bands and its alternative locations."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from witw.settings.base import NAME, FilePath, Section

Band = Annotated[int, Field(ge=1)]


def _grey(value: Any) -> Any:
    """Repeat a single band for red, green and blue."""
    return list(value) * 3 if isinstance(value, list | tuple) and len(value) == 1 else value


Bands = Annotated[
    tuple[Band, Band, Band],
    BeforeValidator(_grey, json_schema_input_type=tuple[Band, Band, Band] | tuple[Band]),
]
Share100 = Annotated[float, Field(ge=0, le=100)]
Nodata = Annotated[float, Field(allow_inf_nan=True)] | Literal["auto", "none"]


class _Located(Section):
    """Base of entries with a path; a bare string is the path."""

    path: FilePath

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @field_validator("path")
    @classmethod
    def _without_secrets(cls, value: str) -> str:
        return without_secrets(value)


class Usable(_Located):
    """A raster that marks usable pixels of a strip, such as Planet's UDM2."""

    path: FilePath = Field(
        description=(
            "File on the strip's pixel grid; for a set of tiles, a set with the same "
            "number of tiles, with `*`."
        )
    )
    band: Band = Field(1, description="Band with the marks. Band 1 of a UDM2 is `clear`.")
    usable: int = Field(1, description="Value of usable pixels; 0 for the older UDM.")


class Source(_Located):
    """One of several alternative locations of a strip."""

    path: FilePath = Field(description="As `path` of a strip.")
    bands: Bands | None = Field(None, description="Default: the strip's bands.")
    nodata: Nodata | None = Field(None, description="Default: the strip's `nodata`.")


class Strip(Section):
    """One source raster of an area, in any format that GDAL reads."""

    path: FilePath = Field(
        "",
        description=(
            "File, `s3://`, `gs://`, `az://` or `https://` address; with `*` it is a set "
            "of tiles read as one raster. `~` and `$NAME` are expanded as in a shell. A "
            "list is read as `any_of`."
        ),
    )
    any_of: tuple[Source, ...] = Field(
        (),
        description=(
            "Instead of `path`: alternative locations of the strip, each a path or a "
            "mapping of `path`, `bands` and `nodata`. The first that exists is used and "
            "recorded in the run folder (`results/AREA/strips/NAME.source.json`), so that "
            "later runs use the same one."
        ),
    )
    mask: Usable | None = Field(
        None,
        description=(
            "Raster of usable pixels: its path, or a mapping of `path`, `band` and "
            "`usable`. Other masks of the strip still apply."
        ),
    )
    tiles: str = Field(
        "",
        description=(
            "Instead of `path`: the address of a web-mercator tile service, with {z}, {x} "
            "and {y} (WMTS: {TileMatrix}, {TileCol}, {TileRow}). Its terms must allow "
            "storing tiles and using them this way. Tiles are kept in `journal/tiles`."
        ),
    )
    zoom: int = Field(18, ge=0, le=24, description="Tile service: zoom level.")
    attribution: str = Field(
        "", description="Tile service, required: the credit that its terms ask for."
    )
    max_tiles: int = Field(
        20_000,
        ge=1,
        description="Tile service: the run stops if the area needs more tiles than this.",
    )
    stac: str = Field(
        "",
        description=(
            "Instead of `path`: the address of a STAC API or of one item (`.json`). Each "
            "item found in the area becomes a strip of its own, with the newest on top. "
            "The items are recorded in the run folder, as for `any_of`."
        ),
    )
    collection: str = Field("", description="STAC: collection to search.")
    asset: str = Field("visual", description="STAC: asset of an item to read.")
    datetime: str = Field("", description="STAC: a date, or two dates separated by a slash.")
    items: tuple[str, ...] = Field((), description="STAC: ids of the items, instead of a search.")
    max_cloud_pct: Share100 | None = Field(
        None, description="STAC: items with more clouds (`eo:cloud_cover`) are left out [%]."
    )
    max_items: int = Field(
        20, ge=1, le=500, description="STAC: the run stops if more items than this are found."
    )
    name: str = Field("", description="Name in results/; default: derived from the path.")
    bands: Bands | None = Field(
        None,
        description=(
            "Bands for red, green and blue, counted from 1, or one band, shown as grey; "
            "default: the area's."
        ),
    )
    nodata: Nodata | None = Field(None, description="Default: the area's `nodata`.")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """Accept a bare path or a list of paths; name a strip after its file or tile folder."""
        data = {"path": value} if isinstance(value, str) else value
        if not isinstance(data, dict):
            return data
        if isinstance(data.get("path"), list):
            if data.get("any_of"):
                raise ValueError(
                    "`path` is a list although `any_of` is given too; use one of the two"
                )
            data = {k: v for k, v in data.items() if k != "path"} | {"any_of": data["path"]}
        first = data.get("path") or _first(data.get("any_of"))
        if not first and isinstance(data.get("tiles"), str):
            first = re.sub(r"^\w+://([^/:]*).*", r"\1", data["tiles"]).replace(".", "_")
        if not first and isinstance(data.get("stac"), str):
            first = data.get("collection") or data["stac"].rstrip("/")
        if isinstance(first, str) and not data.get("name"):
            path = PurePosixPath(first)
            stem = path.parent.name if "*" in path.name else path.name.split(".")[0]
            data = {**data, "name": re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_") or "strip"}
        return data

    @field_validator("tiles")
    @classmethod
    def _template(cls, value: str) -> str:
        sets = ({"z", "x", "y"}, {"TileMatrix", "TileCol", "TileRow"})
        if value and set(re.findall(r"\{(\w+)\}", value)) not in sets:
            raise ValueError("the address of a tile service must contain {z}, {x} and {y}")
        return value

    @field_validator("path", "stac", "tiles")
    @classmethod
    def _without_secrets(cls, value: str) -> str:
        return without_secrets(value)

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if value and not NAME.fullmatch(value):
            raise ValueError(
                f"{value!r} is not a name of at most 100 lower-case letters, digits and _, with a "
                "letter or digit first"
            )
        return value

    @model_validator(mode="after")
    def _somewhere(self) -> Strip:
        if sum(map(bool, (self.path, self.any_of, self.stac, self.tiles))) != 1:
            raise ValueError(
                "it must have one of `path` (a file or an address), `any_of`, `stac` and `tiles`"
            )
        if self.tiles and not self.attribution:
            raise ValueError(
                "a tile service needs `attribution`, the credit that its terms ask for"
            )
        return self

    @property
    def asked(self) -> dict[str, Any]:
        """Return the search parameters of a STAC entry."""
        keys = ("name", "stac", "collection", "asset", "datetime", "max_cloud_pct", "max_items")
        return {key: getattr(self, key) for key in keys} | {"items": list(self.items)}

    def of_file(self, path: str) -> Strip:
        """Return the strip of this tile service as read through its description file."""
        nodata = 0 if self.nodata is None else self.nodata
        return Strip(path=path, name=self.name, bands=self.bands or (1, 2, 3), nodata=nodata)

    def of_item(self, name: str, path: str) -> Strip:
        """Return the strip of one item of this STAC entry."""
        return Strip(path=path, name=name, bands=self.bands, nodata=self.nodata)

    def sources(self) -> tuple[Strip, ...]:
        """The strip once per alternative location, in config order; else the strip itself."""
        return tuple(
            Strip(
                path=one.path,
                name=self.name,
                bands=one.bands or self.bands,
                nodata=self.nodata if one.nodata is None else one.nodata,
                mask=self.mask,
            )
            for one in self.any_of
        ) or (self,)


def _first(places: Any) -> Any:
    first = places[0] if isinstance(places, list | tuple) and places else None
    return first.get("path") if isinstance(first, dict) else first


def without_secrets(value: str) -> str:
    """Return a path unchanged if it has no credentials: paths appear in logs and records.

    Raises:
        ValueError: It contains credentials.
    """
    if re.search(r"://[^/]*@|[?&](X-Amz-|AWSAccessKeyId|Signature|sig|token)", value, re.I):
        raise ValueError(
            "credentials do not belong in a path; set them in the environment (AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY for s3://, GDAL_HTTP_USERPWD or GDAL_HTTP_BEARER for "
            "https://)"
        )
    return value
