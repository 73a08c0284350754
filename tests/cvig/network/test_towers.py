from pathlib import Path

import pytest
import torch
import yaml
from made_pairs import SMALL, make_pairs

from witw.cvig.network import backbones
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.backbones import Original
from witw.cvig.network.towers import Network
from witw.errors import UserError
from witw.settings.train import Train

REPO = Path(__file__).parents[3]
PIXELS = [torch.from_numpy(v) for v in make_pairs(3, 0)[:2]]
SIZES = torch.tensor([[24, 24], [24, 16], [16, 24]])
KINDS = [
    {},
    {"head": "global"},
    {"head": "global", "pooling": "gem"},
    {"head": "original", "loss": "triplet", "projection": "stretched", "radius_exponent": 1.0},
    {"share_weights": True},
    {"backbone": "test_convnext"},
    {"backbone": "test_convnext", "head": "global"},
    {"backbone": "test_convnext", "head": "original", "polar_rows": 64},
    {"backbone": "test_vit", "polar_rows": 32},
    {"backbone": "test_resnet", "stride": 8},
]


def network(**changes):
    settings = SMALL.model_copy(update=changes)
    torch.manual_seed(0)
    return Network(Architecture.of(settings, 225.0, 32, 24), settings.weights).eval()


@pytest.mark.parametrize("changes", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_codes_have_the_stated_shape(changes):
    made = network(**changes)
    shape = made.shape
    with torch.inference_mode():
        photo, mask, vector = made.encode_photos(PIXELS[0], SIZES)
        chip, other = made.encode_chips(PIXELS[1])
        scores = made.match(photo, mask, chip)
    assert vector.shape == other.shape == (3, made.vector_dim)
    assert made.vector_dim == {"polar": 24, "global": 32, "original": 0}[shape.head]
    assert photo.shape == (3, shape.embed_dim, shape.columns)
    assert mask.shape == (3, shape.columns)
    assert chip.shape == (3, shape.embed_dim, shape.headings)
    assert scores.shape == (3, 3)
    assert scores.abs().max() <= 1 + 1e-5


@pytest.mark.parametrize("backbone", ["small", "test_convnext"])
def test_turning_the_chip_rolls_the_code(backbone):
    """This holds across the seam, and for networks without circular padding."""
    made = network(backbone=backbone, headings=8, polar_rows=32, stride=16)
    chips = torch.nn.functional.interpolate(
        PIXELS[1].permute(0, 3, 1, 2).float(), (128, 128), mode="bicubic"
    )
    chips = chips.clamp(0, 255).byte().permute(0, 2, 3, 1)
    with torch.inference_mode():
        code, vector = made.encode_chips(chips)
        turned, same = made.encode_chips(chips.rot90(-1, (1, 2)))  # a quarter clockwise
    rolled = code.roll(2, -1)
    error = (turned - rolled).norm() / (rolled - rolled.mean(dim=-1, keepdim=True)).norm()
    assert error < 0.2
    # The vector is pooled over the ring, so it is the same for any rotation of the chip.
    assert (same - vector).norm() < 0.1 * (vector - vector.mean(dim=0)).norm()


def test_a_known_field_of_view_is_used():
    made = network()
    with torch.inference_mode():
        usual, *_ = made.encode_photos(PIXELS[0], SIZES)
        unknown, *_ = made.encode_photos(PIXELS[0], SIZES, fov_deg=torch.full((3,), torch.nan))
        known, mask, _ = made.encode_photos(
            PIXELS[0], SIZES, fov_deg=torch.tensor([40.0, torch.nan, 65])
        )
    assert torch.equal(usual, unknown)
    assert not torch.allclose(known[0], usual[0])
    torch.testing.assert_close(known[1:], usual[1:])
    assert mask[0].sum() < mask[2].sum()


def test_weights_come_from_a_file(tmp_path):
    first = network(backbone="test_convnext")
    import timm

    torch.manual_seed(9)
    whole = timm.create_model("test_convnext")
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    loaded = network(backbone="test_convnext", weights=str(tmp_path / "weights.pth"))
    stem = next(iter(whole.state_dict()))
    name = f"photo.backbone.net.{stem}"
    assert torch.equal(loaded.state_dict()[name], whole.state_dict()[stem])
    assert not torch.equal(first.state_dict()[name], whole.state_dict()[stem])


def test_original_weights_stay_where_they_are_below_layer_17(tmp_path):
    from torchvision.models import vgg16

    torch.save(vgg16(weights=None).state_dict(), tmp_path / "vgg16.pth")
    made = Original(str(tmp_path / "vgg16.pth"))
    learned = {int(k.split(".")[1]) for k, p in made.named_parameters() if p.requires_grad}
    assert learned == {17, 19, 21}
    assert all(p.requires_grad for p in Original("none").parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "no_such_net"}, "timm has no model 'no_such_net'"),
        ({"backbone": "test_convnext", "weights": "absent.pth"}, "absent.pth does not exist"),
        ({"backbone": "original", "weights": "absent.pth"}, "absent.pth does not exist"),
        ({"weights": "timm"}, "small backbone has no pretrained weights"),
    ],
)
def test_each_mistake_is_reported(changes, message):
    with pytest.raises(UserError, match=message):
        network(**changes)


def test_batch_normalisation_is_distinguished_from_per_pair_layers():
    assert backbones.mixes_pairs(network(backbone="test_resnet", stride=8))
    assert not backbones.mixes_pairs(network())
    assert not backbones.mixes_pairs(network(backbone="test_convnext"))


def test_the_original_configuration_is_the_original_network():
    preset = yaml.safe_load((REPO / "configs" / "original.yaml").read_text())
    settings = Train(**preset["train"])
    pack = preset["pack"]
    made = Network(Architecture.of(settings, 225.0, pack["chip_px"], pack["photo_px"])).eval()
    shape = made.shape
    assert shape.polar_view == (128, 512)
    assert (shape.embed_dim, shape.headings, shape.columns) == (16 * 4, 64, 12)
    assert (settings.loss, settings.triplet_alpha, settings.batch) == ("triplet", 10.0, 64)
    convolutions = [m for m in made.photo.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.out_channels for c in convolutions[-3:]] == [256, 64, 16]
    assert len(convolutions) == 13
