"""Load and validate ``config.yaml``; report mistakes by area and key.

The sections of the config are in :mod:`witw.settings`. The JSON schema and the reference page in
``docs/`` are generated from these models (``docs/generate.py``). The config holds only settings
that affect results; cores, memory and partitions are in profiles.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from witw.errors import UserError
from witw.geo import check_utm, utm_epsg
from witw.ground import extent, shapes
from witw.mistakes import areas
from witw.mistakes.keys import sentence
from witw.settings.base import NAME, FilePath, Section, as_the_shell
from witw.settings.chips import Chips
from witw.settings.dataset import Dataset
from witw.settings.download import Download
from witw.settings.evaluate import Evaluate
from witw.settings.flickr import Flickr
from witw.settings.index import Index
from witw.settings.pack import Pack
from witw.settings.pairs import Pairs
from witw.settings.photos import PhotoSource, as_list, check_apart
from witw.settings.scenes import Scenes
from witw.settings.search import Search
from witw.settings.stretch import Stretch
from witw.settings.strip import Bands, Nodata, Strip
from witw.settings.train import Train
from witw.settings.utm import Utm

# Folders of results/ that are not AOIs.
RESERVED = frozenset(
    {
        "dataset",
        "export",
        "pack",
        "model",
        "evaluation",
        "index",
        "locate",
        "loo",
        "report",
        "total",
    }
)

MOST_BUFFER_M = 100_000

Photos = Annotated[
    list[PhotoSource], BeforeValidator(as_list), AfterValidator(check_apart), Field(min_length=1)
]


class AoiDefaults(Section):
    """Keys of `defaults:`, which every area may override."""

    satellite: str = Field(
        "",
        description="Satellite of the imagery, for documentation. `made` marks synthetic imagery "
        "and photos; the report then says so.",
    )
    imagery_license: str = Field("", description="Licence of the imagery, for the data card.")
    split: Literal["train", "val", "test"] = Field(
        "train", description="Part of the data set; splits are by whole city."
    )
    shards: int = Field(
        8, ge=1, le=4096, description="Number of shards of an area's photos, by sha1(id)."
    )
    bands: Bands = Field(
        (5, 3, 2),
        description="Bands of red, green and blue, counted from 1, or one band, shown as grey.",
    )
    nodata: Nodata = Field(
        "auto",
        description="Value of pixels without data. `auto`: as the file declares; `none`: every "
        "pixel is data; a number: pixels with this value in all three bands. With `auto` or a "
        "number, a mask or an alpha band of the file also applies.",
    )
    extent: Literal["all", "photos"] = Field(
        "all",
        description="Part of the strips that is read and reprojected: `all`, or `photos` (only the "
        "chips of the listed photos, for few photos on large or remote strips). With `photos`, the "
        "stretch comes from an even sample of blocks. Only for training areas: an index needs all.",
    )
    mosaic: Literal["order", "best"] = Field(
        "order",
        description="Topmost strip where strips overlap: `order` takes the first of `strips`, "
        "`best` the strip with the least haze and cloud in the overlap.",
    )
    photos: Photos = Field(
        [PhotoSource(flickr=True)],
        description="Source of the photos, or a list of sources.",
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

    city: str = Field("", description="Name for people; default: the area's name.")
    bbox_deg: tuple[float, float, float, float] = Field(
        description="west, south, east, north, EPSG:4326 [degrees], unless `area` is given. A box "
        "across the 180th meridian has west > east, such as 179, -17, -179, -16. Default: the box "
        "around the strips, if they are local files.",
    )
    epsg: int | None = Field(
        None, description="UTM zone of the area's rasters; default: the zone of the box's centre."
    )
    strips: list[Strip] = Field(
        min_length=1,
        description="Source rasters; `mosaic` selects the topmost strip where they overlap.",
    )

    area: str | dict[str, Any] | list[Any] | None = Field(
        None,
        description="Instead of `bbox_deg`: a file of polygons (GeoJSON, GeoPackage, ...), a "
        "GeoJSON geometry, a list of boxes (west, south, east, north each), or the corners of a "
        "polygon (lon, lat each). A changed file reruns its area.",
    )
    buffer_m: float = Field(
        0, ge=0, le=MOST_BUFFER_M, description="Distance by which the area is enlarged [m]."
    )

    @model_validator(mode="before")
    @classmethod
    def _shaped(cls, value: Any) -> Any:
        """Read the shape, and insert its bounding box."""
        if not isinstance(value, Mapping):
            return value
        area, margin = value.get("area"), value.get("buffer_m") or 0
        if area is None and not margin:
            return value
        if area is not None and not area and not isinstance(area, int):
            raise ValueError(f"`area` is empty, its shape is missing: {shapes.EXAMPLE}")
        if area is not None and value.get("bbox_deg") is not None:
            raise ValueError("there are `bbox_deg` and `area`: give one of the two")
        is_box = shapes.is_box(value.get("bbox_deg"))
        if not _is_margin(margin) or (area is None and not is_box):
            return value  # reported as a mistake in `buffer_m` or `bbox_deg`
        if isinstance(area, str):
            area = as_the_shell(area)
        if area is None:
            area = [shapes.checked_box(value["bbox_deg"])]
        return {**value, "area": area, "bbox_deg": shapes.of(area, margin).bbox_deg}

    @field_validator("bbox_deg")
    @classmethod
    def _box(cls, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        return shapes.checked_box(box)

    @model_validator(mode="after")
    def _in_its_zone(self) -> Self:
        if self.epsg is not None:
            check_utm(self.epsg, self.bbox_deg)
        return self

    @model_validator(mode="after")
    def _distinct_strips(self) -> Self:
        names = [strip.name for strip in self.strips]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two strips are named {twice[0]!r}: give each a `name`")
        return self

    @model_validator(mode="after")
    def _whole_if_indexed(self) -> Self:
        if self.split != "train" and self.extent == "photos":
            raise ValueError(
                f"`extent: photos` leaves most of a {self.split} area without imagery, and its "
                "index needs all: set `extent: all`"
            )
        return self

    def has_photos_of(self, *kinds: str) -> bool:
        """Tell whether the area has a source of one of these kinds."""
        return any(source.kind in kinds for source in self.photos)

    @property
    def ground(self) -> shapes.Ground:
        """Shape of the area."""
        if self.area is None:
            return shapes.Ground(self.bbox_deg)
        return shapes.of(self.area, self.buffer_m)

    @property
    def utm_epsg(self) -> int:
        """EPSG code of the area's UTM zone."""
        west, south, east, north = self.bbox_deg
        return self.epsg or utm_epsg((west + east) / 2, (south + north) / 2)


