"""Heads: from features to column codes, and the correlation of photo and overhead columns.

A code is ``(D, W)``: ``W`` headings of ``D`` values. The global head's code has one column and
correlates like all others.
"""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from witw.cvig.network.dropout import Dropout
from witw.cvig.network.sizes import MAPS

# Temperature of the soft maximum over headings in training.
SOFT_MAX_T = 0.05


class PolarHead(nn.Module):
    """One convolution over all remaining rows, and resampling to the columns of the code.

    Args:
        channels: channels of the features.
        rows: rows of the features.
        embed_dim: length of a column's descriptor.
        columns: columns of the code.
        dropout: dropout of the descriptors in training.
        ring: whether the columns go all the way round.
    """

    def __init__(
        self, channels: int, rows: int, embed_dim: int, columns: int, dropout: float, ring: bool
    ) -> None:
        super().__init__()
        self.columns, self.ring = columns, ring
        self.layer = nn.Conv2d(channels, embed_dim, (rows, 1))
        self.drop = Dropout(dropout)

    def forward(self, features: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Map ``(B, channels, rows, w)`` to ``(B, embed_dim, columns)``."""
        code = resample(self.layer(features).squeeze(2), self.columns, self.ring)
        return cast(Tensor, self.drop(code, seeds))


class GlobalHead(nn.Module):
    """One vector per picture, pooled over all features.

    Args:
        channels: channels of the features.
        embed_dim: length of the vector.
        dropout: dropout of the vector in training.
        pooling: ``attention``: each of some learned maps, a softmax over all places, pools
            its own share of the vector (Fervers et al. 2024); ``gem``: the generalised mean of
            Radenovic et al. 2018, its exponent learned.
        maps: of attention.
    """

    def __init__(
        self, channels: int, embed_dim: int, dropout: float,
        pooling: Literal["attention", "gem"], maps: int = MAPS,
    ) -> None:  # fmt: skip
        super().__init__()
        self.pooling = pooling
        self.norm = nn.LayerNorm(channels)
        self.values = nn.Linear(channels, embed_dim)
        if pooling == "attention":
            # Without a bias, which a softmax over places does not see.
            self.maps = nn.Linear(channels, math.gcd(maps, embed_dim), bias=False)
        else:
            self.power = nn.Parameter(torch.tensor(3.0))
        self.drop = Dropout(dropout)

    def forward(self, features: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Map ``(B, channels, h, w)`` to ``(B, embed_dim, 1)``."""
        if self.pooling == "gem":
            power = self.power.clamp(1, 10)
            mean = features.float().clamp(min=1e-6).pow(power).mean(dim=(2, 3))
            code = self.values(self.norm(mean.pow(1 / power)))
        else:
            places = self.norm(features.flatten(2).transpose(1, 2))  # (B, h w, channels)
            weights = self.maps(places).float().softmax(dim=1)  # (B, h w, maps)
            # Pooled first, as values are linear: the same sum, of maps instead of places.
            pooled = torch.einsum("bpm,bpc->bmc", weights, places.float())
            shape = (weights.shape[2], -1, features.shape[1])  # (maps, d, channels)
            kernel = self.values.weight.view(shape)
            code = torch.einsum("bmc,mdc->bmd", pooled, kernel.float()).flatten(1)
            code = code + self.values.bias
        return cast(Tensor, self.drop(code[:, :, None], seeds))


class Standardise(nn.Module):
    """Standardize codes, value by value (Ioffe and Szegedy 2015).

    Vectors pooled over whole pictures are nearly equal; without standardization, the loss falls
    fastest by collapsing them. It applies to codes, not inside the towers, so it sees the whole
    batch. At inference it uses the means of training.

    Args:
        dim: length of a code.
    """

    MOMENTUM, EPSILON = 0.1, 1e-5
    mean: Tensor
    variance: Tensor
    steps: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, codes: Tensor) -> Tensor:
        """Normalise ``(B, dim, w)`` to float32; in training by this batch, whose means it notes."""
        codes = codes.float()
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = codes.mean(dim=(0, 2)), codes.var(dim=(0, 2), unbiased=False)
            self._note(mean.detach(), variance.detach())
        return (codes - mean[:, None]) / (variance + self.EPSILON).sqrt()[:, None]

    @torch.no_grad()
    def _note(self, mean: Tensor, variance: Tensor) -> None:
        self.steps += 1
        share = (1 / self.steps).clamp(min=self.MOMENTUM)
        self.mean.lerp_(mean, share)
        self.variance.lerp_(variance, share)


