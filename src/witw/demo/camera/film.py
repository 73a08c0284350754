"""Develop a rendering into an ordinary JPEG: exposure, tone, enlargement, noise, EXIF."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from witw.demo.city.streets import Floats

# Exponent from linear light to file values.
_TONE = (255 * np.linspace(0, 1, 8192) ** (1 / 2.1)).astype(np.uint8)
# Sensor noise, drawn once and cropped at random.
_GRAIN = np.random.default_rng(1).standard_normal((1100, 1100), dtype=np.float32)


def develop(light: Floats, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Turn light into an ordinary photo: exposure, colour cast, tone, enlargement, noise.

    Args:
        light: (rows, columns, 3) from :func:`render` or a room.
        rng: Draws the camera's imperfections.
        size: Width and height of the photo [px].
    """
    gain = np.exp(rng.normal(0.0, 0.16)) * np.exp(rng.normal(0, 0.04, 3))
    level = light * (gain * 1.1 * (len(_TONE) - 1)).astype(np.float32)
    tone = _TONE[level.clip(0, len(_TONE) - 1).astype(np.int32)]
    image = Image.fromarray(tone).resize(size, Image.Resampling.BILINEAR)
    row, column = rng.integers(0, 600, 2)
    grain = _GRAIN[row : row + size[1], column : column + size[0]] * np.float32(rng.uniform(1.5, 4))
    noisy = np.asarray(image, dtype=np.int16) + grain.astype(np.int16)[..., None]
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def encode(
    image: Image.Image, focal_35mm: int | None = None, heading_deg: float | None = None
) -> bytes:
    """Encode the photo as a JPEG file.

    Args:
        image: RGB, or a single band for a grey photo.
        focal_35mm: Equivalent focal length for its EXIF data [mm].
        heading_deg: Heading for its EXIF data, clockwise from true north [degrees].
    """
    exif = Image.Exif()
    if focal_35mm is not None:
        exif[0x010F], exif[0x0110] = "Made", "Camera"
        exif.get_ifd(0x8769)[0xA405] = focal_35mm
    if heading_deg is not None:
        # GPSImgDirectionRef and GPSImgDirection, EXIF 2.32, table 15.
        exif[0x8825] = {0x0010: "T", 0x0011: IFDRational(round(100 * heading_deg), 100)}
    out = io.BytesIO()
    image.save(out, "JPEG", quality=88, exif=exif)
    return out.getvalue()
