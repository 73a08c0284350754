"""The twin network: a tower for photos and one for chips, from pictures to codes and scores."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from witw.cvig.network.architecture import Architecture
from witw.cvig.network.augment import Jitter, erase, mirror, recolour, wear
from witw.cvig.network.backbones import Backbone, build
from witw.cvig.network.heads import (
    GlobalHead,
    OriginalHead,
    PolarHead,
    Standardise,
    correlate,
    plain_score,
    soft_score,
)
from witw.cvig.network.sizes import FEW_MAPS
from witw.cvig.network.views import column_mask, photo_view, polar_view, stretched_view, turned_view

PLACES = 12  # along a side of the small backbone's features, at most, of the head `global`
# Initial factor from score to logit. Whole codes of random weights agree by chance, so a factor as
# large as that of columns would first teach the network to blur all codes.
SCALE, GLOBAL_SCALE = 1 / 0.07, 3.0


class PhotoCode(NamedTuple):
    """Codes of photos."""

    columns: Tensor  # (B, D, w)
    mask: Tensor  # (B, w), 1 for the columns a photo sees
    vector: Tensor  # (B, V); V = 0: the network has columns alone

    def some(self, rows: slice | NDArray[np.int64]) -> PhotoCode:
        """Return the codes of some of the photos."""
        return PhotoCode(*(value[rows] for value in self))


class ChipCode(NamedTuple):
    """Codes of chips."""

    columns: Tensor  # (B, D, headings)
    vector: Tensor  # (B, V)


class Tower(nn.Module):
    """Backbone and heads, from a view to its columns and its vector."""

    def __init__(
        self,
        shape: Architecture,
        view: tuple[int, int],
        columns: int,
        ring: bool,
        weights: str,
        backbone: Backbone | None = None,
    ) -> None:
        super().__init__()
        small = (shape.width, shape.blocks)
        places = max(PLACES, view[1] // 32) if shape.head == "global" else columns
        self.backbone = backbone or build(
            shape.backbone, weights, shape.stride, view, places, small, ring, shape.drop_path
        )
        self.head = self._head(shape, view, columns, ring)
        # Pooling over all places makes the vector independent of turns of the overhead view.
        self.vector_head = (
            GlobalHead(
                self.backbone.channels, shape.vector_dim, shape.dropout, shape.pooling, FEW_MAPS
            )
            if shape.vector_dim
            else None
        )

    def _head(
        self, shape: Architecture, view: tuple[int, int], columns: int, ring: bool
    ) -> nn.Module:
        channels = self.backbone.channels
        if shape.head == "global":
            return GlobalHead(channels, shape.embed_dim, shape.dropout, shape.pooling)
        if shape.head == "original":
            rows = shape.embed_dim // OriginalHead.CHANNELS
            return OriginalHead(channels, rows, columns, ring)
        # The rows that remain are counted, not computed: every backbone rounds in its own way.
        with torch.no_grad():
            rows = self.backbone.eval()(torch.zeros(1, 3, *view)).shape[2]
        return PolarHead(channels, rows, shape.embed_dim, columns, shape.dropout, ring)

    def forward(self, view: Tensor, seeds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map ``(B, 3, rows, pixels)`` to ``(B, D, columns)`` and ``(B, V)``."""
        view = view.to(memory_format=torch.channels_last) if view.is_cuda else view
        features = self.backbone(view, seeds)
        columns = cast(Tensor, self.head(features, seeds))
        if self.vector_head is None:
            return columns, columns.new_zeros(len(columns), 0)
        # Other seeds than for the columns, for independent dropout.
        other = None if seeds is None else seeds + 2
        return columns, self.vector_head(features, other)[..., 0]


