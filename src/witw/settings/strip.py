"""An entry of ``strips``: a source raster, its bands, and where else it may lie."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from witw.settings.base import NAME, FilePath, Section

Band = Annotated[int, Field(ge=1)]


def _grey(value: Any) -> Any:
    """One band is shown as grey: red, green and blue alike."""
    return list(value) * 3 if isinstance(value, list | tuple) and len(value) == 1 else value


Bands = Annotated[
    tuple[Band, Band, Band],
    BeforeValidator(_grey, json_schema_input_type=tuple[Band, Band, Band] | tuple[Band]),
]
Share100 = Annotated[float, Field(ge=0, le=100)]
Nodata = float | Literal["auto", "none"]


class _Located(Section):
    """What lies at a path; a bare string is that path."""

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
    """A raster that says which pixels of a strip are usable, such as Planet's UDM2."""

    path: FilePath = Field(
        description="On the strip's grid of pixels; for a set of tiles as many, with `*`."
    )
    band: Band = Field(1, description="Its band. Band 1 of a UDM2 is `clear`.")
    usable: int = Field(1, description="Value of usable pixels; 0 for an older UDM.")


class Source(_Located):
    """One of several places where a strip may lie."""

    path: FilePath = Field(description="As `path` of a strip.")
    bands: Bands | None = Field(None, description="Default: those of the strip.")
    nodata: Nodata | None = Field(None, description="Default: that of the strip.")


class Strip(Section):
    """One source raster of an area: anything GDAL reads."""

    path: FilePath = Field(
        "",
        description="File, `s3://`, `gs://`, `az://` or `https://` address; with `*` it is a set "
        "of tiles that are read as one raster. `~` and `$NAME` are put in as a shell would. A "
        "list is read as `any_of`.",
    )
    any_of: tuple[Source, ...] = Field(
        (),
        description="Instead of `path`: places where the strip may lie, each a path or `path`, "
        "`bands` and `nodata`. The first that exists is taken and recorded in the run folder "
        "(`results/AREA/strips/NAME.source.json`), so that later runs take the same.",
    )
    mask: Usable | None = Field(
        None,
        description="Raster of usable pixels, its path or `path`, `band` and `usable`; what else "
        "hides pixels counts as well.",
    )
    tiles: str = Field(
        "",
        description="Instead of `path`: a tile service in web mercator, its address with {z}, {x} "
        "and {y} (WMTS: {TileMatrix}, {TileCol}, {TileRow}). Its "
        "terms must allow that tiles are stored and used so. Tiles are kept in `journal/tiles`.",
    )
    zoom: int = Field(18, ge=0, le=24, description="Of a tile service: the level.")
    attribution: str = Field(
        "", description="Of a tile service, required: whom its terms want named."
    )
    max_tiles: int = Field(
        20_000, ge=1, description="Of a tile service: with more tiles over the area the run stops."
    )
    stac: str = Field(
        "",
        description="Instead of `path`: the address of a STAC API, or of one item (`.json`). Each "
        "item found in the area is a strip of its own, the newest on top. What is found is "
        "recorded in the run folder, as with `any_of`.",
    )
    collection: str = Field("", description="Of a STAC: the collection that is searched.")
    asset: str = Field("visual", description="Of a STAC: the asset of an item that is read.")
    datetime: str = Field("", description="Of a STAC: a date, or two with a slash between them.")
    items: tuple[str, ...] = Field((), description="Of a STAC: ids of the items; then no search.")
    max_cloud_pct: Share100 | None = Field(
        None, description="Of a STAC: items with more clouds (`eo:cloud_cover`) are left out [%]."
    )
    max_items: int = Field(
        20, ge=1, le=500, description="Of a STAC: if more items are found, the run stops."
    )
    name: str = Field("", description="Name in results/; default: made from the path.")
    bands: Bands | None = Field(
        None,
        description="Bands for red, green, blue, counted from 1, or one band, shown as grey; "
        "default: the area's.",
    )
    nodata: Nodata | None = Field(None, description="Default: the area's `nodata`.")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """Accept a bare path or a list of them; name a strip after its file (tiles: its folder)."""
        data = {"path": value} if isinstance(value, str) else value
        if not isinstance(data, dict):
            return data
        if isinstance(data.get("path"), list):
            if data.get("any_of"):
                raise ValueError("`path` is a list and there is `any_of`: give one of the two")
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
            raise ValueError("the address of a tile service must hold {z}, {x} and {y}")
        return value

    @field_validator("path", "stac", "tiles")
    @classmethod
    def _without_secrets(cls, value: str) -> str:
        return without_secrets(value)

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if value and not NAME.fullmatch(value):
            raise ValueError(f"{value!r} is not a name of lower-case letters, digits and _")
        return value

    @model_validator(mode="after")
    def _somewhere(self) -> Strip:
        if sum(map(bool, (self.path, self.any_of, self.stac, self.tiles))) != 1:
            raise ValueError(
                "it must have one of `path` (a file or an address), `any_of`, `stac` and `tiles`"
            )
        if self.tiles and not self.attribution:
            raise ValueError("a tile service needs `attribution`: whom its terms want named")
        return self

    @property
    def asked(self) -> dict[str, Any]:
        """What a STAC is asked for."""
        keys = ("name", "stac", "collection", "asset", "datetime", "max_cloud_pct", "max_items")
        return {key: getattr(self, key) for key in keys} | {"items": list(self.items)}

    def of_file(self, path: str) -> Strip:
        """The strip of this tile service, by the file that describes it."""
        nodata = 0 if self.nodata is None else self.nodata
        return Strip(path=path, name=self.name, bands=self.bands or (1, 2, 3), nodata=nodata)

    def of_item(self, name: str, path: str) -> Strip:
        """The strip of one item of this STAC."""
        return Strip(path=path, name=name, bands=self.bands, nodata=self.nodata)

    def sources(self) -> tuple[Strip, ...]:
        """The strip read from each of its places, in the order of the config; else itself."""
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
    """A path as it is; it is told in logs, in error texts and in Snakemake's records.

    Raises:
        ValueError: it carries credentials.
    """
    if re.search(r"://[^/]*@|[?&](X-Amz-|AWSAccessKeyId|Signature|sig|token)", value, re.I):
        raise ValueError(
            "credentials do not belong in a path: give them in the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3://, GDAL_HTTP_USERPWD or "
            "GDAL_HTTP_BEARER for https://)"
        )
    return value
