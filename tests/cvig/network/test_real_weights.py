"""Real ImageNet weights of two small networks, and real photographs."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from made_pairs import SMALL, write_pack
from PIL import Image
from timm.data import ImageNetInfo

from witw.cvig import batches
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.timm_backbone import Timm
from witw.cvig.network.towers import Network
from witw.cvig.training.trainer import Trainer
from witw.dataset.packed import Packed

REPO = Path(__file__).parents[3]
# timm's name -> the file in its package (tests/weights.lock).
FILES = {
    "mobilenetv2_100": "mobilenet_v2-b0353104.pth",
    "tf_efficientnet_lite0": "efficientnet-lite0-57934424.pth",
}
# Objects that anyone recognises in these photographs.
SCENES = {
    "outdoor_028.jpg": "megalith",
    "outdoor_130.jpg": "motor scooter",
    "outdoor_140.jpg": "electric locomotive",
    "outdoor_150.jpg": "alp",
}


@pytest.fixture(params=FILES)
def name(request):
    return request.param


@pytest.fixture
def weights(name, tmp_path):
    """Return a file with timm's names: its tensors are timm's, in the same order."""
    found = sorted((REPO / ".weights").glob(f"lib/**/{FILES[name]}"))
    if not found:
        pytest.skip(f"no {FILES[name]} below .weights (make test installs it)")
    tensors = torch.load(found[0], weights_only=True)
    own = timm.create_model(name).state_dict()
    assert [v.shape for v in tensors.values()] == [v.shape for v in own.values()]
    renamed = dict(zip(own, tensors.values(), strict=True))
    torch.save(renamed, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def middle(path):
    """Return the middle 224 x 224 px of a photograph with a short side of 256, as bytes."""
    picture = Image.open(path).convert("RGB")
    scale = 256 / min(picture.size)
    picture = picture.resize([round(n * scale) for n in picture.size], Image.Resampling.BICUBIC)
    left, top = ((n - 224) // 2 for n in picture.size)
    return np.asarray(picture.crop((left, top, left + 224, top + 224)))


def test_it_recognises_the_objects_in_a_photograph(name, weights, real_data):
    """From bytes through witw's own normalisation and backbone; only the classifier is timm's."""
    settings = SMALL.model_copy(update={"backbone": name, "head": "global"})
    network = Network(Architecture.of(settings, 225.0, 224, 224), str(weights)).eval()
    whole = timm.create_model(name).eval()
    whole.load_state_dict(torch.load(weights, weights_only=True))
    info = ImageNetInfo()
    for file, told in SCENES.items():
        pixels = torch.from_numpy(middle(real_data / "photos_io" / file).copy())
        with torch.inference_mode():
            view = network.normalise(pixels.permute(2, 0, 1)[None].float())
            best = whole.forward_head(network.photo.backbone(view)).argmax().item()
        assert info.index_to_description(best).split(",")[0] == told


def test_all_weights_are_loaded(name, weights):
    made = Timm(name, str(weights), 0, (64, 64), False)
    tensors = torch.load(weights, weights_only=True)
    classifier = timm.create_model(name).pretrained_cfg["classifier"]
    kept = {k for k in tensors if not k.startswith(f"{classifier}.")}
    assert made.net.state_dict().keys() == kept
    assert all(torch.equal(made.net.state_dict()[k], tensors[k]) for k in kept)


def test_it_learns_in_parts_of_a_batch(name, weights, tmp_path):
    """In a few steps on one batch the loss falls, while the batch statistics stay unchanged."""
    write_pack(tmp_path / "train", 16, 1)
    data = Packed.open(tmp_path / "train")
    rates = {"learning_rate": 1e-3, "backbone_rate": 0.3, "schedule": "constant", "warm_up": 0.0}
    parts = {"batch": 16, "micro_batch": 8, "head": "global", "dropout": 0.0}
    chosen = {"backbone": name, "weights": str(weights), **rates, **parts}
    settings = SMALL.model_copy(update=chosen)
    shape = Architecture.of(settings, 225.0, data.chip_px, data.photo_px)
    trainer = Trainer(settings, shape, torch.device("cpu"), 8)
    before = {k: v.clone() for k, v in trainer.network.state_dict().items() if "running_mean" in k}
    losses = []
    for _ in range(5):
        trainer.step = 0  # the same augmentation, so that the losses compare
        trainer.train_step(batches.read(data, np.arange(16)), 225.0)
        losses.append(float(trainer.latest))
    assert losses[-1] < 0.8 * losses[0]
    after = trainer.network.state_dict()
    assert before
    assert all(torch.equal(after[k], v) for k, v in before.items())
