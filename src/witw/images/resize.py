"""Resize photos and chips to the network's input. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def fit(photo: Image.Image, side: int) -> NDArray[np.uint8]:
    """Scale a photo to a long side of ``side``, keeping its aspect ratio.

    Args:
        photo: RGB, upright.
        side: long side of the result [px].

    Returns:
        ``(height, width, 3)`` uint8.
    """
    scale = side / max(photo.size)
    size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    return np.asarray(photo.resize(size, Image.Resampling.BICUBIC))


def inside(square: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return the central part of a square that contains a photo of this size.

    Args:
        square: ``(side, side, 3)``.
        width: width of the photo [px].
        height: height of the photo [px].

    Returns:
        ``(height, width, 3)``, a view.
    """
    return square[_centred(len(square), width, height)]


def blacken_around(square: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Make a square black but for :func:`inside`, whose view it returns as that does."""
    rows, columns = _centred(len(square), width, height)
    square[: rows.start] = square[rows.stop :] = 0
    square[:, : columns.start] = square[:, columns.stop :] = 0
    return square[rows, columns]


def _centred(side: int, width: int, height: int) -> tuple[slice, slice]:
    """Return the rows and columns of a photo in the middle of a square."""
    left, top = (side - width) // 2, (side - height) // 2
    return slice(top, top + height), slice(left, left + width)


def letterbox(photo: Image.Image, side: int) -> tuple[NDArray[np.uint8], int, int]:
    """Scale a photo to a long side of ``side`` and centre it in a black square.

    The aspect ratio stays, because it determines the field of view.

    Args:
        photo: RGB, upright.
        side: side of the square [px].

    Returns:
        ``(side, side, 3)`` uint8, and the photo's width and height inside it [px].
    """
    small = fit(photo, side)
    height, width = small.shape[:2]
    square = np.zeros((side, side, 3), np.uint8)
    inside(square, width, height)[:] = small
    return square, width, height


def shrink(chip: Image.Image, side: int) -> NDArray[np.uint8]:
    """Resize a square chip by area: each pixel is the mean of the ground it covers.

    Args:
        chip: RGB, square.
        side: side of the result [px].

    Returns:
        ``(side, side, 3)`` uint8.
    """
    return np.asarray(chip.resize((side, side), Image.Resampling.BOX))
