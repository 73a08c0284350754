"""Every key of ``config.yaml``: names, defaults, units and meaning, in one place.

The JSON schema and the reference page in ``docs/`` are generated from these models
(``python -m witw.docs``). Config is science only; cores, memory and partitions live in profiles.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from witw.errors import UserError
from witw.geo import utm_epsg

NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
# Folders of results/ that are not AOIs.
RESERVED = frozenset({"dataset", "pack", "model", "evaluation", "index", "locate", "report", "all"})

Share = Annotated[float, Field(ge=0, le=1)]
Bands = tuple[
    Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]
]


class Section(BaseModel):
    """A group of keys; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Flickr(Section):
    """The service that is asked; any server that speaks the API can stand in."""

    api_url: str = Field(
        "https://api.flickr.com/services/rest/", description="Address of the REST endpoint."
    )
    photo_hosts: list[str] = Field(
        ["live.staticflickr.com"],
        min_length=1,
        description="Hosts photos may be fetched from, as `host`, `host:port` or "
        "`http://host:port`; https only unless the entry says http or names a loopback address. "
        "The first one serves photos whose answer carries no address.",
    )
    contact: str = Field(
        "", description="E-mail or page of whoever runs this, sent in the User-Agent."
    )

    @field_validator("api_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if not re.match(r"https?://[^/\s]+", value):
            raise ValueError(f"{value!r} is not an http(s) address")
        return value


class Search(Section):
    """Which photos are listed."""

    snapshot: datetime = Field(
        datetime(2026, 11, 1, tzinfo=UTC),
        description="Photos uploaded up to this moment (UTC) are listed; moving it forward is "
        "how a search is refreshed.",
    )
    licenses: list[Annotated[int, Field(ge=0)]] = Field(
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
        min_length=1,
        description="Flickr licence ids that count as open (0 is all rights reserved).",
    )
    box_total: int = Field(
        20_000,
        ge=250,
        description="A box with more photos than this is split into four; smaller ones are paged "
        "through by upload date [photos].",
    )

    @field_validator("snapshot")
    @classmethod
    def _utc(cls, value: datetime) -> datetime:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    @field_serializer("snapshot")
    def _iso(self, value: datetime) -> str:
        return value.isoformat().replace("+00:00", "Z")

    @field_validator("licenses")
    @classmethod
    def _sorted(cls, value: list[int]) -> list[int]:
        return sorted(set(value))


class Download(Section):
    """How the 500 px files are fetched."""

    max_megabytes: float = Field(
        20.0, gt=0, description="A larger answer is refused [MB of 10^6 bytes]."
    )
    min_side_px: int = Field(64, ge=1, description="A photo with a shorter side is `corrupt` [px].")


class Scenes(Section):
    """The Places365 network behind the indoor/outdoor decision."""

    checkpoint: str = Field(
        "http://places2.csail.mit.edu/models_places365/resnet18_places365.pth.tar",
        description="Checkpoint in the published Places365 format: a path relative to the run "
        "folder, or an http(s) address.",
    )
    arch: Literal["resnet18", "wideresnet18"] = Field(
        "resnet18",
        description="Network of the checkpoint; each has the preprocessing of its published "
        "script (resnet18: resize 256, centre crop 224; wideresnet18: 224 x 224).",
    )


class Stretch(Section):
    """The 16 to 8 bit conversion, one for all strips of an AOI."""

    low_pct: float = Field(2.0, ge=0, lt=100, description="Percentile that becomes black [%].")
    high_pct: float = Field(98.0, gt=0, le=100, description="Percentile that becomes white [%].")
    eight_bit: Literal["keep", "stretch"] = Field(
        "keep", description="What happens to strips that are 8-bit already."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low_pct >= self.high_pct:
            raise ValueError(f"low_pct {self.low_pct} is not below high_pct {self.high_pct}")
        return self


class Utm(Section):
    """Reprojection to the AOI's UTM zone."""

    gsd_m: float = Field(0.3, gt=0, description="Pixel size; the grid is aligned to it [m].")
    resampling: Literal["lanczos", "cubic", "bilinear"] = Field(
        "lanczos", description="Resampling kernel."
    )


class Chips(Section):
    """The square of imagery centred on a photo."""

    size_px: int = Field(750, ge=16, description="Side [px]; times `utm.gsd_m` it is 225 m.")
    jpeg_quality: int = Field(95, ge=1, le=100, description="JPEG quality.")
    subsampling: Literal["4:4:4", "4:2:0"] = Field("4:4:4", description="JPEG chroma subsampling.")


class Pairs(Section):
    """When a photo and its chip become a pair."""

    min_outdoor_vote: Share = Field(
        0.5,
        description="Share of outdoor labels among the ten likeliest scenes from which a photo "
        "counts as outdoor (a tie is outdoor, as published).",
    )
    max_blank_fraction: Share = Field(
        0.1, description="Largest share of the chip that may lie off the imagery."
    )


class Strip(Section):
    """One source raster of an AOI: anything GDAL reads."""

    path: str = Field(
        description="File, `s3://` or `https://` address; with `*` it is a set of tiles that are "
        "read as one raster."
    )
    name: str = Field("", description="Name in results/; default: made from the path.")
    bands: Bands | None = Field(
        None, description="Bands for red, green, blue, counted from 1; default: the AOI's."
    )
    nodata: float | Literal["auto", "none"] | None = Field(
        None, description="Default: the AOI's `nodata`."
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """Accept a bare path, and name a strip after its file (a set of tiles: its folder)."""
        data = {"path": value} if isinstance(value, str) else value
        if isinstance(data, dict) and isinstance(data.get("path"), str) and not data.get("name"):
            path = PurePosixPath(data["path"])
            stem = path.parent.name if "*" in path.name else path.name.split(".")[0]
            data = {**data, "name": re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_") or "strip"}
        return data

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError(f"{value!r} is not a name of lower-case letters, digits and _")
        return value


class AoiDefaults(Section):
    """What `defaults:` may hold and every AOI may override."""

    satellite: str = Field("", description="Satellite of the imagery, for the record.")
    imagery_license: str = Field("", description="Licence of the imagery, for the data card.")
    split: Literal["train", "val", "test"] = Field(
        "train", description="Part of the data set; splits are by whole city."
    )
    shards: int = Field(
        8, ge=1, le=4096, description="Jobs an AOI's photos are divided into, by sha1(id)."
    )
    bands: Bands = Field((5, 3, 2), description="Bands for red, green, blue, counted from 1.")
    nodata: float | Literal["auto", "none"] = Field(
        "auto",
        description="Pixels without data: `auto` is what the file declares, `none` takes every "
        "pixel as data, a number is compared with all three bands.",
    )
    search: Search = Field(Search(), description=Search.__doc__)
    download: Download = Field(Download(), description=Download.__doc__)
    scenes: Scenes = Field(Scenes(), description=Scenes.__doc__)
    stretch: Stretch = Field(Stretch(), description=Stretch.__doc__)
    utm: Utm = Field(Utm(), description=Utm.__doc__)
    chips: Chips = Field(Chips(), description=Chips.__doc__)
    pairs: Pairs = Field(Pairs(), description=Pairs.__doc__)


class Aoi(AoiDefaults):
    """One area of interest."""

    city: str = Field("", description="Name for people; default: the AOI's name.")
    bbox_deg: tuple[float, float, float, float] = Field(
        description="west, south, east, north, EPSG:4326 [degrees]."
    )
    epsg: int | None = Field(
        None, description="UTM zone of the AOI's rasters; default: the one of the box's centre."
    )
    strips: list[Strip] = Field(
        min_length=1, description="Source rasters; where they overlap, the first lies on top."
    )

    @field_validator("bbox_deg")
    @classmethod
    def _box(cls, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        west, south, east, north = box
        if west >= east:
            raise ValueError(
                f"west {west} is not less than east {east}: give west, south, east, north "
                "(a box across the 180th meridian must be two AOIs)"
            )
        if south >= north:
            raise ValueError(
                f"south {south} is not less than north {north}: give west, south, east, north"
            )
        if west < -180 or east > 180 or south < -80 or north > 84:
            raise ValueError("the box leaves longitude -180..180 or UTM's latitude -80..84")
        return box

    @model_validator(mode="after")
    def _distinct_strips(self) -> Self:
        names = [strip.name for strip in self.strips]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two strips are named {twice[0]!r}: give each a `name`")
        return self

    @property
    def utm_epsg(self) -> int:
        """EPSG code of the AOI's UTM zone."""
        west, south, east, north = self.bbox_deg
        return self.epsg or utm_epsg((west + east) / 2, (south + north) / 2)


class Pack(Section):
    """Pictures as the network reads them."""

    chip_px: int = Field(256, ge=16, description="Side of the packed chip [px].")
    photo_px: int = Field(
        256, ge=16, description="Long side of the packed photo; never stretched, padded [px]."
    )


class Train(Section):
    """The twin network and its training."""

    head: Literal["polar"] = Field("polar", description="How the two towers are compared.")
    width: int = Field(64, ge=8, description="Channels of the towers.")
    embed_dim: int = Field(128, ge=8, description="Length of a column's descriptor.")
    headings: int = Field(
        32, ge=8, description="Columns of the polar overhead view: heading resolution."
    )
    polar_rows: int = Field(32, ge=8, description="Rows of the polar overhead view.")
    photo_fov_deg: float = Field(
        65.0, gt=0, lt=180, description="Horizontal field of view taken for a photo [degrees]."
    )
    epochs: int = Field(30, ge=1, description="Passes over the training pairs.")
    batch: int = Field(64, ge=2, description="Pairs a step.")
    learning_rate: float = Field(2.5e-3, gt=0, description="Peak of the one-cycle schedule.")
    weight_decay: float = Field(0.05, ge=0, description="AdamW weight decay.")
    mask_radius_m: float = Field(
        60.0, ge=0, description="Photos of a city nearer than this are not each other's negatives."
    )
    shift_m: float = Field(4.0, ge=0, description="Augmentation: sigma of the chip's shift [m].")
    zoom: float = Field(0.1, ge=0, lt=1, description="Augmentation: range of the chip's zoom.")
    erase: Share = Field(0.25, description="Augmentation: chance that columns are erased.")
    dropout: Share = Field(0.05, description="Dropout of the descriptors.")
    checkpoint_minutes: float = Field(
        5.0, gt=0, description="An interrupted training loses at most this much [minutes]."
    )
    seed: int = Field(0, ge=0, description="Seed of weights, order and augmentation.")


class Index(Section):
    """The grid of cells a photo is searched on."""

    step_m: float = Field(28.0, gt=0, description="Distance between neighbouring cells [m].")


class Config(Section):
    """The whole of `config.yaml`, defaults merged into every AOI."""

    flickr: Flickr = Field(Flickr(), description=Flickr.__doc__)
    defaults: AoiDefaults = Field(
        default_factory=AoiDefaults, description="Overrides of the defaults below, for every AOI."
    )
    aois: dict[str, Aoi] = Field(min_length=1, description="The areas, by name.")
    pack: Pack = Field(Pack(), description=Pack.__doc__)
    train: Train = Field(Train(), description=Train.__doc__)
    index: Index = Field(Index(), description=Index.__doc__)

    @property
    def chip_m(self) -> float:
        """Side of a chip on the ground [m], the same for every AOI of one network.

        Raises:
            UserError: AOIs differ.
        """
        sides = {
            round(a.chips.size_px * a.utm.gsd_m, 6): name for name, a in sorted(self.aois.items())
        }
        if len(sides) > 1:
            text = ", ".join(f"{side:g} m ({name})" for side, name in sides.items())
            raise UserError(f"Chips differ in size on the ground, so no network can train: {text}.")
        return next(iter(sides))


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``over`` laid on it; mappings merge key by key, all else replaces."""
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        out[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return out


def load(raw: Mapping[str, Any], source: str = "config.yaml") -> Config:
    """Validate a parsed config and merge ``defaults`` into every AOI.

    Args:
        raw: what the YAML file holds.
        source: its name, for error texts.

    Raises:
        UserError: one sentence naming the file, the AOI and the key.
    """
    data = dict(raw)
    defaults = data.get("defaults") or {}
    aois = data.get("aois")
    if not isinstance(defaults, Mapping):
        raise UserError(f"{source}: `defaults` must be a mapping of keys.")
    if not isinstance(aois, Mapping) or not aois:
        raise UserError(f"{source}: `aois` must name at least one area (see docs/config.md).")
    for name, body in aois.items():
        if not isinstance(name, str) or not NAME.fullmatch(name) or name in RESERVED:
            raise UserError(
                f"{source}: AOI name {name!r} must be lower-case letters, digits and _, "
                f"and none of {', '.join(sorted(RESERVED))}."
            )
        if not isinstance(body, Mapping):
            raise UserError(f"{source}: AOI {name!r} must be a mapping of keys.")
    # The defaults first: a mistake there is named once, not once for every AOI.
    _validate(AoiDefaults, defaults, source, ("defaults",))
    named = {n: {"city": n.replace("_", " ").title(), **b} for n, b in aois.items()}
    data["defaults"] = defaults
    data["aois"] = {n: merge(defaults, body) for n, body in named.items()}
    return _validate(Config, data, source, ())


def _validate[M: Section](
    model: type[M], data: Mapping[str, Any], source: str, where: tuple[str, ...]
) -> M:
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise UserError(_sentence(error, model, source, where)) from None


def _sentence(
    error: ValidationError, model: type[BaseModel], source: str, where: tuple[str, ...]
) -> str:
    """Turn pydantic's first finding into one sentence that names file, AOI and key."""
    first = error.errors(include_url=False)[0]
    loc = (*where, *(str(part) for part in first["loc"]))
    aoi = f"AOI {loc[1]!r}: " if loc[0] == "aois" and len(loc) > 1 else ""
    key = ".".join(loc[2:] if aoi else loc)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(loc[-1], _known_keys(model), n=1)
        hint = f"; did you mean `{near[0]}`?" if near else "; docs/config.md lists the keys."
        return f"{source}: {aoi}unknown key `{key}`{hint}"
    if first["type"] == "missing":
        return f"{source}: {aoi}the key `{key}` is missing; docs/config.md says what it holds."
    text = str(first["msg"]).removeprefix("Value error, ")
    return f"{source}: {aoi}`{key}`: {text}." if key else f"{source}: {aoi}{text}."


def _known_keys(model: type[BaseModel]) -> list[str]:
    """Every key name of a model and of the sections below it."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(name)
        sub = Aoi if name == "aois" else field.annotation
        if isinstance(sub, type) and issubclass(sub, BaseModel):
            keys += _known_keys(sub)
    return keys
