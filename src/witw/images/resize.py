"""Resize photos and chips to the network's input. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def letterbox(photo: Image.Image, side: int) -> tuple[NDArray[np.uint8], int, int]:
    """Scale a photo to a long side of ``side`` and centre it in a black square.

    A photo is never stretched: its aspect says how wide it sees.

    Args:
        photo: RGB, upright.
        side: side of the square [px].

    Returns:
        ``(side, side, 3)`` uint8, and the photo's width and height inside it [px].
    """
    scale = side / max(photo.size)
    width, height = (max(1, round(length * scale)) for length in photo.size)
    small = photo.resize((width, height), Image.Resampling.BICUBIC)
    square = np.zeros((side, side, 3), np.uint8)
    left, top = (side - width) // 2, (side - height) // 2
    square[top : top + height, left : left + width] = np.asarray(small)
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