class Config(Section):
    """All of `config.yaml`, with the defaults merged into every area."""

    model: FilePath = Field(
        "",
        description="An existing model: its file, or `hf://OWNER/NAME`. The run then prepares and "
        "indexes the areas' imagery for `witw locate`, without search, download, training or key. "
        "Empty: the run trains its own model.",
    )
    flickr: Flickr = Field(Flickr(), description=Flickr.__doc__)
    defaults: AoiDefaults = Field(
        default_factory=AoiDefaults,
        description="Values that replace the defaults below, for all areas.",
    )
    aois: dict[str, Aoi] = Field(min_length=1, description="The areas, by name.")
    dataset: Dataset = Field(Dataset(), description=Dataset.__doc__)
    pack: Pack = Field(Pack(), description=Pack.__doc__)
    train: Train = Field(Train(), description=Train.__doc__)
    index: Index = Field(Index(), description=Index.__doc__)
    evaluate: Evaluate = Field(Evaluate(), description=Evaluate.__doc__)

    @model_validator(mode="after")
    def _whole_areas(self) -> Self:
        sparse = [name for name, area in self.aois.items() if area.extent == "photos"]
        if self.model and sparse:
            raise ValueError(
                f"`model` searches whole areas, and area {sparse[0]!r} has `extent: photos`: set "
                "`extent: all`"
            )
        return self

    @property
    def chip_m(self) -> float:
        """Side of a chip on the ground [m], the same for every area of one network.

        Raises:
            UserError: areas differ.
        """
        sides = {
            round(a.chips.size_px * a.utm.gsd_m, 6): name for name, a in sorted(self.aois.items())
        }
        if len(sides) > 1:
            text = ", ".join(f"{side:g} m ({name})" for side, name in sides.items())
            raise UserError(
                f"Chips differ in size on the ground ({text}), and a network needs equal chips: "
                "set `chips.size_px` times `utm.gsd_m` to one value."
            )
        return next(iter(sides))


