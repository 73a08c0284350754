"""Reflectance of materials, in the eight bands of the strips and in photos."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Material(IntEnum):
    """Surfaces of the ground; roofs start at :data:`FIRST_ROOF`, cars at `FIRST_CAR`."""

    ASPHALT = 0
    PAVEMENT = 1
    MARKING = 2
    GRASS = 3
    MEADOW = 4
    PAVING = 5
    BRICK = 6
    WATER = 7
    PATH = 8
    PITCH = 9
    CLAY = 10
    CONCRETE = 11
    TREE = 12
    GRAVEL = 13


_GROUND = [
    (0.09, 0.09, 0.095),
    (0.27, 0.26, 0.24),
    (0.58, 0.58, 0.55),
    (0.075, 0.145, 0.04),
    (0.20, 0.20, 0.09),
    (0.38, 0.34, 0.28),
    (0.31, 0.17, 0.12),
    (0.035, 0.075, 0.10),
    (0.40, 0.32, 0.20),
    (0.06, 0.20, 0.06),
    (0.36, 0.14, 0.08),
    (0.31, 0.31, 0.30),
    (0.045, 0.085, 0.028),
    (0.23, 0.21, 0.18),
]
_ROOFS = [
    (0.40, 0.15, 0.08),  # tile
    (0.10, 0.11, 0.14),  # slate
    (0.62, 0.62, 0.60),  # white membrane
    (0.15, 0.33, 0.26),  # copper
    (0.45, 0.32, 0.10),  # ochre
    (0.10, 0.20, 0.42),  # blue steel
    (0.19, 0.11, 0.07),  # brown
    (0.46, 0.26, 0.24),  # pink
]
_CARS = [
    (0.55, 0.55, 0.55),
    (0.04, 0.04, 0.045),
    (0.30, 0.31, 0.33),
    (0.42, 0.05, 0.04),
    (0.06, 0.10, 0.30),
    (0.32, 0.29, 0.22),
]
FIRST_ROOF = len(_GROUND)
ROOFS = len(_ROOFS)
FIRST_CAR = FIRST_ROOF + ROOFS
CARS = len(_CARS)
# (materials, 3): linear reflectance in red, green, blue.
RGB: NDArray[np.float32] = np.array([*_GROUND, *_ROOFS, *_CARS], dtype=np.float32)
# Walls have a paler version of the roof's colour, which a network can learn from both views.
WALL_RGB: NDArray[np.float32] = RGB.copy()
WALL_RGB[FIRST_ROOF:FIRST_CAR] = 0.62 * RGB[FIRST_ROOF:FIRST_CAR] + 0.17

_PLANTS = [Material.GRASS, Material.MEADOW, Material.PITCH, Material.TREE]


def bands() -> NDArray[np.float32]:
    """Return the reflectance of every material, in bands like WorldView-3's.

    Returns:
        (materials, 8): coastal, blue, green, yellow, red, red edge, NIR1, NIR2.
    """
    red, green, blue = RGB.T
    near = 1.12 * red
    edge = 1.06 * red
    near[_PLANTS] = (0.42, 0.33, 0.45, 0.48)
    edge[_PLANTS] = (0.24, 0.25, 0.26, 0.25)
    near[Material.WATER] = 0.015
    yellow = (red + green) / 2
    return np.stack([0.92 * blue, blue, green, yellow, red, edge, near, 0.96 * near], axis=1)
