"""Hyperparameters that fix the network's tensors and the preprocessing of its pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Literal, Self

from witw.cvig.network.backbones import OWN
from witw.cvig.network.heads import OriginalHead
from witw.cvig.network.sizes import STEM, view_columns
from witw.cvig.network.timm_backbone import facts
from witw.cvig.network.views import RADIUS_EXPONENT, photo_columns
from witw.settings.train import Train

ROWS = 64  # default rows of the polar view for own backbones
# Spread and middle of the pictures that the own backbones see, and torchvision's of ImageNet.
PLAIN = (0.45, 0.45, 0.45), (0.25, 0.25, 0.25)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Architecture:
    """Settings that determine the network's tensors and the preparation of pictures."""

    chip_m: float  # side of a chip on the ground [m]
    chip_px: int
    photo_px: int
    photo_fov_deg: float  # field of view of a photo without EXIF data
    headings: int  # columns of the overhead code; one of the head `global`
    polar_rows: int
    width: int
    blocks: int
    embed_dim: int  # length of a column's descriptor
    dropout: float
    backbone: str = "small"
    stride: int = 0  # pixels to a place of a timm backbone's features
    share_weights: bool = False
    head: Literal["polar", "global", "original"] = "polar"
    pooling: Literal["attention", "gem"] = "attention"
    projection: Literal["cylinder", "stretched"] = "cylinder"
    radius_exponent: float = RADIUS_EXPONENT
    photo_rows: int = 0
    photo_band: float = 1.0
    photo_span_deg: float = 0.0  # angle of a photo's view; 0: photo_fov_deg
    drop_path: float = 0.0
    mean: tuple[float, ...] = PLAIN[0]  # subtracted from red, green, blue, in 0..1
    std: tuple[float, ...] = PLAIN[1]  # divisor of red, green, blue, in 0..1
    vector_dim: int = 0  # length of the vector; 0: none

    def __post_init__(self) -> None:
        for name in ("mean", "std"):  # lists, where they come from JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @classmethod
    def of(cls, settings: Train, chip_m: float, chip_px: int, photo_px: int) -> Self:
        """Return the architecture for packed pictures of these sizes.

        Raises:
            UserError: timm has no such backbone, or the backbone cannot have this stride.
        """
        given = {"chip_m", "chip_px", "photo_px", "mean", "std"}
        chosen = {f.name: getattr(settings, f.name) for f in fields(cls) if f.name not in given}
        mean: tuple[float, ...]
        std: tuple[float, ...]
        if settings.backbone in OWN:
            mean, std = IMAGENET if settings.backbone == "original" else PLAIN
        else:
            about = facts(settings.backbone, settings.stride)
            chosen["stride"], mean, std = about.stride, about.mean, about.std
        shape = cls(chip_m=chip_m, chip_px=chip_px, photo_px=photo_px, mean=mean, std=std, **chosen)
        if shape.head == "global":
            return replace(shape, headings=1, vector_dim=0)
        if shape.head == "original":
            rows = shape.polar_view[0] // shape.pixels_a_place
            return replace(shape, embed_dim=OriginalHead.dim(rows), vector_dim=0)
        return shape

    @property
    def columns(self) -> int:
        """Number of columns of a photo's code."""
        return photo_columns(self.photo_span_deg or self.photo_fov_deg, self.headings)

    @property
    def span_deg(self) -> float:
        """Angle that the photo's columns span [degrees]."""
        if self.head == "global":
            return self.photo_span_deg or self.photo_fov_deg
        return self.columns * 360 / self.headings

    @property
    def pixels_a_place(self) -> int:
        """Pixels of a view per row of the features, if the head depends on it."""
        if self.backbone == "small":
            return STEM * (self.polar_view[1] // (STEM * self.headings))
        return 8 if self.backbone == "original" else self.stride

    @property
    def is_own(self) -> bool:
        """Whether the backbone is one of witw's own."""
        return self.backbone in OWN

    def _whole(self, pixels: float) -> int:
        """Round ``pixels`` to whole places of the features."""
        return max(1, round(pixels / self.stride)) * self.stride

    @property
    def photo_view(self) -> tuple[int, int]:
        """Rows and columns of the photo's view [px]."""
        if self.head == "global":
            return self._square(self.photo_px)
        if self.head == "original":  # its descriptor is of rows, so they must be as many
            rows, columns = self.polar_view
            return rows, self.columns * (columns // self.headings)
        if self.is_own:
            side = view_columns(self.columns, self.photo_px)
            return self.photo_rows or -(-side // 4) * 4, side
        # At the packed resolution, with at least as many places across as columns.
        side = max(self.columns * self.stride, self._whole(self.photo_px))
        # Square pixels, as in the pictures of the pretraining.
        square = side * 2 * self.photo_top / math.radians(self.span_deg)
        return self._whole(self.photo_rows or square), side

    @property
    def photo_top(self) -> float:
        """Tangent of elevation at the upper edge of the photo's view."""
        return self.photo_band * math.tan(math.radians(self.photo_fov_deg) / 2)

    @property
    def polar_view(self) -> tuple[int, int]:
        """Rows and columns of the overhead view [px]; four times as wide as high, or nearly."""
        if self.head == "global":
            return self._square(self.chip_px)
        if self.is_own:
            rows = self.polar_rows or ROWS
            return rows, view_columns(self.headings, 4 * rows)
        least = self.headings * self.stride  # every heading needs its own features
        rows = self._whole(self.polar_rows or least / 4)
        return rows, max(least, self._whole(4 * rows))

    def _square(self, packed: int) -> tuple[int, int]:
        """Return a whole picture's view: a side that the backbone divides into whole places."""
        side = -(-packed // 32) * 32 if self.is_own else self._whole(packed)
        return side, side
