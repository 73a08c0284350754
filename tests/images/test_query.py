"""Users' photos: any format, any size, and the field of view from EXIF data."""

import io
import math

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from witw.errors import UserError
from witw.images.query import ENOUGH_PX, open_query

SIZE = (160, 96)
RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 40), (30, 40, 210), (240, 240, 240)


def quarters(size=SIZE):
    """Return a picture with quarters, from the upper left by rows, of red, green, blue, white."""
    picture = Image.new("RGB", size)
    half = size[0] // 2, size[1] // 2
    for n, colour in enumerate((RED, GREEN, BLUE, WHITE)):
        picture.paste(colour, (n % 2 * half[0], n // 2 * half[1], *(
            (n % 2 + 1) * half[0], (n // 2 + 1) * half[1])))  # fmt: skip
    return picture


def seen(picture):
    """Return the colours in the middle of the four quarters."""
    wide, high = picture.size
    return [picture.getpixel((x * wide // 4, y * high // 4)) for y in (1, 3) for x in (1, 3)]


def assert_upright(photo, tolerance=40):
    assert photo.picture.mode == "RGB"
    assert abs(photo.picture.width / photo.picture.height - SIZE[0] / SIZE[1]) < 0.02
    apart = np.abs(np.array(seen(photo.picture)) - [RED, GREEN, BLUE, WHITE])
    assert apart.max() < tolerance, seen(photo.picture)


def exif(orientation=1, focal_mm=None, gps=None):
    out = Image.Exif()
    out[0x0112] = orientation
    if focal_mm:
        out[0x8769] = {0xA405: focal_mm}
    if gps:
        out[0x8825] = gps
    return out


def lying():
    """Return the quarters as stored by a rotated camera, with orientation 6."""
    return quarters().transpose(Image.Transpose.ROTATE_90)


PLAIN = {
    "a.jpg": {}, "a.png": {}, "a.webp": {"lossless": True}, "a.bmp": {}, "a.tif": {},
    "a.jp2": {}, "a.ppm": {}, "a.tga": {}, "a.avif": {"quality": 95}, "a.heic": {"quality": 95},
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_every_format_is_read(tmp_path, name):
    pillow_heif.register_heif_opener()
    quarters().save(tmp_path / name, **PLAIN[name])
    assert_upright(open_query(tmp_path / name))


def test_formats_with_a_palette_are_read_in_their_colours(tmp_path):
    quarters().quantize(16).save(tmp_path / "a.gif")
    assert_upright(open_query(tmp_path / "a.gif"))
    more = [Image.new("RGB", SIZE), Image.new("L", SIZE)]
    quarters().save(tmp_path / "b.gif", save_all=True, append_images=more)
    assert_upright(open_query(tmp_path / "b.gif"))


def test_cmyk_is_converted(tmp_path):
    quarters().convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert_upright(open_query(tmp_path / "a.jpg"), tolerance=60)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.heic", "a.avif"])
def test_a_rotated_photo_is_turned_once(tmp_path, name):
    pillow_heif.register_heif_opener()
    lying().save(tmp_path / name, exif=exif(6).tobytes(), **PLAIN[name])
    assert_upright(open_query(tmp_path / name))


def test_sixteen_bits_keep_their_shades(tmp_path):
    ramp = np.linspace(0, 65535, 256)[None].repeat(64, axis=0).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    Image.fromarray((ramp / 65535).astype(np.float32)).save(tmp_path / "float.tif")
    for name in ("a.png", "a.tif", "float.tif"):
        found = np.asarray(open_query(tmp_path / name).picture, int)
        assert np.abs(found[32, :, 0] - np.arange(256)).max() <= 1, name


def test_transparent_pixels_are_black(tmp_path):
    picture = quarters().convert("RGBA")
    picture.putalpha(
        Image.fromarray(np.arange(96)[:, None].repeat(160, 1).astype(np.uint8) // 48 * 255)
    )
    picture.save(tmp_path / "a.png")
    assert seen(open_query(tmp_path / "a.png").picture) == [(0, 0, 0)] * 2 + [BLUE, WHITE]


def test_a_photo_of_50_megapixels_is_decoded_small(tmp_path):
    quarters((8160, 6120)).save(tmp_path / "a.jpg", quality=80)
    photo = open_query(tmp_path / "a.jpg")
    assert ENOUGH_PX <= max(photo.picture.size) < 2 * ENOUGH_PX
    apart = np.abs(np.array(seen(photo.picture)) - [RED, GREEN, BLUE, WHITE])
    assert apart.max() < 20


def test_limits_are_stated(tmp_path):
    Image.new("L", (8000, 6251)).save(tmp_path / "large.png", compress_level=1)
    with pytest.raises(UserError, match=r"large\.png is too large: 8000 x 6251 px.*50,000,000"):
        open_query(tmp_path / "large.png")
    Image.new("RGB", (20, 31)).save(tmp_path / "small.png")
    with pytest.raises(UserError, match=r"small\.png is too small: 20 x 31 px.*at least 32 px"):
        open_query(tmp_path / "small.png")
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(600_000_000)
    with pytest.raises(UserError, match=r"huge\.jpg is too large: 600 MB, of which at most 500"):
        open_query(tmp_path / "huge.jpg")
    Image.new("RGB", (100, 100)).save(tmp_path / "fine.png")
    assert open_query(tmp_path / "fine.png").picture.size == (100, 100)


def damaged(body):
    return body[: len(body) // 2]


def test_a_file_that_is_not_a_photo_gives_one_sentence(tmp_path):
    (tmp_path / "no.jpg").write_bytes(b"no photo at all")
    with pytest.raises(UserError, match=r"no\.jpg is not a readable photo: it is not in a known"):
        open_query(tmp_path / "no.jpg")
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(UserError, match=r"empty\.jpg is not a readable photo"):
        open_query(tmp_path / "empty.jpg")
    with pytest.raises(UserError, match=r"absent\.jpg cannot be read: No such file"):
        open_query(tmp_path / "absent.jpg")
    with pytest.raises(UserError, match=r"cannot be read: Is a directory"):
        open_query(tmp_path)
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n")
    with pytest.raises(UserError, match=r"a\.eps is not a readable photo"):
        open_query(tmp_path / "a.eps")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.heic", "a.avif", "a.tif"])
def test_a_truncated_photo_gives_one_sentence(tmp_path, name):
    pillow_heif.register_heif_opener()
    noise = np.random.default_rng(1).integers(0, 255, (96, 160, 3), np.uint8)
    picture = Image.fromarray(noise)
    out = io.BytesIO()
    picture.save(out, {"a.jpg": "JPEG", "a.heic": "HEIF", "a.tif": "TIFF"}.get(name, name[2:]))
    (tmp_path / name).write_bytes(damaged(out.getvalue()))
    with pytest.raises(UserError, match=rf"{name} is not a readable photo") as caught:
        open_query(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert "object at 0x" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.heic"])
def test_the_field_of_view_comes_from_exif(tmp_path, name):
    pillow_heif.register_heif_opener()
    quarters((240, 160)).save(tmp_path / name, exif=exif(focal_mm=36).tobytes())
    photo = open_query(tmp_path / name)
    # A lens of 36 mm on a frame of 36 x 24 mm sees 2 atan(1 / 2) along the long side.
    assert photo.fov_deg == pytest.approx(math.degrees(2 * math.atan(0.5)), abs=0.05)
    assert photo.fov_source == "exif"
    given = open_query(tmp_path / name, fov=80.0)
    assert (given.fov_deg, given.fov_source) == (80.0, "given")


def test_positions_are_not_read(tmp_path, monkeypatch):
    looked = []
    plain = Image.Exif.get_ifd
    monkeypatch.setattr(Image.Exif, "get_ifd", lambda s, tag: looked.append(tag) or plain(s, tag))
    gps = {1: "N", 2: (IFDRational(52), IFDRational(22), IFDRational(9)), 0x11: IFDRational(90)}
    quarters().save(tmp_path / "a.jpg", exif=exif(6, focal_mm=28, gps=gps), quality=95)
    photo = open_query(tmp_path / "a.jpg")
    assert 0x8825 not in looked
    assert not photo.picture.getexif()
    assert "exif" not in photo.picture.info


def test_bytes_are_accepted_too(tmp_path):
    out = io.BytesIO()
    quarters().save(out, "PNG")
    photo = open_query(out.getvalue(), name="dropped.png")
    assert_upright(photo)
    assert photo.name == "dropped.png"


@pytest.mark.parametrize("name", ["AVIF", "DDS", "GIF", "HEIF", "JPEG", "PNG", "TIFF", "WEBP"])
def test_damaged_bytes_of_any_format_give_one_sentence(name):
    """Pillow's readers raise exceptions of many kinds."""
    pillow_heif.register_heif_opener()
    out = io.BytesIO()
    quarters().save(out, name)
    whole, rng = out.getvalue(), np.random.default_rng(1)
    told = 0
    for _ in range(60):
        body = bytearray(whole)
        for place in rng.integers(0, min(len(body), 600), 6):
            body[place] = rng.integers(0, 256)
        try:
            open_query(bytes(body), "town.bin")
        except UserError as error:
            told += 1
            assert str(error).startswith("town.bin is ") and "\n" not in str(error)
    assert told
