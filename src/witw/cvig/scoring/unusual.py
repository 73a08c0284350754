"""Detects photos that look unlike the training photos.

The network itself cannot detect them: codes of noise are as ordinary as codes of a street. Fourteen
simple statistics of the picture can: colours, contrast, detail at three scales, and brightness of
the sky. The Mahalanobis distance compares them with those of the training photos.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

USUAL = 99  # validation photos that are not called unusual [%]
PHOTOS = 4000  # maximum number of training photos for the statistics
_SCALES = 3
_LEAST = 1e-4  # minimum contrast; a picture below it is flat
_RIDGE = 1e-3  # share of each figure's variance


@dataclass(frozen=True)
class Usual:
    """Statistics of the training photos.

    Attributes:
        mean: ``(14,)`` of the figures.
        whitening: ``(14, 14)``, transforms centred figures to independent ones.
        limit: distance that 99 % of the validation photos do not exceed.
    """

    mean: NDArray[np.float64]
    whitening: NDArray[np.float64]
    limit: float

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Usual:
        """Read the result of :meth:`tell`.

        Raises:
            KeyError, TypeError, ValueError: the value has another form.
        """
        mean, whitening = (np.array(told[n], np.float64) for n in ("mean", "whitening"))
        if mean.shape != (FIGURES,) or whitening.shape != (FIGURES, FIGURES):
            raise ValueError(f"a whitening of {whitening.shape} for {mean.shape}")
        return cls(mean, whitening, float(told["limit"]))

    def tell(self) -> dict[str, Any]:
        """Return plain values with eight digits."""
        rows = ([float(f"{v:.8g}") for v in row] for row in (self.mean, *self.whitening))
        mean, *whitening = rows
        return {"mean": mean, "whitening": whitening, "limit": float(f"{self.limit:.8g}")}

    def distance(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the distance of figures ``(P, 14)`` from the training photos', ``(P,)``."""
        apart = (rows - self.mean) @ self.whitening
        return np.asarray(np.sqrt((apart**2).mean(axis=1)))

    def is_unusual(self, rows: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether photos exceed the limit, ``(P,)``."""
        return self.distance(rows) > self.limit


def figures(photos: NDArray[np.uint8], sizes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Compute the figures of photos, ``(P, 14)``.

    Args:
        photos: ``(P, side, side, 3)``, each centred in its square.
        sizes: ``(P, 2)`` width and height inside the square [px].
    """
    rows = [_figures(photo, int(w), int(h)) for photo, (w, h) in zip(photos, sizes, strict=True)]
    return np.array(rows).reshape(-1, FIGURES)


def _figures(square: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float64]:
    left, top = (len(square) - width) // 2, (len(square) - height) // 2
    photo = square[top : top + height, left : left + width] / 255
    out = [*photo.mean(axis=(0, 1)), *_log(photo.std(axis=(0, 1)))]
    grey = photo.mean(axis=2)
    for _ in range(_SCALES):
        out += [_detail(grey, axis) for axis in (0, 1)]
        grey = _half(grey)
    third = max(1, height // 3)
    out.append(photo[:third].mean() - photo[-third:].mean())
    out.append(float((photo.max(axis=2) - photo.min(axis=2)).mean()))
    return np.array(out, np.float64)


FIGURES = 6 + 2 * _SCALES + 2


def _log(values: Any) -> NDArray[np.float64]:
    return np.asarray(np.log(np.maximum(values, _LEAST)))


def _detail(grey: NDArray[np.float64], axis: int) -> float:
    """Return the logarithm of the mean difference of neighbours; 0 for a single row."""
    steps = np.abs(np.diff(grey, axis=axis))
    return float(_log(steps.mean() if steps.size else 0.0))


def _half(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Halve the size, dropping an odd pixel; a side of one pixel stays."""
    for axis in (0, 1):
        even = grey.shape[axis] // 2
        if even:
            first, second = (np.take(grey, np.arange(k, 2 * even, 2), axis) for k in (0, 1))
            grey = (first + second) / 2
    return grey


def fit(train: NDArray[np.float64], val: NDArray[np.float64]) -> Usual:
    """Fit statistics to training photos' figures ``(N, 14)``, and the limit to others'."""
    mean = train.mean(axis=0)
    spread = (train - mean).T @ (train - mean) / max(1, len(train) - 1)
    spread += np.diag(_RIDGE * np.diag(spread) + 1e-9)
    # Of a distance, any square root of the inverse is as good as another.
    whitening = np.linalg.cholesky(np.linalg.inv(spread))
    found = Usual(mean, whitening, 0.0)
    limit = float(np.quantile(found.distance(val), USUAL / 100, method="higher"))
    return Usual(mean, whitening, limit)
