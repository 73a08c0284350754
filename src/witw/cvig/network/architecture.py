"""Hyperparameters that fix the network's tensors and the preprocessing of its pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Literal, Self

from witw.cvig.network.backbones import STEM, view_columns
from witw.cvig.network.heads import OriginalHead
from witw.cvig.network.views import RADIUS_EXPONENT, photo_columns
from witw.settings.train import Train


@dataclass(frozen=True)
class Architecture:
    """What fixes the network's tensors and how pictures are prepared for it."""

    chip_m: float  # side of a chip on the ground [m]
    chip_px: int
    photo_px: int
    photo_fov_deg: float  # of a photo of which it is not known
    headings: int  # columns of the overhead code; one of the head `global`
    polar_rows: int
    width: int
    blocks: int
    embed_dim: int  # length of a column's descriptor
    dropout: float
    backbone: str = "small"
    stride: int = 16
    share_weights: bool = False
    head: Literal["polar", "global", "original"] = "polar"
    pooling: Literal["attention", "gem"] = "attention"
    projection: Literal["cylinder", "stretched"] = "cylinder"
    radius_exponent: float = RADIUS_EXPONENT
    photo_rows: int = 0
    photo_band: float = 1.0

    @classmethod
    def of(cls, settings: Train, chip_m: float, chip_px: int, photo_px: int) -> Self:
        """Architecture for packed pictures of these sizes."""
        given = {"chip_m", "chip_px", "photo_px"}
        chosen = {f.name: getattr(settings, f.name) for f in fields(cls) if f.name not in given}
        shape = cls(chip_m=chip_m, chip_px=chip_px, photo_px=photo_px, **chosen)
        if shape.head == "global":
            return replace(shape, headings=1)
        if shape.head == "original":
            rows = shape.polar_rows // shape.pixels_a_place
            return replace(shape, embed_dim=OriginalHead.dim(rows))
        return shape

    @property
    def columns(self) -> int:
        """Columns of a photo's code."""
        return photo_columns(self.photo_fov_deg, self.headings)

    @property
    def span_deg(self) -> float:
        """Angle the photo's columns span [degrees]."""
        if self.head == "global":
            return self.photo_fov_deg
        return self.columns * 360 / self.headings

    @property
    def pixels_a_place(self) -> int:
        """Pixels of a view to one row of the features, where the head depends on it."""
        if self.backbone == "small":
            return STEM * (self.polar_view[1] // (STEM * self.headings))
        return 8 if self.backbone == "original" else self.stride

    @property
    def photo_view(self) -> tuple[int, int]:
        """Rows and columns of the photo's view [px]."""
        if self.head == "global":
            side = -(-self.photo_px // 32) * 32
            return side, side
        side = view_columns(self.columns, self.photo_px)
        if self.head == "original":  # its descriptor is of rows, so they must be as many
            return self.polar_rows, self.columns * (self.polar_view[1] // self.headings)
        return self.photo_rows or -(-side // 4) * 4, side

    @property
    def photo_top(self) -> float:
        """Tangent of elevation at the upper edge of the photo's view."""
        return self.photo_band * math.tan(math.radians(self.photo_fov_deg) / 2)

    @property
    def polar_view(self) -> tuple[int, int]:
        """Rows and columns of the overhead view [px]; four times as wide as high, or nearly."""
        if self.head == "global":
            side = -(-self.chip_px // 32) * 32
            return side, side
        return self.polar_rows, view_columns(self.headings, 4 * self.polar_rows)
