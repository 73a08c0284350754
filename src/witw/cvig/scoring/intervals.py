"""95 % intervals over places instead of photos, because photos of one place are correlated.

Blocks of 500 m are treated as independent. Intervals of shares (recall, coverage) and medians use a
posterior of the correlation within blocks. Intervals of means use the spread between blocks and
Student's t. With few blocks, no method here is accurate for all figures, so there is no interval.
``python -m benchmarks.intervals`` measures how often the intervals contain the truth.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from witw.cvig.metrics import Metric
from witw.geo import squares

BLOCK_M = 500.0
LEVEL = 0.95
MIN_BLOCKS = 10
MIN_EVEN_BLOCKS = 7.0  # blocks of one size that tell as much, see `even_blocks`
_SHARES = 99  # on which the likelihood of a correlation is averaged
_CORRELATIONS = 24
_ANGLES = 2000  # grid of arc sines for the posterior of a share


def blocks(lon_lat: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of each photo's square of 500 m, in one grid for all areas.

    Args:
        lon_lat: ``(Q, 2)`` longitude and latitude, EPSG:4326 [degrees].

    Returns:
        ``(Q,)`` from 0, without gaps.
    """
    keys = squares(lon_lat[:, 0], lon_lat[:, 1], BLOCK_M)
    return np.asarray(np.unique(keys, axis=0, return_inverse=True)[1]).reshape(-1)


def even_blocks(photos: NDArray[np.integer]) -> float:
    """Return how many equal blocks tell as much as blocks of these sizes (Kish 1965)."""
    sizes = photos.astype(np.float64)
    return float(sizes.sum() ** 2 / np.square(sizes).sum()) if len(sizes) else 0.0


def intervals(figures: Mapping[str, Metric], block: NDArray[np.int64]) -> dict[str, list[float]]:
    """Compute 95 % intervals of figures of the same photos.

    Args:
        figures: each of the same ``(Q,)`` photos.
        block: ``(Q,)`` from :func:`blocks`; any numbers, such as those of some of its photos.

    Returns:
        Lower and upper end of each figure; empty where there are fewer than :data:`MIN_BLOCKS`
        blocks, or a few of them hold nearly all photos.
    """
    block = np.asarray(np.unique(block, return_inverse=True)[1]).reshape(-1)
    count = np.bincount(block)
    if len(count) < MIN_BLOCKS or even_blocks(count) < MIN_EVEN_BLOCKS:
        return {}
    out = {}
    for name, figure in figures.items():
        if figure.is_median:
            low, high = _quantile(figure.values, block, figure.quantile)
        else:
            low, high = (_share if figure.is_share else _mean)(figure.values, block)
        out[name] = [round(low, 4), round(high, 4)]
    return out


def _share(values: NDArray[np.float64], block: NDArray[np.int64]) -> tuple[float, float]:
    """Return the interval of a percentage: each value is 0 or 100."""
    hit = values > 0
    low, high = _ends(float(hit.mean()), block, _correlation(hit, block))
    return 100 * low, 100 * high


def _quantile(
    values: NDArray[np.float64], block: NDArray[np.int64], part: float
) -> tuple[float, float]:
    """Return the interval of a quantile, from the interval of its share (Woodruff 1952).

    Of a median, the share is one half.
    """
    below = values <= np.quantile(values, part)
    low, high = _ends(part, block, _correlation(below, block))
    ordered, last = np.sort(values), len(values) - 1
    first = max(0, int(np.floor(low * len(values))) - 1)
    return float(ordered[first]), float(ordered[min(last, int(np.ceil(high * len(values))))])


