"""Section ``train``: the twin network and its training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from witw.settings.base import FilePath, Section, Share


class Train(Section):
    """The twin network and its training."""

    backbone: str = Field(
        "small",
        pattern=r"[a-z0-9_.]+",
        description="Network of each tower: `small` (made for few pairs and processors), "
        "`original` (VGG16 up to its tenth convolution, as the original project had it), or a "
        "name in timm, such as `convnext_tiny` or `resnet50`.",
    )
    weights: FilePath = Field(
        "none",
        description="Weights a backbone begins with: `none`, `timm` (downloaded by timm) or a "
        "local file, .safetensors or .pth. `small` has none.",
    )
    stride: Literal[0, 8, 16, 32] = Field(
        0,
        description="Pixels of a view to one place of a timm backbone's features; 0: as the "
        "backbone has it (a transformer its patch, most others 32). Where timm can dilate the last "
        "stages, 8 and 16 are finer features from the same weights, at more work.",
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
    vector_dim: int = Field(
        256,
        ge=0,
        le=1024,
        description="Length of the one vector a picture has beside the columns of the head "
        "`polar`: it finds the candidates whose columns are then compared; 0: none.",
    )
    vector_weight: float = Field(
        0.5,
        ge=0,
        description="Weight of the loss of the vectors; that of the columns is 1.",
    )
    headings: int = Field(
        64, ge=8, description="Columns of the overhead code: 360 degrees over this is one column."
    )
    polar_rows: int = Field(
        0,
        ge=0,
        description="Rows of the polar overhead view, near to far, rounded to whole places of the "
        "backbone's features; 0: 64, or of a timm backbone a quarter of its columns, which are "
        "`headings` times its stride [px].",
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
    photo_span_deg: float = Field(
        0.0,
        ge=0,
        lt=150,
        description="Angle that a photo's view spans, whatever its own field of view; what lies "
        "outside of it is cut off; 0: `photo_fov_deg` [degrees].",
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
        description="Photos nearer than this are not each other's negatives, whatever their areas "
        "[m].",
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
    backbone_rate: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Learning rate of the backbones as a share of `learning_rate`: pretrained "
        "weights want a tenth or less of what the new heads do.",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Learning rate of each block of the backbones as a share of the next one's.",
    )
    freeze: int = Field(
        0,
        ge=0,
        description="So many first blocks of the backbones, and the stem below them, keep the "
        "weights they came with.",
    )
    grad_checkpointing: bool = Field(
        False,
        description="Whether blocks of a timm backbone are computed again backward instead of "
        "kept: about a third of the memory, a quarter more time.",
    )
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
    owner_cap: int = Field(
        0,
        ge=0,
        description="Of the photos of one owner an epoch takes at most this many, in turn by lot; "
        "0: all.",
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
    fov_crop: Share = Field(
        0.0,
        description="Augmentation: chance that a photo is cut to a narrower field of view, as a "
        "longer lens would see it.",
    )
    fov_crop_deg: tuple[float, float] = Field(
        (40.0, 100.0),
        description="Augmentation: the narrowest and the widest of these fields of view; what a "
        "photo does not reach is not cut [degrees].",
    )
    jpeg: Share = Field(
        0.0, description="Augmentation: chance of JPEG compression, of quality 30 to 90."
    )
    blur: Share = Field(0.0, description="Augmentation: chance of blur, sigma 0.3 to 1.5 px.")
    grey: Share = Field(0.0, description="Augmentation: chance that a picture loses its colours.")
    erase: Share = Field(0.25, description="Augmentation: chance that columns are erased.")
    dropout: Share = Field(0.05, description="Dropout of the descriptors.")
    drop_path: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Stochastic depth: chance that the last block of a timm backbone is skipped, "
        "evenly less for those before it.",
    )
    compile: bool = Field(
        True, description="Whether the towers are compiled; on a GPU only, where it pays."
    )
    checkpoint_minutes: float = Field(
        5.0, gt=0, description="An interrupted training loses at most this much [minutes]."
    )
    seed: int = Field(0, ge=0, description="Seed of weights, order and augmentation.")

    @field_validator("fov_crop_deg")
    @classmethod
    def _range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] < 180:
            raise ValueError(f"{list(value)} must be two angles, the narrower one first")
        return value
