"""The committed configs: their combination has the intended meaning."""

from pathlib import Path

import pytest
import yaml

from witw.config import load, merge
from witw.settings.pack import Pack
from witw.settings.train import Train

REPO = Path(__file__).parents[1]


def read(name):
    return yaml.safe_load((REPO / name).read_text())


BASE = read("config.yaml")


@pytest.mark.parametrize("name", ["configs/cpu.yaml", "configs/original.yaml"])
def test_a_network_of_another_kind_takes_nothing_from_the_default(name):
    """Combined with config.yaml, as its first lines advise, it means the same as alone."""
    over = read(name)
    found = load(merge(BASE, over))
    assert found.train == Train(**over["train"])
    assert found.pack == Pack(**over["pack"])


def test_the_larger_gpu_has_the_same_recipe():
    found, base = load(merge(BASE, read("configs/gpu_80gb.yaml"))), load(BASE)
    same = ("head", "bucket_m", "owner_cap", "shift_m", "fov_crop", "ema", "label_smoothing")
    assert all(getattr(found.train, key) == getattr(base.train, key) for key in same)
    assert found.train.batch > base.train.batch


@pytest.mark.parametrize("name", [None, "configs/gpu_80gb.yaml"])
def test_sizes_are_whole_patches_and_batches_can_be_shared(name):
    config = load(merge(BASE, read(name)) if name else BASE)
    assert config.pack.chip_px % 14 == config.pack.photo_px % 14 == 0
    assert config.train.batch >= 256
    assert all(config.train.batch % processes == 0 for processes in (2, 4, 8))
    assert config.train.weights == "timm"
