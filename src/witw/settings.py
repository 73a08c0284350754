"""The sections of ``config.yaml``: what a stage reads, with names, defaults, units and meaning."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_serializer,
    field_validator,
    model_validator,
)

NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
Share = Annotated[float, Field(ge=0, le=1)]
Bands = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


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
    calls_per_hour: int = Field(
        3600,
        ge=1,
        le=3600,
        description="API calls in any hour, of all searches with this key on this machine "
        "together; 3,600 is what Flickr allows [calls].",
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
    audit: Share = Field(
        0.05,
        description="Further calls, as a share of those of the search, that ask at random upload "
        "dates whether photos are missing; 0: none.",
    )
    sweeps: int = Field(
        1,
        ge=1,
        le=4,
        description="Times the area is searched, each with other boxes: what one server does not "
        "know yet, another may.",
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
    max_slots: int = Field(
        32, ge=1, le=256, description="Requests under way at a photo host, at most."
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
        "script (resnet18: 256 x 256, centre crop 224; wideresnet18: 224 x 224).",
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
    engine: Literal["sweep", "gdal"] = Field(
        "sweep", description="witw's one-pass warper, or GDAL's (equal to one grey level)."
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


class Pack(Section):
    """Pictures as the network reads them."""

    chip_px: int = Field(
        256, ge=16, multiple_of=2, description="Side of the packed chip, even [px]."
    )
    photo_px: int = Field(
        256, ge=16, description="Long side of the packed photo; never stretched, padded [px]."
    )


class Train(Section):
    """The twin network and its training."""

    width: int = Field(
        64, ge=8, description="Channels of the towers; doubled wherever they halve the resolution."
    )
    blocks: int = Field(2, ge=1, description="Residual blocks at each resolution.")
    embed_dim: int = Field(128, ge=8, description="Length of a column's descriptor.")
    headings: int = Field(
        64, ge=8, description="Columns of the overhead code: 360 degrees over this is one column."
    )
    polar_rows: int = Field(
        64, ge=8, multiple_of=4, description="Rows of the polar overhead view, near to far [px]."
    )
    photo_fov_deg: float = Field(
        65.0,
        gt=0,
        lt=150,
        description="Field of view taken for a photo, along its long side [degrees].",
    )
    fov_jitter: float = Field(
        0.15, ge=0, lt=0.5, description="Augmentation: range of the field of view taken, +- share."
    )
    epochs: int = Field(30, ge=1, description="Passes over the training pairs.")
    batch: int = Field(64, ge=2, description="Pairs a step.")
    learning_rate: float = Field(2.5e-3, gt=0, description="Peak of the one-cycle schedule.")
    weight_decay: float = Field(0.05, ge=0, description="AdamW weight decay.")
    mask_radius_m: float = Field(
        60.0,
        ge=0,
        description="Photos of an area nearer than this are not each other's negatives [m].",
    )
    shift_m: float = Field(4.0, ge=0, description="Augmentation: sigma of the chip's shift [m].")
    zoom: float = Field(0.1, ge=0, lt=1, description="Augmentation: range of the chip's zoom.")
    colour: float = Field(
        0.15, ge=0, lt=1, description="Augmentation: range of gain, offset and colour cast."
    )
    erase: Share = Field(0.25, description="Augmentation: chance that columns are erased.")
    dropout: Share = Field(0.05, description="Dropout of the descriptors.")
    checkpoint_minutes: float = Field(
        5.0, gt=0, description="An interrupted training loses at most this much [minutes]."
    )
    seed: int = Field(0, ge=0, description="Seed of weights, order and augmentation.")


class Index(Section):
    """The grid of cells a photo is searched on."""

    step_m: float = Field(
        28.0,
        gt=0,
        description="Distance between neighbouring cells, rounded to whole packed pixels [m].",
    )
