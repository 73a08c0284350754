import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from witw import photos


def quadrants() -> Image.Image:
    """Four colours, so that no turn or flip looks like another."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:32, :48] = (220, 20, 20)
    pixels[:32, 48:] = (20, 220, 20)
    pixels[32:, :48] = (20, 20, 220)
    pixels[32:, 48:] = (220, 220, 20)
    return Image.fromarray(pixels)


def jpeg(picture: Image.Image, **options) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", **options)
    return out.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_shown_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "1.jpg"
    path.write_bytes(jpeg(quadrants(), exif=exif, quality=95))
    with Image.open(path) as raw:
        expected = np.asarray(ImageOps.exif_transpose(raw))
    assert np.array_equal(np.asarray(photos.open_photo(path)), expected)


def test_broken_exif_does_not_hide_the_picture(tmp_path):
    path = tmp_path / "1.jpg"
    path.write_bytes(jpeg(quadrants(), exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xffrubbish"))
    assert photos.open_photo(path).size == (96, 64)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_any_jpeg_becomes_rgb(tmp_path, mode):
    path = tmp_path / "1.jpg"
    path.write_bytes(jpeg(quadrants().convert(mode)))
    assert photos.open_photo(path).mode == "RGB"


def test_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch):
    path = tmp_path / "1.jpg"
    path.write_bytes(jpeg(quadrants()))
    monkeypatch.setattr(photos, "MAX_PIXELS", 64 * 96 - 1)
    with pytest.raises(ValueError, match="96 x 64"):
        photos.open_photo(path)


def test_what_is_not_a_picture_is_an_oserror(tmp_path):
    path = tmp_path / "1.jpg"
    path.write_bytes(b"<html>")
    with pytest.raises(OSError):
        photos.open_photo(path)
