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
        description=(
            "Network of each tower: `small` (for few pairs and processors), `original` "
            "(VGG16 up to its tenth convolution, as in the original project), or a timm "
            "name such as `convnext_tiny` or `resnet50`."
        ),
    )
    weights: FilePath = Field(
        "none",
        description=(
            "Initial weights of a backbone: `none`, `timm` (downloaded by timm) or a "
            "local .safetensors or .pth file. `small` has none."
        ),
    )
    stride: Literal[0, 8, 16, 32] = Field(
        0,
        description=(
            "View pixels per feature of a timm backbone. 0 keeps the backbone's own "
            "stride (a transformer's patch size, 32 for most others). Where timm can "
            "dilate the last stages, 8 and 16 give finer features from the same weights "
            "at a higher cost."
        ),
    )
    share_weights: bool = Field(
        False, description="Whether both towers share their backbone's weights."
    )
    head: Literal["polar", "global", "original"] = Field(
        "polar",
        description=(
            "`polar`: columns of headings, matched at every rotation, which finds the "
            "heading. `global`: one vector per picture. `original`: the original "
            "project's head, 16 channels of every remaining row, compared where the plain "
            "correlation is largest."
        ),
    )
    pooling: Literal["attention", "gem"] = Field(
        "attention",
        description=(
            "Pooling of the head `global`: learned maps (spatial softmax) or the generalised mean."
        ),
    )
    projection: Literal["cylinder", "stretched"] = Field(
        "cylinder",
        description=(
            "`cylinder`: equal columns of a photo are equal angles, without stretching. "
            "`stretched`: the whole photo fills the view regardless of its shape, as in "
            "the original."
        ),
    )
    radius_exponent: float = Field(
        1.5,
        ge=1,
        le=3,
        description=(
            "Exponent of the radius: row t (0 to 1) of the polar view lies at t to this "
            "power of the chip's half side. Above 1 the view is finer near the camera."
        ),
    )
    width: int = Field(
        64,
        ge=8,
        multiple_of=8,
        description="Channels of the small backbone, doubled wherever the resolution is halved.",
    )
    blocks: int = Field(2, ge=1, description="Residual blocks at each resolution of `small`.")
    embed_dim: int = Field(
        128,
        ge=8,
        description="Length of a descriptor: of one column, or of the global head's vector.",
    )
    vector_dim: int = Field(
        256,
        ge=0,
        le=1024,
        description=(
            "Length of an additional vector per picture for the head `polar`. It finds "
            "candidates, whose columns are then compared; 0: none."
        ),
    )
    vector_weight: float = Field(
        0.5,
        ge=0,
        description="Weight of the loss of the vectors; the columns' loss has weight 1.",
    )
    headings: int = Field(
        64,
        ge=8,
        description="Columns of the overhead code; each covers 360 degrees divided by this number.",
    )
    polar_rows: int = Field(
        0,
        ge=0,
        description=(
            "Rows of the polar overhead view, near to far, rounded to whole features of "
            "the backbone. 0 means 64 or, for a timm backbone, a quarter of its columns, "
            "which are `headings` times its stride [px]."
        ),
    )
    photo_rows: int = Field(
        0, ge=0, multiple_of=4, description="Rows of a photo's view; 0: equal to its columns [px]."
    )
    photo_band: float = Field(
        1.0,
        gt=0,
        le=1,
        description=(
            "Share of a square photo's height, about its middle, that the view shows. "
            "Most of what a map can confirm lies near the horizon, and a narrow band of "
            "it allows fine detail at little cost."
        ),
    )
    photo_fov_deg: float = Field(
        65.0,
        gt=0,
        lt=150,
        description=(
            "Field of view along the long side of a photo whose EXIF data lack the focal "
            "length [degrees]."
        ),
    )
    photo_span_deg: float = Field(
        0.0,
        ge=0,
        lt=150,
        description=(
            "Angle spanned by a photo's view, independent of the photo's own field of "
            "view; the part outside is cut off. 0: `photo_fov_deg` [degrees]."
        ),
    )
    fov_jitter: float = Field(
        0.15,
        ge=0,
        lt=0.5,
        description="Augmentation: relative range of an unknown field of view, plus or minus.",
    )
    loss: Literal["info_nce", "decoupled", "triplet"] = Field(
        "info_nce",
        description=(
            "Symmetric InfoNCE, the same without the own pair among the candidates, or "
            "the soft-margin triplet loss over all pairs of a batch, as in the original."
        ),
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Label smoothing: share of the target spread over all candidates.",
    )
    triplet_alpha: float = Field(10.0, gt=0, description="Sharpness of the triplet loss.")
    mask_radius_m: float = Field(
        60.0,
        ge=0,
        description=(
            "Photos closer than this are not each other's negatives, even across areas [m]."
        ),
    )
    epochs: int = Field(30, ge=1, description="Passes over the training pairs.")
    batch: int = Field(64, ge=2, description="Pairs per step, summed over all processes.")
    micro_batch: int = Field(
        0,
        ge=0,
        description=(
            "Pairs a process handles at a time. A larger batch is processed in such parts "
            "by gradient caching, with the gradients of the whole batch. 0: all at once."
        ),
    )
    learning_rate: float = Field(2.5e-3, gt=0, description="Peak of the schedule.")
    backbone_rate: float = Field(
        1.0,
        gt=0,
        le=1,
        description=(
            "Learning rate of the backbones as a share of `learning_rate`; pretrained "
            "weights need at most a tenth of the new heads' rate."
        ),
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Learning rate of each backbone block as a share of the next block's.",
    )
    freeze: int = Field(
        0,
        ge=0,
        description=(
            "Number of first backbone blocks, and the stem below them, whose weights stay frozen."
        ),
    )
    grad_checkpointing: bool = Field(
        False,
        description=(
            "Whether blocks of a timm backbone are recomputed in the backward pass; this "
            "needs about a third of the memory and a quarter more time."
        ),
    )
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="Schedule after the warm-up: cosine decay to zero, or constant."
    )
    warm_up: Share = Field(0.25, description="Share of all steps during which the rate rises.")
    weight_decay: float = Field(
        0.05, ge=0, description="AdamW weight decay, applied to matrices only."
    )
    clip_norm: float = Field(1.0, ge=0, description="Largest norm of the gradients; 0: unlimited.")
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "Decay of the moving average of the weights, which is then validated and "
            "saved; 0: the weights themselves."
        ),
    )
    bucket_m: float = Field(
        0.0,
        ge=0,
        description=(
            "An epoch takes one photo per square of this side, in random turn; 0: all photos [m]."
        ),
    )
    owner_cap: int = Field(
        0,
        ge=0,
        description="Largest number of photos per owner in an epoch, in random turn; 0: all.",
    )
    hard_every: int = Field(
        0,
        ge=0,
        description=(
            "Epochs between updates of the hard batches, which use the network at that "
            "time. The epochs before the first update are random. 0: all epochs are "
            "random."
        ),
    )
    hard_share: Share = Field(
        0.5, description="Share of a hard batch that is drawn from one cluster."
    )
    shift_m: float = Field(
        4.0, ge=0, description="Augmentation: standard deviation of the chip's shift [m]."
    )
    zoom: float = Field(0.1, ge=0, lt=1, description="Augmentation: range of the chip's zoom.")
    colour: float = Field(
        0.15, ge=0, lt=1, description="Augmentation: range of gain, offset and colour cast."
    )
    fov_crop: Share = Field(
        0.0,
        description=(
            "Augmentation: probability that a photo is cropped to a narrower field of "
            "view, as with a longer lens."
        ),
    )
    fov_crop_deg: tuple[float, float] = Field(
        (40.0, 100.0),
        description=(
            "Augmentation: the narrowest and the widest of these fields of view; photos "
            "with a smaller one are not cropped [degrees]."
        ),
    )
    jpeg: Share = Field(
        0.0, description="Augmentation: probability of JPEG compression at quality 30 to 90."
    )
    blur: Share = Field(
        0.0, description="Augmentation: probability of blur with sigma 0.3 to 1.5 px."
    )
    grey: Share = Field(0.0, description="Augmentation: probability that a picture is turned grey.")
    erase: Share = Field(0.25, description="Augmentation: probability that columns are erased.")
    dropout: Share = Field(0.05, description="Dropout of the descriptors.")
    drop_path: float = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "Stochastic depth: probability that the last block of a timm backbone is "
            "skipped; it decreases linearly to the first block."
        ),
    )
    compile: bool = Field(
        True, description="Whether the towers are compiled, on a GPU only, where it pays."
    )
    checkpoint_minutes: float = Field(
        5.0, gt=0, description="Longest training time that an interruption may lose [minutes]."
    )
    seed: int = Field(0, ge=0, description="Seed of weights, order and augmentation.")

    @field_validator("fov_crop_deg")
    @classmethod
    def _range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] < 180:
            raise ValueError(f"{list(value)} must be two angles, the narrower one first")
        return value
