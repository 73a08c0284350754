"""Pictures unlike the training pictures are detected; similar ones are not."""

import numpy as np
import pytest
from PIL import Image

from witw.cvig.scoring import unusual
from witw.cvig.scoring.unusual import Usual, figures
from witw.images.resize import letterbox


def streets(count, seed):
    """Return pictures with a bright sky above smooth blocks of ordinary colours."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        blocks = rng.normal(120, 35, (6, 8, 3)) + rng.normal(0, 15, 3)
        blocks[:2] += 70
        small = Image.fromarray(blocks.clip(0, 255).astype(np.uint8))
        out.append(small.resize((400, 300), Image.Resampling.BICUBIC))
    return out


def described(pictures, side=64):
    squares, sizes = [], []
    for picture in pictures:
        square, *size = letterbox(picture, side)
        squares.append(square)
        sizes.append(size)
    return figures(np.stack(squares), np.array(sizes))


@pytest.fixture(scope="module")
def usual():
    return unusual.fit(described(streets(300, 0)), described(streets(200, 1)))


def test_photos_like_those_of_the_training_are_usual(usual):
    more = described(streets(400, 2))
    assert usual.is_unusual(more).mean() < 0.04
    assert np.median(usual.distance(more)) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("kind", ["noise", "flat", "upside down", "night"])
def test_other_photos_are_unusual(usual, kind):
    rng = np.random.default_rng(3)
    pictures = {
        "noise": [Image.fromarray(rng.integers(0, 255, (300, 400, 3), np.uint8))] * 2,
        "flat": [Image.new("RGB", (400, 300), (90, 120, 80))],
        "upside down": [p.transpose(Image.Transpose.ROTATE_180) for p in streets(20, 4)],
        "night": [p.point(lambda v: v // 8) for p in streets(20, 5)],
    }[kind]
    assert usual.is_unusual(described(pictures)).mean() > 0.9


def test_the_black_padding_is_ignored():
    picture = streets(1, 6)[0]
    square, *size = letterbox(picture, 64)
    _, height = size
    top = (64 - height) // 2
    alone = figures(square[None], np.array([size]))[0]
    assert alone[:3] == pytest.approx(square[top : top + height].mean(axis=(0, 1)) / 255)


@pytest.mark.parametrize("size", [(64, 1), (1, 64), (3, 2), (2, 64)])
def test_the_narrowest_photos_have_figures(size):
    square, *inside = letterbox(Image.new("RGB", size, (9, 99, 200)), 64)
    assert np.isfinite(figures(square[None], np.array([inside]))).all()


def test_the_fit_is_restored_from_its_file(usual):
    told = usual.tell()
    again = Usual.read(told)
    rows = described(streets(10, 7))
    assert again.distance(rows) == pytest.approx(usual.distance(rows), rel=1e-5)
    with pytest.raises(ValueError, match="whitening"):
        Usual.read(told | {"whitening": [[1.0]]})
