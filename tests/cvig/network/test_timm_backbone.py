"""Every family of timm's networks runs completely, with exactly timm's own parameters."""

import pytest
import timm
import torch
from made_pairs import SMALL, make_pairs
from torch import nn

from witw.cvig.network.architecture import Architecture
from witw.cvig.network.timm_backbone import Timm, facts
from witw.cvig.network.towers import Network
from witw.errors import UserError

# The smallest network of each family, and a view of another size than its own.
FAMILIES = {
    "vit_tiny_patch16_224": (96, 256),
    "vit_small_patch14_dinov2": (112, 224),
    "vit_small_patch16_dinov3": (96, 256),
    "eva02_tiny_patch14_224": (112, 224),
    "swin_tiny_patch4_window7_224": (96, 256),
    "convnext_atto": (96, 256),
    "resnet10t": (96, 256),
    "mobilenetv2_035": (96, 256),
    "mobilenetv3_small_050": (96, 256),
    "tf_efficientnet_lite0": (96, 256),
    "pvt_v2_b0": (96, 256),
}


def count(net):
    return sum(p.numel() for p in net.parameters())


# Layers after the features: parts of the classifier under other names.
UNUSED = {"convnext_atto": "net.head.norm", "mobilenetv3_small_050": "net.conv_head"}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_backbone_equals_timms_without_its_classifier(name):
    """On the meta device: a network of the family has all parameters, and all are trained."""
    view = FAMILIES[name]
    with torch.device("meta"):
        whole = timm.create_model(name)
        made = Timm(name, "none", 0, view, ring=True).train()
        features = made(torch.zeros(2, 3, *view))
        features.square().mean().backward()
    assert count(made) == count(whole) - count(whole.get_classifier())
    about = facts(name)
    assert features.shape == (2, about.channels, view[0] / about.stride, view[1] / about.stride)
    assert about.mean == tuple(whole.pretrained_cfg["mean"])
    assert about.std == tuple(whole.pretrained_cfg["std"])
    left = {k for k, p in made.named_parameters() if p.grad is None}
    assert {k for k in left if not k.startswith(UNUSED.get(name, "?"))} == set()


def test_features_equal_timms():
    torch.manual_seed(0)
    made = Timm("test_vit", "none", 0, (160, 160), False).eval()
    plain = timm.create_model("test_vit", num_classes=0).eval()
    plain.load_state_dict(made.net.state_dict())
    view = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        tokens = plain.forward_features(view)[:, plain.num_prefix_tokens :]
        found = made(view)
    torch.testing.assert_close(found[1, :, 2, 7], tokens[1, 2 * 10 + 7])


def test_position_embeddings_are_interpolated_to_the_view():
    """With equal pixels everywhere, only positions differ between places."""
    torch.manual_seed(0)
    made = Timm("test_vit", "none", 0, (32, 256), False).eval()
    with torch.no_grad():
        grid = torch.linspace(-1, 1, 10)  # from left to right, of 10 x 10 places of 160 px
        made.net.pos_embed.zero_()
        made.net.pos_embed[0, 1:, 0] = grid.repeat(10)
        embedded = made.net._pos_embed(torch.zeros(1, 2, 16, 64))[0, 1:, 0].view(2, 16)
    assert (embedded.diff(dim=1) > 0).all()
    torch.testing.assert_close(embedded[0], embedded[1])
    assert embedded[0, 0] == pytest.approx(-1, abs=0.1)
    assert embedded[0, -1] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", ["convnext_atto", "resnet10t", "tf_efficientnet_lite0"])
def test_a_finer_stride_keeps_all_weights(name):
    with torch.device("meta"):
        made = Timm(name, "none", 16, (96, 256), True).eval()
        features = made(torch.zeros(1, 3, 96, 256))
        assert count(made) == count(timm.create_model(name, num_classes=0))
    assert features.shape[2:] == (6, 16)


@pytest.mark.parametrize(
    ("name", "stride", "own"),
    [("vit_tiny_patch16_224", 8, 16), ("swin_tiny_patch4_window7_224", 16, 32)],
)
def test_an_impossible_stride_is_reported(name, stride, own):
    with pytest.raises(UserError, match=f"`train.stride` {stride}: '{name}' has {own} pixels"):
        facts(name, stride)


