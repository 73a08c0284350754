import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from witw.cvig.network.degrade import blur, grey, jpeg


def scene(rows=52, columns=75):
    """Return a picture with edges, gradients and colours, whose size is no multiple of a block."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:rows, :columns]
    base = np.stack([x * 3, y * 4, 255 - x * 2], axis=-1) % 256
    base[10:30, 20:50] = (200, 30, 60)
    return np.clip(base + rng.normal(0, 6, base.shape), 0, 255).astype(np.uint8)


def as_tensor(picture):
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize("quality", [30, 50, 75, 90])
def test_jpeg_equals_libjpegs(quality):
    """Pillow writes and reads a file; our version needs no file."""
    picture, file = scene(), io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=0)
    expected = np.asarray(Image.open(file)).astype(float)
    found = jpeg(as_tensor(picture), torch.tensor([float(quality)]))[0].permute(1, 2, 0).numpy()
    lost = np.abs(expected - picture).mean()
    assert lost > 1
    assert np.abs(found - expected).mean() < 0.15 * lost


def test_blur_equals_pillows():
    picture = scene()
    found = blur(as_tensor(picture), torch.tensor([1.2]))[0].permute(1, 2, 0).numpy()
    expected = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1.2)))
    inner = np.s_[6:-6, 6:-6]
    assert np.abs(found[inner] - expected[inner]).mean() < 1.5  # its blur is three boxes
    assert np.abs(found[inner] - picture[inner].astype(float)).mean() > 5


def test_grey_equals_pillows():
    picture = scene()
    found = grey(as_tensor(picture), torch.tensor([True]))[0]
    expected = torch.from_numpy(np.array(Image.fromarray(picture).convert("L"))).float()
    assert (found - expected).abs().max() <= 1


def test_each_picture_has_its_own_strength_and_zero_changes_nothing():
    pictures = as_tensor(scene()).repeat(3, 1, 1, 1)
    quality = torch.tensor([0.0, 40.0, 90.0])
    made = jpeg(pictures, quality)
    assert torch.equal(made[0], pictures[0])
    torch.testing.assert_close(made[1], jpeg(pictures[1:2], quality[1:2])[0])
    torch.testing.assert_close(blur(pictures, torch.zeros(3)), pictures)
    assert torch.equal(grey(pictures, torch.tensor([False, True, False]))[0], pictures[0])
