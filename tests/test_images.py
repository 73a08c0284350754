import contextlib
import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from witw import images


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
    assert np.array_equal(np.asarray(images.open_photo(path)), expected)


def test_broken_exif_does_not_hide_the_picture(tmp_path):
    path = tmp_path / "1.jpg"
    path.write_bytes(jpeg(quadrants(), exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xffrubbish"))
    assert images.open_photo(path).size == (96, 64)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_any_jpeg_becomes_rgb(tmp_path, mode):
    path = tmp_path / "1.jpg"
    path.write_bytes(jpeg(quadrants().convert(mode)))
    assert images.open_photo(path).mode == "RGB"


def test_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch):
    path = tmp_path / "1.jpg"
    path.write_bytes(jpeg(quadrants()))
    monkeypatch.setattr(images, "MAX_PIXELS", 64 * 96 - 1)
    with pytest.raises(images.TooManyPixels, match="96 x 64"):
        images.open_photo(path)


def test_what_is_not_a_picture_is_an_oserror(tmp_path):
    path = tmp_path / "1.jpg"
    path.write_bytes(b"<html>")
    with pytest.raises(OSError):
        images.open_photo(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_described_as_it_is_shown(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = jpeg(quadrants(), exif=exif)
    traits = images.examine(body)
    assert (traits.width, traits.height) == images.decode(body).size
    assert (traits.bands, traits.is_single) == (3, True)


def test_several_pictures_in_one_file_are_seen():
    out = io.BytesIO()
    quadrants().save(out, "MPO", save_all=True, append_images=[quadrants().rotate(90)])
    assert not images.examine(out.getvalue(), ("JPEG",)).is_single
    assert images.examine(jpeg(quadrants().convert("L"))).bands == 1


def test_broken_bytes_raise_what_is_promised():
    whole = jpeg(quadrants())
    rng = np.random.default_rng(0)
    for _ in range(300):
        body = bytearray(whole)
        for place in rng.integers(0, len(body), 4):
            body[place] = rng.integers(0, 256)
        with contextlib.suppress(OSError, images.TooManyPixels):
            images.examine(bytes(body))
