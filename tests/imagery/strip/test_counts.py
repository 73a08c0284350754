"""Percentiles of floats compared with numpy's, for any outliers."""

import numpy as np
import pytest

from witw.imagery.stretch import merge, percentile
from witw.imagery.strip import counts


def counted(bands):
    """Return the pairs of each band, and whether they are exact, as `stats` counts them."""
    near = counts.Near()
    for again in (False, True):
        for number, band in enumerate(bands):
            for piece in np.array_split(band.ravel(), 3):
                near.add(number, piece.astype(np.float64))
        pivots = near.better()
        if again or not pivots:
            break
        near = counts.Near(pivots)
    return near.pairs()


def outlying(rng, kind):
    base = rng.gamma(4, 0.05, 300_000)
    if kind == "lowest":
        base[7] = -3.4028234663852886e38
    elif kind == "hot":
        base[:3000] = 1e4
    elif kind == "huge":
        base[5], base[6] = 1e300, -1e300
    elif kind == "temperatures":
        base = rng.normal(293, 2, 300_000)
    elif kind == "far":
        base = 1e7 + base
    elif kind == "both":
        base = np.concatenate([1e6 + base, rng.normal(0, 1e-3, 3000), [1e12]])
    elif kind == "negative":
        base = -base
    return base


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "kind", ["usual", "lowest", "hot", "huge", "temperatures", "far", "both", "negative"]
)
def test_percentiles_are_right_to_1e_4_of_the_range_between_them(rng, kind, dtype):
    with np.errstate(over="ignore"):
        bands = [np.clip(outlying(rng, kind), -3.4e38, 3.4e38).astype(dtype) for _ in range(3)]
    found, _ = counted(bands)
    for pairs, band in zip(found, bands, strict=True):
        values, numbers = merge([pairs])
        assert numbers.sum() == band.size
        low, high = np.percentile(band.astype(float), [2, 98])
        for pct, right in ((2, low), (98, high), (50, np.percentile(band.astype(float), 50))):
            assert abs(percentile(values, numbers, pct) - right) <= 1e-4 * (high - low)
        assert values[0] == band.min() and values[-1] == band.max()
        assert len(pairs) <= 100_000


@pytest.mark.parametrize(("top", "scale"), [(65_535, 1), (65_535, 0.25), (32_767, 1e-4)])
def test_whole_numbers_times_a_scale_are_exact(rng, top, scale):
    bands = [(rng.integers(0, top + 1, 200_000) * scale).astype("f4") for _ in range(3)]
    found, exact = counted(bands)
    assert exact
    for pairs, band in zip(found, bands, strict=True):
        values, numbers = np.unique(band, return_counts=True)
        assert [v for v, _ in pairs] == values.tolist()
        assert [n for _, n in pairs] == numbers.tolist()


def test_one_number_and_no_number_are_counted():
    found, exact = counted([np.full(100, 0.5), np.zeros(0), np.array([-0.0, 0.0])])
    assert exact and found == [[[0.5, 100]], [], [[0.0, 2]]]
