"""Classification by bytes: truncation, other formats, several pictures, placeholders."""

import io

import numpy as np
import pytest
from download_host import bomb, fetch, picture, send, stored
from PIL import Image, ImageDraw

from witw.flickr.photo_host.outcome import inspect

pytestmark = pytest.mark.usefixtures("run_folder")


def test_no_truncated_photo_passes_for_complete():
    body = picture(3, size=(160, 128), quality=60)
    assert inspect(body, 64).status == "ok"
    for length in range(0, len(body), 7):
        assert not inspect(body[:length], 64).stored, length
    assert not inspect(body[:-1], 64).stored
    assert inspect(body + b"\x00" * 16, 64).status == "ok"


def frames(count: int, form: str) -> bytes:
    pictures = [Image.fromarray(np.full((64, 80, 3), 60 * n, np.uint8)) for n in range(count)]
    out = io.BytesIO()
    pictures[0].save(out, form, save_all=True, append_images=pictures[1:])
    return out.getvalue()


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (picture(form="PNG"), "a PNG picture"),
        (frames(3, "PNG"), "an animated PNG picture (APNG)"),
        (picture(form="GIF", mode="P"), "a GIF picture"),
        (frames(3, "GIF"), "an animated GIF picture"),
        (picture(form="WEBP"), "a WebP picture"),
        (frames(3, "WEBP"), "an animated WebP picture"),
        (picture(form="TIFF"), "a TIFF picture"),
        (frames(2, "TIFF"), "a TIFF file of several pictures"),
        (picture(form="AVIF"), "an AVIF picture"),
        (frames(2, "MPO"), "several pictures in one file (MPO)"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(100), "a video or another media file"),
        (b"RIFF\x00\x00\x00\x00AVI " + bytes(100), "a video or another media file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(10), "a PNG picture"),
    ],
)
def test_other_formats_are_named(body, name):
    outcome = inspect(body, 16)
    assert (outcome.status, outcome.reason, outcome.again) == ("corrupt", name, False)


def test_a_single_band_differs_from_several_pictures():
    assert inspect(picture(mode="L"), 16).status == "grey"
    assert inspect(picture(), 16).status == "ok"


def test_a_bomb_is_refused_by_its_header():
    assert inspect(bomb(60_000), 64).reason.startswith("too many pixels")


def notice(form="JPEG") -> bytes:
    """Return a drawn "no longer available" picture, like those of hosts."""
    drawn = Image.new("RGB", (500, 374), (240, 240, 240))
    pen = ImageDraw.Draw(drawn)
    pen.text((120, 170), "This photo is no longer available", (90, 90, 90), font_size=18)
    out = io.BytesIO()
    drawn.save(out, form)
    return out.getvalue()


def serve(host, bodies: dict[str, bytes]) -> dict[str, str]:
    host.plan = {f"/{i}": [send(body)] for i, body in bodies.items()}
    return {i: f"{host.url}/{i}" for i in bodies}


def test_a_placeholder_in_http_200_is_not_a_photo(host):
    bodies = {str(n): notice() for n in range(4)} | {str(n): picture(n) for n in range(4, 7)}
    urls = serve(host, bodies)
    for _ in range(2):  # the second time some lie in the store, and it ends the same
        data = fetch(urls, host.entry)
        gone = data[data["status"] == "gone"]
        assert sorted(gone.index) == ["0", "1", "2", "3"]
        assert set(gone["reason"]) == {"a placeholder picture"} and set(gone["path"]) == {""}
        assert sorted(path.stem for path in stored()) == ["4", "5", "6"]


def test_a_placeholder_in_png_is_gone_and_any_other_png_is_not_a_photo(host):
    urls = serve(host, {"1": notice("PNG"), "2": picture(2, form="PNG")})
    data = fetch(urls, host.entry)
    assert data["status"].to_dict() == {"1": "gone", "2": "corrupt"}
    assert data.loc["1", "reason"] == "a placeholder picture, a PNG picture"


def test_a_photo_uploaded_several_times_stays(host):
    """The same bytes, at one place, or at many places but looking like a photo."""
    night = notice()
    urls = serve(
        host, {str(n): night for n in range(4)} | {str(n): picture(9) for n in range(4, 9)}
    )
    places = {str(n): (1.0, 2.0) for n in range(4)} | {str(n): (float(n), 3.0) for n in range(4, 9)}
    data = fetch(urls, host.entry, places=places)
    assert set(data["status"]) == {"ok"}
    assert len(stored()) == 9


def test_nothing_and_rubbish_are_not_taken_for_a_placeholder(host):
    bodies = {str(n): b"" for n in range(4)} | {str(n): b"sorry" for n in range(4, 8)}
    urls = serve(host, bodies | {"9": picture()})
    status = fetch(urls, host.entry)["status"].to_dict()
    assert status == dict.fromkeys("0123", "failed") | dict.fromkeys("4567", "corrupt") | {
        "9": "ok"
    }


def sixteen_bits() -> bytes:
    """Return a grey photo of 16 bits, almost entirely brighter than 255."""
    y, x = np.mgrid[0:374, 0:500]
    out = io.BytesIO()
    Image.fromarray((3000 + 80 * x + 40 * y).astype(np.uint16)).save(out, "PNG")
    return out.getvalue()


def test_only_a_visible_notice_counts_as_gone(host):
    """Unusable pictures are not gone: 16 bits per pixel, a dot, or a repeated small picture."""
    dot, small = picture(size=(8, 8), form="PNG"), picture(3, size=(48, 40))
    assert inspect(notice("PNG"), 16).status == "gone"
    for body, reason in ((sixteen_bits(), "a PNG picture"), (dot, "a PNG picture")):
        outcome = inspect(body, 16)
        assert (outcome.status, outcome.reason) == ("corrupt", reason)
    bodies = {str(n): small for n in range(4)} | {str(n): sixteen_bits() for n in range(4, 8)}
    data = fetch(serve(host, bodies | {"8": picture(8)}), host.entry)
    assert data["status"].to_dict() == dict.fromkeys("01234567", "corrupt") | {"8": "ok"}