class OriginalHead(nn.Module):
    """Three convolutions to 16 channels, every remaining row kept (Shi et al. 2020).

    Args:
        channels: channels of the features.
        rows: rows of the code; features with other rows are averaged to this number.
        columns: columns of the code.
        ring: whether the columns go all the way round, for resampling.
    """

    CHANNELS = 16

    def __init__(self, channels: int, rows: int, columns: int, ring: bool) -> None:
        super().__init__()
        self.rows, self.columns, self.ring = rows, columns, ring
        widths = (channels, max(64, channels // 2), 64, self.CHANNELS)
        steps = ((2, 1), (2, 1), (1, 1))
        layers: list[nn.Module] = []
        for before, after, step in zip(widths[:-1], widths[1:], steps, strict=True):
            conv = nn.Conv2d(before, after, 3, step, padding=1)
            nn.init.xavier_uniform_(conv.weight)
            nn.init.zeros_(cast(Tensor, conv.bias))
            layers += [conv, nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    @classmethod
    def dim(cls, rows: int) -> int:
        """Return the length of a column's descriptor for this many rows of features."""
        return cls.CHANNELS * -(-rows // 4)

    def forward(self, features: Tensor, seeds: Tensor | None = None) -> Tensor:
        """Map ``(B, channels, h, w)`` to ``(B, 16 rows, columns)``; mostly, ``rows = h / 4``."""
        code = cast(Tensor, self.layers(features))
        if code.shape[2] != self.rows:
            code = F.adaptive_avg_pool2d(code, (self.rows, code.shape[3]))
        return resample(code.flatten(1, 2), self.columns, self.ring)


def resample(code: Tensor, columns: int, ring: bool) -> Tensor:
    """Interpolate ``(B, D, w)`` along its columns to ``(B, D, columns)``."""
    width = code.shape[-1]
    if width == columns:
        return code
    at = (torch.arange(columns, device=code.device) + 0.5) * (width / columns) - 0.5
    low = at.floor().long()
    part = (at - low).to(code.dtype)
    ends = [i % width if ring else i.clamp(0, width - 1) for i in (low, low + 1)]
    return torch.lerp(code[..., ends[0]], code[..., ends[1]], part)


def windows(photo: Tensor, mask: Tensor, overhead: Tensor) -> tuple[Tensor, Tensor]:
    """Return the products of every photo with every window of every overhead code, and norms.

    Args:
        photo: ``(P, D, w)``.
        mask: ``(P, w)``, 1 for columns the photo sees; the others do not count.
        overhead: ``(C, D, W)``, ``w <= W``.

    Returns:
        ``<g, o_s> / |g|`` and ``|o_s|``, each ``(P, C, W)`` float32; ``o_s`` being the overhead
        columns from ``s`` on under the photo's seen columns.
    """
    photo = photo.float() * mask.float()[:, None, :]
    photo = F.normalize(photo.flatten(1), dim=1).view_as(photo)
    overhead = overhead.float()
    ring = F.pad(overhead, (0, photo.shape[-1] - 1), mode="circular")  # (C, D, W + w - 1)
    dots = F.conv1d(ring, photo)  # (C, P, W)
    energy = F.conv1d(ring.square().sum(dim=1, keepdim=True), mask.float()[:, None, :])  # (C, P, W)
    return dots.transpose(0, 1), (energy + 1e-12).sqrt().transpose(0, 1)


def correlate(photo: Tensor, mask: Tensor, overhead: Tensor) -> Tensor:
    """Correlate every photo with every overhead code at every shift, circular and normalised.

    ``c(s) = <g, o_s> / (|g| |o_s|)``: a cosine, so shifts and photos of any width compare.
    Arguments as of :func:`windows`.

    Returns:
        ``(P, C, W)`` float32 in [-1, 1].
    """
    dots, norms = windows(photo, mask, overhead)
    return dots / norms


def plain_score(photo: Tensor, mask: Tensor, overhead: Tensor) -> Tensor:
    """Return the cosine at the shift of the largest product, as the original does.

    Arguments as of :func:`windows`; returns ``(P, C)`` float32.
    """
    dots, norms = windows(photo, mask, overhead)
    at = dots.argmax(dim=-1, keepdim=True)
    return (dots.gather(-1, at) / norms.gather(-1, at)).squeeze(-1)


def soft_score(correlation: Tensor) -> Tensor:
    """Return the soft maximum over shifts, which trains all headings near the best one.

    Args:
        correlation: ``(P, C, W)``.

    Returns:
        ``(P, C)``: ``t logsumexp(c / t) - t log W``, at most the maximum.
    """
    bias = SOFT_MAX_T * math.log(correlation.shape[-1])
    return SOFT_MAX_T * torch.logsumexp(correlation / SOFT_MAX_T, dim=-1) - bias


def best(correlation: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    """Return score and heading of the best shift.

    Args:
        correlation: ``(..., W)``.
        columns: columns of the photo's code, ``w``.

    Returns:
        The maximum, ``(...)``; and the heading of the photo's middle, clockwise from grid north,
        ``(...)`` in [0, 360) degrees, refined by a parabola through the best shift's neighbours.
    """
    score, shift = correlation.max(dim=-1)
    headings = correlation.shape[-1]
    around = torch.stack([(shift + d) % headings for d in (-1, 1)], dim=-1)
    left, right = correlation.gather(-1, around).unbind(-1)
    bend = (2 * score - left - right).clamp_min(1e-9)
    offset = ((right - left) / (2 * bend)).clamp(-0.5, 0.5)
    return score, (shift + offset + columns / 2) * (360 / headings) % 360