def _correlation(hit: NDArray[np.bool_], block: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the posterior of a block's correlation, ``(_CORRELATIONS,)``; sums to 1.

    Hits of a block are beta-binomial (Williams 1975). Before the data, the cube root of the
    correlation is uniform, which in simulation holds the truth most evenly, and the share is arc
    sine (Jeffreys).
    """
    of = np.bincount(block)
    pairs = np.stack([np.bincount(block, hit).astype(np.int64), of], axis=1)
    found, times = np.unique(pairs, axis=0, return_counts=True)
    hits, photos, weight = (torch.from_numpy(v).double() for v in (*found.T, times))
    angle = (torch.arange(_SHARES, dtype=torch.float64) + 0.5) / _SHARES * (torch.pi / 2)
    share = angle.sin().square()[:, None]
    log = torch.empty(_CORRELATIONS, dtype=torch.float64)
    for i, rho in enumerate(_correlations()):
        total = (1 - rho) / rho
        a, b = share * total, (1 - share) * total
        terms = (hits + a).lgamma() - a.lgamma() + (photos - hits + b).lgamma() - b.lgamma()
        terms -= (photos + total).lgamma() - torch.tensor(total).lgamma()
        log[i] = (terms * weight).sum(dim=1).logsumexp(dim=0)
    return log.softmax(dim=0).numpy()


def _correlations() -> NDArray[np.float64]:
    return np.asarray(((np.arange(_CORRELATIONS) + 0.5) / _CORRELATIONS) ** 3)


def _ends(
    share: float, block: NDArray[np.int64], posterior: NDArray[np.float64]
) -> tuple[float, float]:
    """Return Jeffreys's interval at the effective number of photos, over all correlations.

    Brown, Cai and DasGupta 2001: with no hit the lower end is 0, with hits only the upper is 1.
    """
    photos = np.bincount(block).astype(np.float64)
    spread = np.square(photos).sum() / photos.sum() - 1
    number = photos.sum() / (1 + spread * _correlations())[:, None]
    angle = (np.arange(_ANGLES) + 0.5) / _ANGLES * (np.pi / 2)
    log = number * (share * 2 * np.log(np.sin(angle)) + (1 - share) * 2 * np.log(np.cos(angle)))
    density = np.exp(log - log.max(axis=1, keepdims=True))
    density = posterior @ (density / density.sum(axis=1, keepdims=True))
    edges = np.concatenate([[0.0], np.cumsum(density)])
    tail = (1 - LEVEL) / 2
    at = np.interp([tail, 1 - tail], edges, np.arange(_ANGLES + 1) / _ANGLES * (np.pi / 2))
    low, high = np.sin(at) ** 2
    return 0.0 if share == 0 else float(low), 1.0 if share == 1 else float(high)


def _mean(values: NDArray[np.float64], block: NDArray[np.int64]) -> tuple[float, float]:
    """Return a mean's interval: CR2 and its degrees of freedom (Bell and McCaffrey 2002).

    The degrees of freedom are those of the correlation within blocks that the values show
    (Imbens and Kolesar 2016).
    """
    photos = np.bincount(block).astype(np.float64)
    mean, part = float(values.mean()), photos / len(values)
    rest = np.bincount(block, values - mean)
    error = np.sqrt(np.square(rest).dot(1 / (1 - part))) / len(values)
    variance = photos + _intraclass(values, block) * photos * (photos - 1)
    reach = _student(_degrees(part, variance)) * error
    return max(mean - reach, float(values.min())), min(mean + reach, float(values.max()))


def _intraclass(values: NDArray[np.float64], block: NDArray[np.int64]) -> float:
    """Return the correlation of two photos of a block by analysis of variance (Donner 1986)."""
    photos = np.bincount(block).astype(np.float64)
    means = np.bincount(block, values) / photos
    inside = np.square(values - means[block]).sum() / max(1, len(values) - len(photos))
    between = (photos * np.square(means - values.mean())).sum() / (len(photos) - 1)
    usual = (len(values) - np.square(photos).sum() / len(values)) / (len(photos) - 1)
    total = between + (usual - 1) * inside
    return float(np.clip((between - inside) / total, 0, 1)) if total > 0 else 0.0


def _degrees(part: NDArray[np.float64], variance: NDArray[np.float64]) -> float:
    """Return Satterthwaite's degrees of freedom of CR2 of a mean, from share and variance.

    The blocks' rests are ``D (I - part 1') u`` of independent ``u``: their covariance is a diagonal
    and two more ranks, so its trace and norm need no matrix.
    """
    scale = 1 / np.sqrt(1 - part)
    own, a, c = scale**2 * variance, scale * part, scale * variance
    total = variance.sum()
    more = total * a * a - 2 * a * c
    aa, cc, ac = a @ a, c @ c, a @ c
    norm = own @ own + 2 * own @ more
    norm += total**2 * aa**2 + 2 * aa * cc + 2 * ac**2 - 4 * total * aa * ac
    return float((own + more).sum() ** 2 / norm)


def _student(degrees: float) -> float:
    """Return Student's t at the interval's upper end; ``t = sqrt(n) tan(angle)``."""
    angle = (np.arange(20_000) + 0.5) / 20_000 * (np.pi / 2)
    below = np.cumsum(np.cos(angle) ** (degrees - 1))
    return float(np.sqrt(degrees) * np.tan(np.interp(LEVEL * below[-1], below, angle)))