class Network(nn.Module):
    """Two towers and a learned logit scale.

    Args:
        shape: architecture of the network.
        weights: initial weights of the backbones, see :class:`witw.settings.train.Train`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: Architecture, weights: str = "none") -> None:
        super().__init__()
        self.shape = shape
        ring = shape.head != "global" and shape.backbone != "original"
        self.photo = Tower(shape, shape.photo_view, shape.columns, False, weights)
        shared = self.photo.backbone if shape.share_weights else None
        self.overhead = Tower(shape, shape.polar_view, shape.headings, ring, weights, shared)
        whole = shape.head == "global"
        self.photo_norm = Standardise(shape.embed_dim) if whole else nn.Identity()
        self.overhead_norm = Standardise(shape.embed_dim) if whole else nn.Identity()
        self.log_scale = nn.Parameter(torch.tensor(GLOBAL_SCALE if whole else SCALE).log())
        # Part of the architecture, not learned, so not in files of weights.
        self.register_buffer("mean", torch.tensor(shape.mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(shape.std)[:, None, None], persistent=False)
        if shape.vector_dim:
            self.photo_vector_norm = Standardise(shape.vector_dim)
            self.overhead_vector_norm = Standardise(shape.vector_dim)
            self.vector_log_scale = nn.Parameter(torch.tensor(GLOBAL_SCALE).log())

    @property
    def has_both(self) -> bool:
        """Whether a picture has both columns and a vector."""
        return self.shape.vector_dim > 0

    @property
    def vector_dim(self) -> int:
        """Length of a picture's vector, the only code of the head `global`."""
        return self.shape.embed_dim if self.shape.head == "global" else self.shape.vector_dim

    @property
    def scale(self) -> Tensor:
        """Factor from score to logit, at most 100 as in CLIP."""
        return self.log_scale.exp().clamp(max=100)

    def scales(self) -> list[nn.Parameter]:
        """Return the learned logarithms of the factors."""
        return [self.log_scale, *([self.vector_log_scale] if self.has_both else [])]

    @property
    def vector_scale(self) -> Tensor:
        """Factor from the vectors' score to logit."""
        return self.vector_log_scale.exp().clamp(max=100)

    def encode_photos(
        self,
        photos: Tensor,
        sizes: Tensor,
        jitter: Jitter | None = None,
        fov_deg: Tensor | None = None,
    ) -> PhotoCode:
        """Encode photos.

        Args:
            photos: ``(B, photo_px, photo_px, 3)`` uint8, each centred in its square.
            sizes: ``(B, 2)`` width and height inside the square [px].
            jitter: augmentation.
            fov_deg: ``(B,)`` field of view along the long side, NaN if unknown [degrees]; default:
                unknown.
        """
        pixels = as_float(photos)
        pixels = pixels if jitter is None else wear(pixels, jitter.photo_wear)
        view, inside, mask = self._photo_view(pixels, sizes, jitter, fov_deg)
        view = self.normalise(view)
        if jitter is not None:
            view = recolour(view, jitter.photo_colour)
            inside = erase(inside, jitter.erase)
        view = view * inside
        if jitter is not None:
            view = mirror(view, jitter.mirror)
        seeds = None if jitter is None else jitter.noise
        columns, vector = self.photo(view, seeds)
        if not self.training:  # in training `match` does it, for the whole batch at once
            columns = self.photo_norm(columns)
            if self.has_both:
                vector = self.photo_vector_norm(vector[..., None])[..., 0]
        return PhotoCode(columns, mask, self._vector(columns, vector))

    def _vector(self, columns: Tensor, vector: Tensor) -> Tensor:
        """Return the vector; for the head `global`, its only column."""
        return columns[..., 0] if self.shape.head == "global" else vector

    def _photo_view(
        self, photos: Tensor, sizes: Tensor, jitter: Jitter | None, fov_deg: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the view, a mask of its pixels inside the photo, and a mask of seen columns."""
        shape, columns = self.shape.photo_view, self.shape.columns
        if self.shape.projection == "stretched":
            view = stretched_view(photos, sizes, shape)
            return view, torch.ones_like(view[:, :1]), view.new_ones(len(view), columns)
        usual = torch.full((len(photos),), self.shape.photo_fov_deg, device=photos.device)
        usual = usual if jitter is None else usual * jitter.fov
        known = None if fov_deg is None else fov_deg.to(usual)
        fov = usual if known is None else torch.where(known.isnan(), usual, known)
        span, top = self.shape.span_deg, self.shape.photo_top
        crop = (None, None) if jitter is None else (jitter.crop_deg, jitter.crop_at)
        view, inside, seen = photo_view(photos, sizes, fov, shape, span, top, *crop)
        return view, inside, column_mask(seen, columns)

    def encode_chips(self, chips: Tensor, jitter: Jitter | None = None) -> ChipCode:
        """Encode chips, ``(B, chip_px, chip_px, 3)`` uint8, north up."""
        pixels, shape = as_float(chips), self.shape
        shift, zoom, turn = (
            (None, None, None) if jitter is None else (jitter.shift, jitter.zoom, jitter.turn_deg)
        )
        pixels = pixels if jitter is None else wear(pixels, jitter.chip_wear)
        if shape.head == "global":
            view = turned_view(pixels, shape.polar_view[0], shift, zoom, turn)
        else:
            view = polar_view(pixels, *shape.polar_view, shift, zoom, turn, shape.radius_exponent)
        view = self.normalise(view)
        if jitter is not None:
            view = mirror(recolour(view, jitter.chip_colour), jitter.mirror)
        columns, vector = self.overhead(view, None if jitter is None else jitter.noise + 1)
        if not self.training:
            columns = self.overhead_norm(columns)
            if self.has_both:
                vector = self.overhead_vector_norm(vector[..., None])[..., 0]
        return ChipCode(columns, self._vector(columns, vector))

    def normalise(self, views: Tensor) -> Tensor:
        """Normalise pictures of 0 to 255 with the backbone's mean and standard deviation."""
        return (views / 255 - self.mean) / self.std

    def match(self, photo: Tensor, mask: Tensor, overhead: Tensor) -> Tensor:
        """Return training scores ``(P, C)`` of a batch; arguments as of ``heads.correlate``."""
        if self.training:
            photo, overhead = self.photo_norm(photo), self.overhead_norm(overhead)
        if self.shape.head == "original":
            return plain_score(photo, mask, overhead)
        return soft_score(correlate(photo, mask, overhead))

    def match_vectors(self, photo: Tensor, overhead: Tensor) -> Tensor:
        """Return training cosines ``(P, C)`` of a batch's vectors ``(P, V)`` and ``(C, V)``."""
        if self.training:
            photo = self.photo_vector_norm(photo[..., None])[..., 0]
            overhead = self.overhead_vector_norm(overhead[..., None])[..., 0]
        return F.normalize(photo.float(), dim=1) @ F.normalize(overhead.float(), dim=1).T


def as_float(pictures: Tensor) -> Tensor:
    """Convert ``(B, h, w, 3)`` uint8 to ``(B, 3, h, w)`` float, 0 to 255."""
    return pictures.permute(0, 3, 1, 2).float()
