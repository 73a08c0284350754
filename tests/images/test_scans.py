"""Zeros in a JPEG's coded data: lost sectors are found, flat pictures are not blamed."""

import io
import itertools
import struct
import time
import timeit

import numpy as np
import pytest
from PIL import Image

from witw.images import photo
from witw.images.scans import has_gap

SIZE = (500, 375)
X, Y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))


def jpeg(pixels, mode="RGB", **options):
    out = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def grainy(seed=0):
    noise = np.random.default_rng(seed).normal(0, 12, (*SIZE[::-1], 3))
    return np.clip(np.stack([X / 2, Y / 1.5, (X + Y) / 4], -1) + noise, 0, 255)


def overexposed(rows):
    pixels = grainy()
    pixels[:rows] = 255
    return pixels


FLAT = {
    "white": np.full((*SIZE[::-1], 3), 255),
    "black": np.zeros((*SIZE[::-1], 3)),
    "one colour": np.broadcast_to((37, 142, 201), (*SIZE[::-1], 3)),
    "a gradient": np.repeat((X // 2)[..., None], 3, -1),
    "a falling gradient": np.repeat((255 - Y // 2)[..., None], 3, -1),
    "checks": np.repeat(((X // 8 + Y // 8) % 2 * 255)[..., None], 3, -1),
    "stripes": np.repeat(((X % 8 < 4) * 255)[..., None], 3, -1),
    "a white sky": overexposed(200),
    "almost only sky": overexposed(360),
}
FORMS = [
    dict(zip(("progressive", "optimize", "subsampling", "quality"), form, strict=True))
    for form in itertools.product((False, True), (False, True), (0, 2), (5, 60, 90, 100))
]


@pytest.mark.parametrize("name", FLAT)
def test_a_flat_picture_has_no_gap(name):
    """Optimized tables give flat blocks codes of zeros, so such files hold long runs of them."""
    for form in FORMS:
        for mode in ("RGB", "L"):
            assert not has_gap(jpeg(FLAT[name], mode, **form)), (form, mode)


@pytest.mark.parametrize("size", [512, 4096, 8192])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}], ids=str)
def test_lost_sectors_are_found_anywhere_in_a_photo(options, size):
    full = jpeg(grainy(1), quality=90, **options)
    first = full.index(b"\xff\xda")
    missed = 0
    places = np.linspace(first + 20, len(full) - size - 2, 60).astype(int)
    for place in places:
        body = full[:place] + bytes(size) + full[place + size :]
        try:
            photo.examine(body)
            missed += 1
        except OSError:
            pass
    assert missed == 0


def test_zeros_outside_the_coded_data_are_no_gap():
    full = jpeg(grainy(), quality=80)
    padding = b"\xff\xe1" + struct.pack(">H", 20_002) + bytes(20_000)
    comment = b"\xff\xfe" + struct.pack(">H", 500) + bytes(498)
    assert not has_gap(full[:2] + padding + comment + full[2:] + bytes(100_000))
    assert not has_gap(full + full[:-2] + bytes(5000) + b"\xff\xd9")  # a second picture


def test_a_bomb_of_scans_is_not_decoded():
    """Each scan of 100 bytes would take as long as the whole picture."""
    full = jpeg(np.full((2000, 3000, 3), 99), "L", progressive=True, quality=50)
    scan = full[full.rindex(b"\xff\xc4", 0, full.rindex(b"\xff\xda")) : -2]
    assert len(scan) < 200
    bomb = full[:-2] + scan * 400 + b"\xff\xd9"
    began = time.monotonic()
    with pytest.raises(photo.TooManyPixels, match="3000 x 2000 px in more than 100 scans"):
        photo.examine(bomb)
    with pytest.raises(photo.TooManyPixels):
        photo.decode(bomb)
    assert time.monotonic() - began < 1
    assert photo.examine(full).bands == 1
    # What follows the end marker is no part of the picture.
    assert photo.examine(full + scan * 400).bands == 1


def test_damaged_headers_are_left_to_the_decoder():
    full = jpeg(grainy(), progressive=True, quality=80)
    holed = full[: len(full) // 2] + bytes(6000) + full[len(full) // 2 + 6000 :]
    assert has_gap(holed)
    for place in range(2, full.index(b"\xff\xda") + 10):
        for value in (0, 1, 255):
            has_gap(holed[:place] + bytes([value]) + holed[place + 1 :])
    for end in range(0, 700, 7):
        has_gap(holed[:end])


def test_a_photo_of_flickrs_size_takes_a_small_part_of_a_millisecond():
    body = jpeg(grainy(), quality=90)
    assert min(timeit.repeat(lambda: has_gap(body), number=100, repeat=5)) / 100 < 3e-4
