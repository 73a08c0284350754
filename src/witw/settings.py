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

    # Built when first used: a job uses one or two of them.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


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


# Published for Places365: the first five. The others are for whoever trained a better one.
PlacesArch = Literal[
    "resnet18",
    "wideresnet18",
    "resnet50",
    "alexnet",
    "densenet161",
    "resnet101",
    "resnet152",
    "convnext_tiny",
    "convnext_base",
    "efficientnet_v2_s",
    "vit_b_16",
]


class Scenes(Section):
    """The Places365 network behind the indoor/outdoor decision."""

    checkpoint: str = Field(
        "http://places2.csail.mit.edu/models_places365/resnet18_places365.pth.tar",
        description="Checkpoint in the published Places365 format: a path relative to the run "
        "folder, or an http(s) address.",
    )
    arch: PlacesArch = Field(
        "resnet18",
        description="Network of the checkpoint: wideresnet18, or torchvision's of that name with "
        "365 classes; alexnet, resnet18, resnet50, densenet161 and wideresnet18 are published. "
        "Preprocessing as in their scripts: 224 x 224 for wideresnet18, else 256 x 256 and the "
        "centre 224.",
    )
    sha256: str = Field(
        "",
        pattern=r"^([0-9a-f]{64})?$",
        description="What the checkpoint's SHA-256 must be; none given, any will do. It is in the "
        "log of `scenes`.",
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
    min_outdoor_mass: Share = Field(
        0.0,
        description="Beside the vote: least probability that all outdoor scenes have together; "
        "0: the vote alone decides, as published.",
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

    @field_validator("path")
    @classmethod
    def _without_secrets(cls, value: str) -> str:
        # A path is told in logs, in error texts and in Snakemake's records.
        if re.search(r"://[^/]*@|[?&](X-Amz-|AWSAccessKeyId|Signature|sig|token)", value, re.I):
            raise ValueError(
                "credentials do not belong in a path: give them in the environment "
                "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3://, GDAL_HTTP_USERPWD or "
                "GDAL_HTTP_BEARER for https://)"
            )
        return value

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

    backbone: str = Field(
        "small",
        pattern=r"[a-z0-9_.]+",
        description="Network of each tower: `small` (made for few pairs and processors), "
        "`original` (VGG16 up to its tenth convolution, as the original project had it), or a "
        "name in timm, such as `convnext_tiny` or `resnet50`.",
    )
    weights: str = Field(
        "none",
        description="Weights a backbone begins with: `none`, `timm` (downloaded by timm) or a "
        "local file, .safetensors or .pth. `small` has none.",
    )
    stride: Literal[4, 8, 16, 32] = Field(
        16, description="Pixels of a view to one place of a timm backbone's features."
    )
    share_weights: bool = Field(
        False, description="Whether both towers share their backbone's weights."
    )
    head: Literal["polar", "global", "original"] = Field(
        "polar",
        description="`polar`: columns of headings, slid around each other, which finds the "
        "heading; `global`: one vector a picture; `original`: the original project's, 16 channels "
        "of every remaining row, compared where the plain correlation is largest.",
    )
    pooling: Literal["attention", "gem"] = Field(
        "attention",
        description="How the head `global` pools: by learned maps (spatial softmax), or by the "
        "generalised mean.",
    )
    projection: Literal["cylinder", "stretched"] = Field(
        "cylinder",
        description="`cylinder`: equal columns of a photo are equal angles, never stretched; "
        "`stretched`: the whole photo, whatever its shape, fills the view, as in the original.",
    )
    radius_exponent: float = Field(
        1.5,
        ge=1,
        le=3,
        description="Row t of 1 of the polar view lies at this power of t of the chip's half "
        "side: above 1 is finer near the camera.",
    )
    width: int = Field(
        64,
        ge=8,
        multiple_of=8,
        description="Channels of the small backbone; doubled wherever it halves the resolution.",
    )
    blocks: int = Field(2, ge=1, description="Residual blocks at each resolution of `small`.")
    embed_dim: int = Field(
        128, ge=8, description="Length of a descriptor: a column's, or the global head's."
    )
    headings: int = Field(
        64, ge=8, description="Columns of the overhead code: 360 degrees over this is one column."
    )
    polar_rows: int = Field(
        64, ge=8, multiple_of=4, description="Rows of the polar overhead view, near to far [px]."
    )
    photo_rows: int = Field(
        0, ge=0, multiple_of=4, description="Rows of a photo's view; 0: as many as columns [px]."
    )
    photo_band: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of a square photo's height, about its middle, that the view shows: "
        "much of what a map knows is near the horizon, and a narrow band of it is fine at little "
        "cost.",
    )
    photo_fov_deg: float = Field(
        65.0,
        gt=0,
        lt=150,
        description="Field of view along its long side of a photo whose EXIF data do not tell "
        "the focal length [degrees].",
    )
    fov_jitter: float = Field(
        0.15,
        ge=0,
        lt=0.5,
        description="Augmentation: range of a field of view not known, +- share.",
    )
    loss: Literal["info_nce", "decoupled", "triplet"] = Field(
        "info_nce",
        description="Symmetric InfoNCE; the same without the own pair among the candidates; or "
        "the soft-margin triplet loss over all pairs of a batch, as in the original.",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of the target spread over all candidates."
    )
    triplet_alpha: float = Field(10.0, gt=0, description="Sharpness of the triplet loss.")
    mask_radius_m: float = Field(
        60.0,
        ge=0,
        description="Photos of an area nearer than this are not each other's negatives [m].",
    )
    epochs: int = Field(30, ge=1, description="Passes over the training pairs.")
    batch: int = Field(64, ge=2, description="Pairs a step, of all processes together.")
    micro_batch: int = Field(
        0,
        ge=0,
        description="Pairs a process takes at a time; a larger batch is done in such parts by "
        "gradient caching, with the gradients of the whole; 0: all at once.",
    )
    learning_rate: float = Field(2.5e-3, gt=0, description="Peak of the schedule.")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="What follows the warm-up: down to nothing along a cosine, or level."
    )
    warm_up: Share = Field(0.25, description="Share of all steps in which the rate rises.")
    weight_decay: float = Field(0.05, ge=0, description="AdamW weight decay, of matrices only.")
    clip_norm: float = Field(1.0, ge=0, description="Largest norm of the gradients; 0: any.")
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of the weights' moving average, which is then what is validated and "
        "saved; 0: the weights themselves.",
    )
    bucket_m: float = Field(
        0.0,
        ge=0,
        description="Of the photos within a square of this side an epoch takes one, in turn by "
        "lot; 0: all [m].",
    )
    hard_every: int = Field(
        0,
        ge=0,
        description="Epochs after which hard batches are composed anew with the network as it "
        "is then; the epochs before the first are random; 0: all are.",
    )
    hard_share: Share = Field(0.5, description="Share of a hard batch that is one cluster.")
    shift_m: float = Field(4.0, ge=0, description="Augmentation: sigma of the chip's shift [m].")
    zoom: float = Field(0.1, ge=0, lt=1, description="Augmentation: range of the chip's zoom.")
    colour: float = Field(
        0.15, ge=0, lt=1, description="Augmentation: range of gain, offset and colour cast."
    )
    erase: Share = Field(0.25, description="Augmentation: chance that columns are erased.")
    dropout: Share = Field(0.05, description="Dropout of the descriptors.")
    compile: bool = Field(
        True, description="Whether the towers are compiled; on a GPU only, where it pays."
    )
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
