import pytest
import timm
import torch
from made_pairs import SMALL, write_pack
from torch import nn

from witw.cvig import batches
from witw.cvig.batches import Packed
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.towers import Network
from witw.cvig.training.distributed import Processes
from witw.cvig.training.trainer import Trainer
from witw.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path):
    write_pack(tmp_path, 12, 4)
    return Packed.open(tmp_path)


@pytest.fixture
def pretrained(tmp_path):
    """Write weights whose batch statistics differ from a new network's."""
    torch.manual_seed(3)
    net = timm.create_model("test_efficientnet").train()
    with torch.no_grad():
        net(torch.randn(8, 3, 64, 64))
    torch.save(net.state_dict(), tmp_path / "w.pth")
    return str(tmp_path / "w.pth")


def trainer(**changes):
    settings = SMALL.model_copy(update={"head": "global", "dropout": 0.0, **changes})
    return Trainer(settings, Architecture.of(settings, 225.0, 32, 24), CPU, 10)


def step(made, data):
    made.train_step(batches.read(data, batches.draw(data.buckets(0), 0, 0)), 225.0)
    return {k: p.grad for k, p in made.network.named_parameters() if p.grad is not None}


def test_batches_in_parts_keep_pretrained_batch_statistics(data, pretrained):
    changes = {"backbone": "test_efficientnet", "weights": pretrained}
    made = [trainer(micro_batch=n, **changes) for n in (4, 12)]
    before = {k: v.clone() for k, v in made[0].network.state_dict().items() if "running" in k}
    parts, whole = (step(m, data) for m in made)
    assert before
    after = made[0].network.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    for name, grad in whole.items():
        torch.testing.assert_close(parts[name], grad, rtol=1e-3, atol=1e-6)


def test_without_weights_there_are_no_statistics_to_keep():
    with pytest.raises(UserError, match="give it pretrained weights, whose statistics it keeps"):
        trainer(backbone="test_efficientnet", micro_batch=4)


def test_whole_batches_learn_batch_statistics(data, pretrained):
    made = trainer(backbone="test_efficientnet", weights=pretrained)
    before = {k: v.clone() for k, v in made.network.state_dict().items() if "running_mean" in k}
    step(made, data)
    after = made.network.state_dict()
    assert not any(torch.equal(after[k], v) for k, v in before.items())


def test_normalising_over_processes_keeps_the_activations():
    """timm's batch normalisation includes the activation, which torch's conversion would drop."""
    made = object.__new__(Trainer)
    made.settings = SMALL.model_copy(update={"backbone": "test_efficientnet", "head": "global"})
    made.processes, made.where = Processes(0, 2), torch.device("cuda")
    torch.manual_seed(0)
    network = Network(Architecture.of(made.settings, 225.0, 32, 24)).eval()
    view = torch.randn(2, 3, *network.shape.polar_view)
    with torch.inference_mode():
        expected = network.overhead(view)
        converted = made._apart(network).eval()
        assert any(isinstance(m, nn.SyncBatchNorm) for m in converted.modules())
        torch.testing.assert_close(converted.overhead(view), expected)


def test_recomputed_blocks_give_the_same_gradients(data):
    changes = {"backbone": "test_vit", "drop_path": 0.4}
    plain = step(trainer(**changes), data)
    again = step(trainer(grad_checkpointing=True, **changes), data)
    assert plain.keys() == again.keys()
    for name, grad in plain.items():
        torch.testing.assert_close(again[name], grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"grad_checkpointing": True}, "'small' does not support it"),
        (
            {"backbone": "test_vit", "grad_checkpointing": True, "drop_path": 0.1}
            | {"share_weights": True},
            "need separate towers",
        ),
        ({"drop_path": 0.1}, "'small' has no blocks to skip"),
        ({"freeze": 50}, "the backbone has"),
    ],
)
def test_an_unsupported_setting_gives_one_sentence(changes, told):
    with pytest.raises(UserError, match=told):
        trainer(**changes)


def test_frozen_blocks_stay_and_the_rest_moves(data):
    made = trainer(backbone="test_vit", freeze=2)
    before = {k: v.detach().clone() for k, v in made.network.named_parameters()}
    step(made, data)
    moved = {k for k, v in made.network.named_parameters() if not torch.equal(v, before[k])}
    assert not any(".blocks.0." in k or ".blocks.1." in k or "pos_embed" in k for k in moved)
    assert any(".blocks.2." in k for k in moved)