def _is_margin(value: Any) -> bool:
    """Return whether a buffer is one that validation accepts."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= MOST_BUFFER_M


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` overlaid with ``over``; mappings merge key by key, other values replace."""
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        out[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return out


def load(raw: Mapping[str, Any], source: str = "config.yaml") -> Config:
    """Validate a parsed config and merge ``defaults`` into every area.

    Args:
        raw: content of the YAML file.
        source: name of the file, for error messages.

    Raises:
        UserError: one sentence naming the file, the area and the key.
    """
    data = dict(raw)
    defaults = data.get("defaults") or {}
    if not isinstance(defaults, Mapping):
        raise UserError(f"{source}: `defaults` must be a mapping of keys.")
    aois = _areas(data, source)
    # The defaults first: a mistake there is reported once, not once for every AOI.
    _validate(AoiDefaults, defaults, source, ("defaults",))
    named = {n: {"city": n.replace("_", " ").title(), **b} for n, b in aois.items()}
    data["defaults"] = defaults
    merged = {n: merge(_without_photos(defaults, b), b) for n, b in named.items()}
    data["aois"] = {n: _placed(n, body, source) for n, body in merged.items()}
    config = _validate(Config, data, source, ())
    areas.check_apart(
        {name: area.ground for name, area in config.aois.items()},
        {name: area.split for name, area in config.aois.items()},
        source,
    )
    return config


def _placed(aoi: str, body: dict[str, Any], source: str) -> dict[str, Any]:
    """Add the extent of its local imagery to an area without `bbox_deg` and `area`."""
    # An unknown key may be a misspelt `bbox_deg`: validation reports it first.
    if (
        "bbox_deg" in body
        or body.get("area") is not None
        or not Aoi.model_fields.keys() >= body.keys()
    ):
        return body
    box = extent.of_imagery(aoi, body, source)
    return body if box is None else {**body, "bbox_deg": box}


def _without_photos(defaults: Mapping[str, Any], body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Drop the sources of `defaults` if an area has its own; a merge would mix both."""
    return {k: v for k, v in defaults.items() if k != "photos" or "photos" not in body}


def _areas(data: Mapping[str, Any], source: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the checked section ``aois``.

    Raises:
        UserError: the section is missing, or is not a mapping of areas.
    """
    aois = data.get("aois")
    if "aois" not in data:
        near = [key for key in data if difflib.get_close_matches(str(key).lower(), ["aois"])]
        found = f"the unknown key `{near[0]}` should be `aois`" if near else "it is missing"
        raise UserError(f"{source}: `aois` must name at least one area; {found}.")
    if isinstance(aois, list) and aois:
        raise UserError(
            f"{source}: `aois` is a list, and must be a mapping with a key for each area: remove "
            "the dashes and write `oslo:`, with its keys indented below."
        )
    if not isinstance(aois, Mapping) or not aois:
        raise UserError(f"{source}: `aois` must name at least one area (see docs/config.md).")
    for name, body in aois.items():
        if not isinstance(name, str) or not NAME.fullmatch(name) or name in RESERVED:
            raise UserError(
                f"{source}: area name {name!r} must be at most 100 lower-case letters, digits and "
                f"_, with a letter or digit first, and none of {', '.join(sorted(RESERVED))}."
            )
        if not isinstance(body, Mapping):
            raise UserError(
                f"{source}: area {name!r} must be a mapping of keys, at least `bbox_deg` and "
                "`strips`."
            )
    return aois


def _validate[M: Section](
    model: type[M], data: Mapping[str, Any], source: str, where: tuple[str, ...]
) -> M:
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise UserError(sentence(error, model, source, where, Aoi)) from None
