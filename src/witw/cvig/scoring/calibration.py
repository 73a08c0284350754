"""Calibrate scores to probabilities: fit and check temperature and geotag error.

The map of a photo is ``p(c) = softmax(s_c / T)``, blurred by the error of geotags, ``sigma``. Both
numbers are fitted together on the validation areas, by the likelihood of the geotags in the blurred
map: ``-log sum_c p(c) N(tag; c, sigma^2 I)``.

One temperature for all photos leaves some maps too sharp. The 50 % region is therefore cut at the
share of the map that contained 50 % of the validation photos, not at 50 % of the map: split
conformal prediction (Vovk et al. 2005; Angelopoulos and Bates 2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from witw.cvig.grid import Grid
from witw.cvig.metrics import Metric, share

LEVELS = (50, 80, 95)  # credible regions [%]
STEPS = tuple(range(5, 100, 5))  # levels at which regions are calibrated, `LEVELS` among them [%]
TEMPERATURES = (0.003, 3.0)  # searched; far above the spread of scores is the uniform map
SIGMAS_M = (10.0, 150.0)
_NEAR = 4.0  # sigmas beyond which a cell gives a geotag no likelihood
_BINS = 4000  # bins of scores from -1 to 1, 0.0005 each


@dataclass(frozen=True)
class Calibration:
    """Parameters that convert scores to a map and its regions."""

    temperature: float
    sigma_m: float  # 0: not blurred
    # Share of the map in the regions of `STEPS` %; empty: the levels themselves.
    held: tuple[float, ...] = ()

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Calibration:
        """Read an evaluation's ``calibration``.

        Raises:
            KeyError, TypeError, ValueError: the value has another form.
        """
        held = tuple(float(v) for v in told.get("held", ()))
        if len(held) not in (0, len(STEPS)):
            raise ValueError(f"{len(held)} levels instead of {len(STEPS)}")
        return cls(float(told["temperature"]), float(told["sigma_m"]), held)

    def share_of_map(self, level_pct: float) -> float:
        """Return the share of a map's probability in the region of a level, 0 to 1."""
        known = self.held or [step / 100 for step in STEPS]
        return float(np.interp(level_pct, [0, *STEPS, 100], [0, *known, 1]))

    def entry_pct(self, probability: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the lowest level whose region contains each cell of a map, ``(N,)`` [%].

        A region consists of the likeliest cells that reach its share of the map, including ties.
        """
        order = np.argsort(-probability)  # unstable sort, five times as fast; ties are one step
        falling = probability[order]
        before = np.cumsum(falling) - falling
        first = np.ones(len(order), bool)
        first[1:] = falling[1:] < falling[:-1] * (1 - 1e-9)
        before = before[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
        known = self.held or [step / 100 for step in STEPS]
        out = np.empty(len(order))
        out[order] = np.interp(before, [0, *known, 1], [0, *STEPS, 100])
        return out


@dataclass(frozen=True)
class Evidence:
    """What of some photos' scores the likelihood of their geotags depends on."""

    histogram: NDArray[np.float64]  # (P, bins) cells by score
    scores: NDArray[np.float64]  # (P, n) of the cells near the geotag; -inf: there are fewer
    square_m2: NDArray[np.float64]  # (P, n) their squared distance


def evidence(scores: NDArray[np.floating], places: NDArray[np.float64], grid: Grid) -> Evidence:
    """Summarize the scores of some photos, ``(P, C)``, at geotags ``(P, 2)`` [m]."""
    scores = _finite(scores)
    cells = [_near(place, grid) for place in places]
    most = max(len(near) for near in cells)
    local = np.full((len(places), most), -np.inf)
    square = np.zeros((len(places), most))
    for n, (near, place) in enumerate(zip(cells, places, strict=True)):
        local[n, : len(near)] = scores[n, near]
        square[n, : len(near)] = grid.distances(place, near) ** 2
    bins = np.clip((scores + 1) * (_BINS / 2), 0, _BINS - 1).astype(np.int64)
    bins += _BINS * np.arange(len(scores))[:, None]
    histogram = np.bincount(bins.ravel(), minlength=_BINS * len(scores)).reshape(-1, _BINS)
    return Evidence(histogram.astype(np.float64), local, square)


def _near(place: NDArray[np.float64], grid: Grid) -> NDArray[np.int64]:
    """Return the cells near a geotag, or the nearest cell for a geotag far off the imagery."""
    near = grid.near(place, _NEAR * SIGMAS_M[1])
    near = near[grid.distances(place, near) <= _NEAR * SIGMAS_M[1]]
    return near if len(near) else nearest(place, grid)[None]


def nearest(place: NDArray[np.float64], grid: Grid) -> NDArray[np.int64]:
    """Return the cell nearest to a place, ``()``."""
    near = grid.near(place, 2 * grid.step_m)
    if len(near):
        metres = grid.distances(place, near)
        # Beyond two steps, a cell outside the examined square may be nearer.
        if metres.min() <= 2 * grid.step_m:
            return np.asarray(near[metres.argmin()])
    return np.asarray(grid.distances(place).argmin())


def fit(parts: Sequence[Evidence]) -> Calibration:
    """Fit temperature and geotag error by maximum likelihood on a coarse and a fine grid."""
    rows = np.geomspace(*TEMPERATURES, 31), np.geomspace(*SIGMAS_M, 10)
    for _ in range(2):
        loss = nll(parts, *rows)
        least = divmod(int(loss.argmin()), loss.shape[1])
        best = [float(row[i]) for row, i in zip(rows, least, strict=True)]
        rows = _around(rows[0], least[0]), _around(rows[1], least[1])
    return Calibration(round(best[0], 6), round(best[1], 2))


def _around(row: NDArray[np.float64], i: int) -> NDArray[np.float64]:
    """Return a finer row between the neighbours of a value."""
    return np.geomspace(row[max(0, i - 1)], row[min(len(row) - 1, i + 1)], 13)


def nll(
    parts: Sequence[Evidence], temperatures: NDArray[np.float64], sigmas_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean of ``-log sum_c p(c) N(tag; c, sigma^2 I)`` [nats, density per m2].

    Returns:
        ``(temperatures, sigmas)``.
    """
    middle = (np.arange(_BINS) + 0.5) * (2 / _BINS) - 1
    sums, count = np.zeros((len(temperatures), len(sigmas_m))), 0
    for part in parts:
        kernels = [np.exp(-part.square_m2 / (2 * s**2)) / (2 * np.pi * s**2) for s in sigmas_m]
        count += len(part.scores)
        for n, t in enumerate(temperatures):
            # Less the highest score there can be: at most 2 / 0.003 below it, doubles hold that.
            everywhere = part.histogram @ np.exp((middle - 1) / t)
            weight = np.exp((part.scores - 1) / t) / everywhere[:, None]
            for m, kernel in enumerate(kernels):
                density = np.einsum("pn,pn->p", weight, kernel)
                sums[n, m] -= np.log(np.maximum(density, 1e-300)).sum()
    return sums / count


def chances(
    scores: NDArray[np.floating], grid: Grid, calibration: Calibration
) -> NDArray[np.float64]:
    """Return the probability of each cell, ``(P, C)``; rows sum to 1.

    Args:
        scores: ``(P, C)``.
        grid: the cells.
        calibration: temperature and blur.
    """
    logits = torch.from_numpy(_finite(scores)).double() / calibration.temperature
    sharp = torch.softmax(logits, dim=1)
    if not calibration.sigma_m:
        return sharp.numpy()
    flat = torch.zeros(len(sharp), grid.rows * grid.columns, dtype=torch.float64)
    cells = torch.from_numpy(grid.cells)
    flat[:, cells] = sharp
    blurred = blur(flat.view(-1, grid.rows, grid.columns), calibration.sigma_m / grid.step_m)
    found = blurred.reshape(len(sharp), -1)[:, cells]
    return (found / found.sum(dim=1, keepdim=True)).numpy()


def sharpened(calibration: Calibration, photos: int) -> Calibration:
    """Return the calibration of the mean score of several photos: their log-likelihoods add up."""
    return replace(calibration, temperature=calibration.temperature / photos)


def blur(maps: Tensor, sigma: float) -> Tensor:
    """Blur ``(P, rows, columns)`` by a Gaussian, sigma in cells; cells beyond the edge are 0."""
    half = max(1, round(_NEAR * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-half, half + 1, dtype=maps.dtype) / sigma) ** 2)
    weights = (kernel / kernel.sum()).tolist()
    for axis in (1, 2):
        # A sum of shifted maps: a convolution of doubles would hold one for every weight.
        out = torch.zeros_like(maps)
        size = maps.shape[axis]
        for n, weight in enumerate(weights):
            by = n - half
            length = size - abs(by)
            if length > 0:
                to, source = max(0, -by), max(0, by)
                out.narrow(axis, to, length).add_(maps.narrow(axis, source, length), alpha=weight)
        maps = out
    return maps


def _finite(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Replace the scores of a photo with a NaN by equal scores, which give a uniform map."""
    out = scores.astype(np.float64)
    out[~np.isfinite(out).all(axis=1)] = 0
    return out


@dataclass(frozen=True)
class Belief:
    """Values of the maps of some photos at their geotags."""

    bits: NDArray[np.float64]  # (P,) gained over the uniform map
    before: NDArray[np.float64]  # (P,) probability of all other cells at least as likely

    @classmethod
    def join(cls, parts: Sequence[Belief]) -> Belief:
        """Concatenate the photos of several parts."""
        return cls(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("bits", "before")))


def belief(probability: NDArray[np.float64], places: NDArray[np.float64], grid: Grid) -> Belief:
    """Look up the geotags ``(P, 2)`` [m] in their maps ``(P, C)``."""
    own = np.array([nearest(place, grid) for place in places], np.int64)
    mine = probability[np.arange(len(own)), own]
    # Cells as likely count as before it: of a uniform map no region short of all covers anything.
    before = np.where(probability >= mine[:, None] * (1 - 1e-9), probability, 0).sum(axis=1) - mine
    return Belief(np.log2(np.maximum(mine, 1e-300) * probability.shape[1]), before)


def levels(found: Belief) -> tuple[float, ...]:
    """Return the share of the map whose region holds ``STEPS`` % of these photos.

    The quantile is that of n + 1 photos, of which one may lie anywhere: with few photos, regions
    are rather too large. It rises strictly, so that the levels can be looked up both ways.
    """
    rank = np.ceil((len(found.before) + 1) * np.array(STEPS) / 100).astype(np.int64)
    ordered = np.append(np.sort(found.before), 1.0)
    held = ordered[np.minimum(rank, len(ordered)) - 1]
    least = 1e-6 * np.arange(1, len(STEPS) + 1)
    return tuple(np.clip(held + least, least, 1 - least[::-1]).round(7).tolist())


def metrics(found: Belief, fitted: Calibration | None = None) -> dict[str, Metric]:
    """Return the figures of a calibration.

    Args:
        found: from :func:`belief`.
        fitted: whose regions are checked; default: those that hold q % of the map.

    Returns:
        ``bits`` gained over the uniform map, and ``coverage_{q}``, the share of photos whose geotag
        lies in the region of q % [%]: q, if the maps are honest.
    """
    cuts = {q: fitted.share_of_map(q) if fitted else q / 100 for q in LEVELS}
    out = {f"coverage_{q}": share(found.before < cut) for q, cut in cuts.items()}
    return {"bits": Metric(found.bits), **out}