@pytest.mark.parametrize("name", ["no_such_net", "convnext_tiny.no_such_tag"])
def test_a_name_unknown_to_timm_is_reported(name):
    with pytest.raises(UserError, match=f"`train.backbone`.*{name.split('.')[-1]}"):
        facts(name)


@pytest.mark.parametrize(
    ("backbone", "stride"),
    [
        ("vit_tiny_patch16_224", 0),
        ("vit_small_patch14_dinov2", 0),
        ("resnet10t", 0),
        ("resnet10t", 16),
    ],
)
def test_every_heading_has_features_of_its_own(backbone, stride):
    settings = SMALL.model_copy(update={"backbone": backbone, "stride": stride, "headings": 64,
                                        "polar_rows": 0, "embed_dim": 32})  # fmt: skip
    shape = Architecture.of(settings, 225.0, 384, 384)
    rows, pixels = shape.polar_view
    assert pixels / shape.stride >= 64
    assert rows % shape.stride == pixels % shape.stride == 0
    assert 3 < pixels / rows < 5
    assert shape.photo_view[1] / shape.stride >= shape.columns
    assert abs(shape.photo_view[1] - 384) <= shape.stride / 2
    with torch.device("meta"):
        network = Network(shape).eval()
        code, _ = network.overhead(torch.zeros(1, 3, rows, pixels))
    assert code.shape == (1, 32, 64)


def test_sizes_that_are_no_multiple_of_the_patch_are_rounded():
    settings = SMALL.model_copy(update={"backbone": "vit_small_patch14_dinov2", "head": "global"})
    shape = Architecture.of(settings, 225.0, 384, 300)
    assert shape.polar_view == (378, 378)
    assert shape.photo_view == (294, 294)


def test_pictures_get_the_backbones_own_normalisation():
    """The whole way from bytes: a picture of timm's mean is zero for the backbone."""
    settings = SMALL.model_copy(update={"backbone": "test_resnet", "head": "global"})
    network = Network(Architecture.of(settings, 225.0, 32, 24)).eval()
    mean = torch.tensor(timm.create_model("test_resnet").pretrained_cfg["mean"])
    seen = []
    network.overhead.backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    chips = (mean * 255).round().byte().expand(2, 32, 32, 3)
    with torch.inference_mode():
        network.encode_chips(chips)
    assert seen[0].abs().max() < 0.01


def test_skipped_blocks_belong_to_the_pair():
    """The same rows lose the same blocks, alone or in a batch, in every run."""
    torch.manual_seed(0)
    made = Timm("test_vit2", "none", 0, (64, 64), False, drop_path=0.5).train()
    view, seeds = torch.randn(6, 3, 64, 64), torch.arange(6) * 977
    with torch.inference_mode():
        whole = made(view, seeds)
        parts = torch.cat([made(view[i : i + 1], seeds[i : i + 1]) for i in range(6)])
        other = made(view, seeds + 1)
        made.eval()
        judged = made(view, seeds)
    torch.testing.assert_close(whole, parts)
    assert not torch.allclose(whole, other)
    assert not torch.allclose(whole, judged)


def test_blocks_are_skipped_at_the_requested_rate():
    from witw.cvig.network.dropout import DropPath, Noise

    noise = Noise()
    noise.seeds = torch.arange(20_000)
    layer = DropPath(0.3, noise, 1000).train()
    out = layer(torch.ones(20_000, 2))
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert (out == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)


def test_a_whole_transformer_gives_codes():
    settings = SMALL.model_copy(update={"backbone": "test_vit", "polar_rows": 0})
    torch.manual_seed(0)
    network = Network(Architecture.of(settings, 225.0, 32, 24)).eval()
    photos, chips = (torch.from_numpy(v) for v in make_pairs(3, 0)[:2])
    with torch.inference_mode():
        photo = network.encode_photos(photos, torch.full((3, 2), 24))
        assert network.encode_chips(chips).columns.shape == (3, 32, 16)
    assert photo.columns.shape == (3, 32, network.shape.columns)
    assert photo.mask.shape == (3, network.shape.columns)


def test_batch_statistics_stay_where_weights_stay():
    made = Timm("test_resnet", "none", 0, (64, 64), False)
    norms = [m for m in made.modules() if isinstance(m, nn.BatchNorm2d)]
    for p in norms[0].parameters():
        p.requires_grad_(False)
    made.train()
    assert [n.training for n in norms] == [False] + [True] * (len(norms) - 1)
    made.holds_statistics = True
    made.train()
    assert not any(n.training for n in norms)
