import pytest
import torch
from made_pairs import SMALL
from torch import nn

from witw.cvig.network.architecture import Architecture
from witw.cvig.network.towers import Network
from witw.cvig.training import optimizer
from witw.cvig.training.optimizer import Average
from witw.errors import UserError


def test_the_average_follows_the_weights_and_keeps_the_rest():
    layer = nn.BatchNorm1d(2)
    average = Average(layer, 0.9)
    with torch.no_grad():
        layer.weight += 10
        layer.num_batches_tracked += 3
    average.update(layer, 1000)
    assert torch.allclose(average.module.weight, torch.full((2,), 2.0))  # 0.9 of 1, 0.1 of 11
    assert average.module.num_batches_tracked == 3
    assert not average.module.weight.requires_grad
    assert torch.equal(layer.weight, torch.full((2,), 11.0))


def test_the_average_forgets_the_start_soon():
    layer = nn.Linear(1, 1, bias=False)
    average = Average(layer, 0.999)
    with torch.no_grad():
        layer.weight.fill_(5.0)
    for step in range(1, 40):
        average.update(layer, step)
    assert abs(average.module.weight.item() - 5) < 0.01


def network(**changes):
    settings = SMALL.model_copy(update={"backbone": "test_vit", **changes})
    return Network(Architecture.of(settings, 225.0, 32, 24)), settings


def test_the_backbone_learns_more_slowly_and_its_first_blocks_most_slowly():
    made, settings = network(backbone_rate=0.1, layer_decay=0.5, weight_decay=0.3)
    blocks = len(made.photo.backbone.net.blocks)
    found = optimizer.scales(made, settings)
    for tower in ("photo", "overhead"):
        names = [f"{tower}.backbone.net.blocks.{i}.mlp.fc1.weight" for i in range(blocks)]
        expected = [0.1 * 0.5 ** (blocks - 1 - i) for i in range(blocks)]
        assert [found[name] for name in names] == pytest.approx(expected)
        assert found[f"{tower}.backbone.net.pos_embed"] == pytest.approx(0.1 * 0.5**blocks)
        assert not any(name.startswith(f"{tower}.head") for name in found)
    groups = optimizer.optimizer(made, settings, fused=False).param_groups
    of = {id(p): group for group in groups for p in group["params"]}
    assert len(of) == len(list(made.parameters()))
    assert of[id(made.log_scale)]["scale"] == 1
    assert of[id(made.log_scale)]["weight_decay"] == 0
    assert of[id(made.photo.head.layer.weight)]["scale"] == 1
    assert of[id(made.photo.head.layer.weight)]["weight_decay"] == 0.3
    assert of[id(made.photo.backbone.net.norm.weight)]["scale"] == pytest.approx(0.1)


def test_a_step_moves_each_part_at_its_own_rate():
    """Adam's first step equals the rate for any gradient."""
    made, settings = network(backbone_rate=0.1, weight_decay=0.0)
    chosen = optimizer.optimizer(made, settings, fused=False)
    for group in chosen.param_groups:
        group["lr"] = 1e-3 * group["scale"]
    parts = made.photo.backbone.net.blocks[0].mlp.fc1.bias, made.photo.head.layer.bias
    before = [p.detach().clone() for p in parts]
    for p in parts:
        p.grad = torch.ones_like(p)
    chosen.step()
    moved = [(p.detach() - b).abs().max().item() for p, b in zip(parts, before, strict=True)]
    assert moved == pytest.approx([1e-4, 1e-3], rel=1e-2)


def test_first_blocks_keep_their_weights():
    made, _ = network()
    optimizer.freeze(made, 2)
    learned = {k for k, p in made.photo.backbone.named_parameters() if p.requires_grad}
    assert {name.split(".")[2] for name in learned if "blocks" in name} == {
        str(i) for i in range(2, len(made.photo.backbone.net.blocks))
    }
    assert "net.pos_embed" not in learned
    assert all(p.requires_grad for p in made.photo.head.parameters())


def test_freezing_too_many_blocks_is_reported():
    made, _ = network()
    with pytest.raises(UserError, match=r"`train\.freeze` 99: the backbone has"):
        optimizer.freeze(made, 99)


def test_towers_that_share_weights_learn_them_once():
    made, settings = network(share_weights=True, backbone_rate=0.1)
    groups = optimizer.optimizer(made, settings, fused=False).param_groups
    every = [id(p) for group in groups for p in group["params"]]
    assert len(every) == len(set(every)) == len(list(made.parameters()))
    of = {id(p): group["scale"] for group in groups for p in group["params"]}
    assert of[id(made.overhead.backbone.net.cls_token)] == pytest.approx(0.1)


def test_layers_of_our_own_network_are_counted_too():
    made, settings = network(backbone="small", layer_decay=0.9, backbone_rate=0.5)
    found = optimizer.scales(made, settings)
    assert set(found) == {
        f"{tower}.backbone.{name}"
        for tower in ("photo", "overhead")
        for name, _ in getattr(made, tower).backbone.named_parameters()
    }
    assert max(found.values()) == 0.5
    assert min(found.values()) < 0.5
