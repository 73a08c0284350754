"""Pictures of the imagery: the area from above, and the ground around a place, turned to a heading.

The brightness is that of the raster, to make details of the photo recognizable.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import Resampling
from rasterio.transform import from_bounds
from rasterio.vrt import WarpedVRT

MAP_PX = 2200  # maximum long side of the area's picture
MAP_BYTES = 2_400_000  # maximum size of this picture
CHIP_PX = 440
CHIP_M = 225.0  # side of the ground shown around a place
PHOTO_PX = 900
_QUALITIES = (82, 72, 60, 45, 30)


@dataclass(frozen=True)
class Frame:
    """The rectangle that a map shows, in metres of its zone.

    Attributes:
        west, south, east, north: its edges [m].
    """

    west: float
    south: float
    east: float
    north: float

    @classmethod
    def of(cls, grid: Any) -> Frame:
        """Return the frame of a grid's cells, see :class:`witw.cvig.grid.Grid`."""
        east = grid.west + grid.columns * grid.step_m
        return cls(grid.west, grid.north - grid.rows * grid.step_m, east, grid.north)

    @property
    def width_m(self) -> float:
        """Width from west to east [m]."""
        return self.east - self.west

    @property
    def height_m(self) -> float:
        """Height from south to north [m]."""
        return self.north - self.south


def area(mosaic: Path, frame: Frame, longest_px: int = MAP_PX) -> Image.Image:
    """Read the area from above as RGB, grey without imagery, at most at the raster's resolution."""
    with rasterio.open(mosaic) as source:
        finest = max(frame.width_m, frame.height_m) / abs(source.transform.a)
        scale = min(longest_px, max(64.0, finest)) / max(frame.width_m, frame.height_m)
        size = max(1, round(frame.width_m * scale)), max(1, round(frame.height_m * scale))
        return _read(source, frame, size)


def around(
    mosaic: Path, place: tuple[float, float], heading_deg: float, side_m: float = CHIP_M,
    side_px: int = CHIP_PX,
) -> Image.Image:  # fmt: skip
    """Read the ground around a place, turned so that the camera's direction is up.

    Args:
        mosaic: the area's raster.
        place: easting and northing [m].
        heading_deg: heading, clockwise from grid north; NaN: north is up.
        side_m: side of the ground shown [m].
        side_px: side of the picture [px].
    """
    turn = 0.0 if math.isnan(heading_deg) else heading_deg
    reach = side_m / 2 * math.sqrt(2)
    wide = math.ceil(side_px * math.sqrt(2))
    frame = Frame(place[0] - reach, place[1] - reach, place[0] + reach, place[1] + reach)
    with rasterio.open(mosaic) as source:
        square = _read(source, frame, (wide, wide))
    # Pillow rotates anticlockwise, which turns the direction of the heading up.
    upright = square.rotate(turn, Image.Resampling.BICUBIC)
    edge = (wide - side_px) // 2
    return upright.crop((edge, edge, edge + side_px, edge + side_px))


def _read(source: Any, frame: Frame, size: tuple[int, int]) -> Image.Image:
    width, height = size
    finer = frame.width_m / width < abs(source.transform.a)
    options = {
        "add_alpha": True,
        "crs": source.crs,
        "transform": from_bounds(frame.west, frame.south, frame.east, frame.north, width, height),
        "width": width,
        "height": height,
        "resampling": Resampling.cubic if finer else Resampling.average,
    }
    with WarpedVRT(source, **options) as view:
        rgb: NDArray[np.uint8] = view.read((1, 2, 3)).transpose(1, 2, 0)
        blank = view.read(view.count) == 0
    rgb[blank] = 128
    return Image.fromarray(rgb)


def jpeg(picture: Image.Image, most_bytes: int | None = None, quality: int = 82) -> bytes:
    """Encode as JPEG, with lower quality and then smaller size, until `most_bytes` is kept."""
    qualities = _QUALITIES if most_bytes else (quality,)
    for quality in qualities:
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=quality, optimize=True, progressive=True)
        if most_bytes is None or len(out.getvalue()) <= most_bytes:
            return out.getvalue()
    smaller = picture.size[0] * 2 // 3, picture.size[1] * 2 // 3
    if min(smaller) < 64:
        return out.getvalue()
    return jpeg(picture.resize(smaller, Image.Resampling.LANCZOS), most_bytes)


def shrunk(photo: Image.Image, longest_px: int = PHOTO_PX) -> Image.Image:
    """Shrink the photo to a maximum long side."""
    scale = min(1.0, longest_px / max(photo.size))
    width, height = (max(1, round(side * scale)) for side in photo.size)
    return photo.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
