"""Repeatable random draws from a seed, a purpose and an id or count."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

_GAMMA, _M1, _M2 = (
    np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def mixed(ids: NDArray[np.int64], seed: int, purpose: str) -> NDArray[np.uint64]:
    """Return 64 well-mixed bits for every id (the finaliser of SplitMix64, twice).

    Args:
        ids: Any shape, int64.
        seed: Seed of the run.
        purpose: Draws for different purposes are independent.
    """
    salt = np.uint64((seed * 0x1_0000_0001 + zlib.crc32(purpose.encode())) % 2**64)
    with np.errstate(over="ignore"):
        return _finish(ids.astype(np.uint64) + _finish(np.atleast_1d(salt))[0])


def _finish(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        bits = bits + _GAMMA
        bits = (bits ^ (bits >> np.uint64(30))) * _M1
        bits = (bits ^ (bits >> np.uint64(27))) * _M2
        return bits ^ (bits >> np.uint64(31))


def uniform(ids: NDArray[np.int64], seed: int, purpose: str) -> NDArray[np.float64]:
    """Return a number in [0, 1) for every id."""
    return (mixed(ids, seed, purpose) >> np.uint64(11)).astype(np.float64) / 2.0**53


def uniform_one(number: int, seed: int, purpose: str) -> float:
    """Return a number in [0, 1) for one id or count."""
    return float(uniform(np.array([number], np.int64), seed, purpose)[0])


def hex_text(bits: NDArray[np.uint64], digits: int) -> NDArray[np.str_]:
    """Return the lowest ``4 * digits`` bits of each as lower-case hexadecimal digits."""
    shifts = np.arange(digits - 1, -1, -1, dtype=np.uint64) * np.uint64(4)
    nibbles = (bits[:, None] >> shifts) & np.uint64(15)
    codes = np.frombuffer(b"0123456789abcdef", np.uint8).astype(np.uint32)[nibbles.astype(np.intp)]
    return np.ascontiguousarray(codes).view(f"<U{digits}")[:, 0]
