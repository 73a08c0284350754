import contextlib
import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from witw.images import photo as images


def quadrants() -> Image.Image:
    """Return four colours, so that all turns and flips differ."""
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


def test_too_many_pixels_are_refused_before_decoding_by_a_sentence_with_the_limit(tmp_path):
    path = tmp_path / "1.png"
    Image.new("L", (8000, 6251)).save(path, compress_level=1)
    with pytest.raises(images.TooManyPixels, match=r"8000 x 6251 px.*at most 50,000,000"):
        images.open_photo(path)


def claims(body: bytes, width: int, height: int) -> bytes:
    """Return a JPEG whose header claims another size."""
    frame = body.index(b"\xff\xc0")
    return body[: frame + 5] + struct.pack(">HH", height, width) + body[frame + 9 :]


def test_a_jpeg_that_claims_more_than_its_bytes_can_hold_is_not_decoded():
    body = jpeg(quadrants())
    for size in ((9000, 9000), (20_000, 12_000)):
        with pytest.raises(images.TooManyPixels, match=f"{size[0]} x {size[1]} px in [0-9,]+ byt"):
            images.examine(claims(body, *size))
    with pytest.raises(images.TooManyPixels, match="at most 250,000,000"):
        images.examine(claims(body, 60_000, 60_000))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_photo_of_a_phone_is_decoded_at_a_smaller_size(tmp_path, mode):
    """50.8 million pixels, as from phones: half of the size, and the same field of view."""
    large = quadrants().convert(mode).resize((8240, 6168), Image.Resampling.NEAREST)
    path = tmp_path / "1.jpg"
    path.write_bytes(jpeg(large, quality=90, exif=quadrants_exif()))
    photo = images.open_photo(path)
    assert photo.mode == "RGB"
    assert photo.size == (6168 // 2, 8240 // 2)  # turned, too
    traits = images.examine(path.read_bytes())
    assert (traits.width, traits.height) == (6168, 8240)
    small = np.asarray(photo.transpose(Image.Transpose.ROTATE_90).resize((96, 72)), int)
    wanted = np.asarray(quadrants().convert(mode).convert("RGB").resize((96, 72)), int)
    assert np.abs(small - wanted).mean() < 4
    assert images.fov_deg(path, *photo.size) == images.fov_deg(path, 6168, 8240) > 60


def quadrants_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0xA405] = 28
    return exif


def grainy(mode="RGB", size=(500, 375)) -> Image.Image:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    smooth = np.stack([x / 2, y / 1.5, (x + y) / 4], -1)
    pixels = np.clip(smooth + rng.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def holes(full: bytes) -> dict[str, bytes]:
    """Return the same JPEG with a hole, keeping its end marker."""
    n = len(full)
    return {
        "second half gone": full[: n // 2] + b"\xff\xd9",
        "middle gone": full[: int(0.4 * n)] + full[int(0.7 * n) :],
        "zeros in the middle": full[: n // 2] + bytes(8192) + full[n // 2 + 8192 :],
        "zeros at the end": full[: int(0.9 * n)] + bytes(n - int(0.9 * n) - 2) + full[-2:],
    }


KINDS = [
    {},
    {"progressive": True},
    {"optimize": True},
    {"restart_marker_blocks": 8},
    {"subsampling": 0},
    {"subsampling": 1},
    {"subsampling": 0, "progressive": True},
]


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_hole_is_detected_before_an_end_marker(tmp_path, options, mode):
    full = jpeg(grainy(mode), quality=90, **options)
    images.examine(full)
    missed = []
    for what, body in holes(full).items():
        path = tmp_path / "1.jpg"
        path.write_bytes(body)
        try:
            images.examine(body)
            missed.append(what)
        except OSError:
            with pytest.raises(OSError):
                images.open_photo(path)
    assert not missed


@pytest.mark.parametrize("options", [*KINDS, {"quality": 10}, {"quality": 100}], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("tail", [b"", b"\0" * 16, b"\xff\xd9", bytes(range(256)) * 5000])
def test_a_whole_photo_is_never_called_damaged(tmp_path, options, mode, tail):
    body = jpeg(grainy(mode, (333, 250)), **options)
    assert images.examine(body + tail).width == 333
    path = tmp_path / "1.jpg"
    path.write_bytes(body + tail)
    with Image.open(io.BytesIO(body)) as raw:
        assert np.array_equal(np.asarray(images.open_photo(path)), np.asarray(raw.convert("RGB")))


def test_a_cameras_padding_of_zeros_is_not_damage():
    body = jpeg(grainy())
    assert images.examine(body[:-2] + bytes(3) + body[-2:]).is_single
    with pytest.raises(OSError):
        images.examine(body[:-2] + b"\x12\x34\x56" + body[-2:])


def test_a_colour_profile_is_applied(tmp_path):
    """The profile's red primary is sRGB's green and so on, so that its red is shown green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # Tags of the primaries swap their names, and the description is no longer sRGB.
    profile = profile.replace(b"rXYZ", b"tmp1").replace(b"gXYZ", b"rXYZ").replace(b"tmp1", b"gXYZ")
    profile = profile.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))
    path = tmp_path / "1.jpg"
    red = Image.new("RGB", (64, 64), (255, 0, 0))
    path.write_bytes(jpeg(red, quality=95, icc_profile=bytes(profile)))
    assert np.abs(np.asarray(images.open_photo(path), int) - (0, 255, 0)).max() < 12
    # A broken profile, and sRGB's own, change nothing.
    for other in (b"rubbish", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()):
        path.write_bytes(jpeg(red, quality=95, icc_profile=other))
        assert np.abs(np.asarray(images.open_photo(path), int) - (254, 0, 0)).max() < 4


def test_an_unsupported_format_is_named(tmp_path):
    path = tmp_path / "1.jpg"
    quadrants().save(path, "GIF")
    with pytest.raises(OSError, match="it is not a JPEG or PNG or WEBP picture"):
        images.open_photo(path)


def test_a_file_that_is_not_a_picture_is_an_oserror(tmp_path):
    path = tmp_path / "1.jpg"
    path.write_bytes(b"<html>")
    with pytest.raises(OSError):
        images.open_photo(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_described_as_displayed(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = jpeg(quadrants(), exif=exif)
    traits = images.examine(body)
    assert (traits.width, traits.height) == images.decode(body).size
    assert (traits.bands, traits.is_single) == (3, True)


def test_several_pictures_in_one_file_are_detected():
    out = io.BytesIO()
    quadrants().save(out, "MPO", save_all=True, append_images=[quadrants().rotate(90)])
    assert not images.examine(out.getvalue(), ("JPEG",)).is_single
    assert images.examine(jpeg(quadrants().convert("L"))).bands == 1


def test_broken_bytes_raise_the_documented_errors():
    whole = jpeg(quadrants())
    rng = np.random.default_rng(0)
    for _ in range(300):
        body = bytearray(whole)
        for place in rng.integers(0, len(body), 4):
            body[place] = rng.integers(0, 256)
        with contextlib.suppress(OSError, images.TooManyPixels):
            images.examine(bytes(body))
