import torch
from torch import nn

from witw.cvig.training.optimizer import Average


def test_follows_the_weights_and_keeps_the_rest():
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


def test_forgets_the_beginning_soon():
    layer = nn.Linear(1, 1, bias=False)
    average = Average(layer, 0.999)
    with torch.no_grad():
        layer.weight.fill_(5.0)
    for step in range(1, 40):
        average.update(layer, step)
    assert abs(average.module.weight.item() - 5) < 0.01
